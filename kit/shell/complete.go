package shell

import (
	"context"
	"slices"
	"strings"
	"time"

	"go.starlark.net/starlark"
)

// Candidate is one way to complete what is being typed.
type Candidate struct {
	Value   string // what stands in the place of the prefix
	Display string // what the menu shows
	Doc     string // one line about it
}

// completeTime bounds the question for tables, which a node must answer while somebody types.
const completeTime = 300 * time.Millisecond

// Complete gives the candidates for the text before the cursor, and the part of it that they replace: names,
// attributes after a dot, and tables inside quotes.
func (s *Session) Complete(text string) (prefix string, list []Candidate) {
	if quote := openQuote(text); quote >= 0 {
		return s.completeTable(text[quote:])
	}
	start := len(text)
	for start > 0 && isNameByte(text[start-1]) {
		start--
	}
	prefix = text[start:]
	s.gil.Lock()
	defer s.gil.Unlock()
	dot := strings.LastIndexByte(prefix, '.')
	if dot < 0 {
		if prefix == "" && strings.TrimSpace(text) != "" {
			return "", nil
		}
		return prefix, s.completeName(prefix)
	}
	owner := s.resolve(prefix[:dot])
	if owner == nil {
		return prefix, nil
	}
	docs := s.docs()
	for _, name := range owner.AttrNames() {
		if strings.HasPrefix(name, prefix[dot+1:]) && !hiddenHere(owner, name) {
			list = append(list, Candidate{Value: prefix[:dot+1] + name, Display: name, Doc: docs[name]})
		}
	}
	return prefix, sorted(list)
}

// hiddenHere leaves operations of transactions out of a.db, where they are refused.
func hiddenHere(owner starlark.HasAttrs, name string) bool {
	if _, isDB := owner.(*DB); !isDB {
		return false
	}
	v := verbNamed(name)
	return v != nil && v.via == viaTx
}

func sorted(list []Candidate) []Candidate {
	slices.SortFunc(list, func(x, y Candidate) int { return strings.Compare(x.Display, y.Display) })
	return slices.CompactFunc(list, func(x, y Candidate) bool { return x.Value == y.Value })
}

func isNameByte(c byte) bool {
	return c == '_' || c == '.' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// openQuote finds the quote of a string that is open at the end of the text; -1 when there is none.
func openQuote(text string) int {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '#':
			end := strings.IndexByte(text[i:], '\n')
			if end < 0 {
				return -1
			}
			i += end
		case '"', '\'':
			end, _ := stringEnd(text, i)
			if end < 0 {
				return i
			}
			i = end
		}
	}
	return -1
}

// resolve looks a dotted name up without calling anything.
func (s *Session) resolve(path string) starlark.HasAttrs {
	var v starlark.Value
	for i, name := range strings.Split(path, ".") {
		if i == 0 {
			v = s.globals[name]
			if name == "tx" && v == nil {
				v = &Tx{node: &Node{s: s}}
			}
		} else {
			owner, ok := v.(starlark.HasAttrs)
			if !ok {
				return nil
			}
			next, err := owner.Attr(name)
			if err != nil {
				return nil
			}
			v = next
		}
	}
	owner, _ := v.(starlark.HasAttrs)
	return owner
}

func (s *Session) completeName(prefix string) []Candidate {
	docs := s.docs()
	var list []Candidate
	add := func(name, doc string) {
		if strings.HasPrefix(name, prefix) && name != "_" {
			list = append(list, Candidate{Value: name, Display: name, Doc: doc})
		}
	}
	for name, v := range s.globals {
		doc := docs[name]
		if _, isNode := v.(*Node); isNode {
			doc = "node"
		}
		add(name, doc)
	}
	for _, word := range []string{"def", "for", "if", "lambda", "while", "return", "not", "True", "False", "None", "print", "len", "range", "sorted", "str", "dict", "list"} {
		add(word, "")
	}
	return sorted(list)
}

// docs gives the first sentence about every function, by its bare name.
func (s *Session) docs() map[string]string {
	docs := map[string]string{}
	for _, p := range s.pages() {
		name := p.name[strings.LastIndexByte(p.name, '.')+1:]
		doc, _, _ := strings.Cut(p.doc, ". ")
		if docs[name] == "" {
			docs[name] = strings.TrimRight(doc, ".")
		}
	}
	return docs
}

// completeTable offers the tables that any node knows, inside quotes.
func (s *Session) completeTable(quoted string) (string, []Candidate) {
	var names []string
	ctx, cancel := context.WithTimeout(context.Background(), completeTime)
	defer cancel()
	r := &run{s: s, ctx: ctx, client: s.opts.Client}
	s.turn(r)
	defer s.yield()
	for _, n := range s.order {
		list, err := s.nodes[string(n)].db.nameList(r, "tables")
		if err == nil {
			names = list
			break
		}
		if ctx.Err() != nil {
			break
		}
	}
	var list []Candidate
	for _, name := range names {
		if strings.HasPrefix(name, quoted[1:]) && name != "schema" {
			list = append(list, Candidate{Value: quoted[:1] + name + quoted[:1], Display: name, Doc: "table"})
		}
	}
	return quoted, sorted(list)
}
