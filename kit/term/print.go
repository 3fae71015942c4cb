package term

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// String prints t as Erlang's shell does, on one line: {person,<<"hernan">>,31}.
func String(t Term) string {
	p := printer{}
	p.erlang(t, 0)
	return p.b.String()
}

// Elixir prints t as iex does, on one line: {:person, "hernan", 31}.
func Elixir(t Term) string {
	p := printer{}
	p.elixir(t, 0)
	return p.b.String()
}

// String is the package function, so that a tuple prints well with fmt.
func (t Tuple) String() string { return String(t) }

// String is the package function.
func (l List) String() string { return String(l) }

// String is the package function.
func (m Map) String() string { return String(m) }

// String is the package function.
func (p Pid) String() string { return String(p) }

type printer struct{ b strings.Builder }

func (p *printer) erlang(t Term, depth int) {
	if depth > MaxDepth {
		p.b.WriteString("...")
		return
	}
	switch x := t.(type) {
	case Atom:
		p.b.WriteString(erlangAtom(string(x)))
	case Bin:
		p.erlangBin(string(x))
	case Tuple:
		p.erlangList("{", x, "}", depth)
	case List:
		if s, ok := printable(x); ok {
			p.b.WriteString(quoted(s, '"'))
			return
		}
		p.erlangList("[", x, "]", depth)
	case Map:
		p.b.WriteString("#{")
		for i, e := range x {
			if i > 0 {
				p.b.WriteByte(',')
			}
			p.erlang(e.Key, depth+1)
			p.b.WriteString(" => ")
			p.erlang(e.Value, depth+1)
		}
		p.b.WriteByte('}')
	case Opaque:
		p.opaque(x, "#Fun<?>", "#Ref<?>", "<%s>")
	case Pid:
		fmt.Fprintf(&p.b, "<%s.%d>", x.Node, x.ID)
	default:
		p.number(t)
	}
}

func (p *printer) number(t Term) {
	switch x := t.(type) {
	case Int:
		p.b.WriteString(strconv.FormatInt(int64(x), 10))
	case Big:
		p.b.WriteString(x.Text(10))
	case Float:
		p.b.Write(appendFloat(nil, float64(x)))
	default:
		p.b.WriteString("?")
	}
}

func (p *printer) opaque(o Opaque, fun, ref, pid string) {
	switch name, isPid := o.process(); {
	case isPid:
		fmt.Fprintf(&p.b, pid, name)
	case o.Sort == "fun":
		p.b.WriteString(fun)
	default:
		p.b.WriteString(ref)
	}
}

func (p *printer) erlangList(open string, ts []Term, end string, depth int) {
	p.b.WriteString(open)
	for i, t := range ts {
		if i > 0 {
			p.b.WriteByte(',')
		}
		p.erlang(t, depth+1)
	}
	p.b.WriteString(end)
}

func (p *printer) erlangBin(s string) {
	p.b.WriteString("<<")
	ascii := isASCII(s)
	switch {
	case s == "":
	case printableText(s) && ascii:
		p.b.WriteString(quoted(s, '"'))
	case printableText(s):
		p.b.WriteString(quoted(s, '"') + "/utf8")
	default:
		p.bytes(s, ",")
	}
	p.b.WriteString(">>")
}

func (p *printer) bytes(s, comma string) {
	for i, c := range []byte(s) {
		if i > 0 {
			p.b.WriteString(comma)
		}
		p.b.WriteString(strconv.Itoa(int(c)))
	}
}

func (p *printer) elixir(t Term, depth int) {
	if depth > MaxDepth {
		p.b.WriteString("...")
		return
	}
	switch x := t.(type) {
	case Atom:
		p.b.WriteString(elixirAtom(string(x)))
	case Bin:
		if printableText(string(x)) {
			p.b.WriteString(strings.ReplaceAll(quoted(string(x), '"'), "#{", `\#{`))
			return
		}
		p.b.WriteString("<<")
		p.bytes(string(x), ", ")
		p.b.WriteString(">>")
	case Tuple:
		p.elixirList("{", x, "}", depth)
	case List:
		p.elixirSequence(x, depth)
	case Map:
		p.elixirMap(x, depth)
	case Opaque:
		p.opaque(x, "#Function<?>", "#Reference<?>", "#PID<%s>")
	case Pid:
		fmt.Fprintf(&p.b, "#PID<%s.%d>", x.Node, x.ID)
	default:
		p.number(t)
	}
}

// elixirSequence prints a list: as a charlist, as a keyword list, or plainly.
func (p *printer) elixirSequence(l List, depth int) {
	if s, ok := printable(l); ok {
		p.b.WriteString("~c" + quoted(s, '"'))
		return
	}
	pairs := make([]Pair, 0, len(l))
	for _, e := range l {
		t, ok := e.(Tuple)
		if !ok || len(t) != 2 || !isKeyword(t[0]) {
			p.elixirList("[", l, "]", depth)
			return
		}
		pairs = append(pairs, Pair{t[0], t[1]})
	}
	p.b.WriteByte('[')
	p.keywords(pairs, depth)
	p.b.WriteByte(']')
}

func (p *printer) elixirMap(m Map, depth int) {
	p.b.WriteString("%{")
	defer p.b.WriteByte('}')
	words := true
	for _, e := range m {
		words = words && isKeyword(e.Key)
	}
	if words {
		p.keywords(m, depth)
		return
	}
	for i, e := range m {
		if i > 0 {
			p.b.WriteString(", ")
		}
		p.elixir(e.Key, depth+1)
		p.b.WriteString(" => ")
		p.elixir(e.Value, depth+1)
	}
}

func isKeyword(t Term) bool { a, ok := t.(Atom); return ok && !strings.HasPrefix(string(a), "Elixir.") }

func (p *printer) keywords(pairs []Pair, depth int) {
	for i, e := range pairs {
		if i > 0 {
			p.b.WriteString(", ")
		}
		name := string(e.Key.(Atom))
		if !elixirPlain(name) {
			name = quoted(name, '"')
		}
		p.b.WriteString(name + ": ")
		p.elixir(e.Value, depth+1)
	}
}

func (p *printer) elixirList(open string, ts []Term, end string, depth int) {
	p.b.WriteString(open)
	for i, t := range ts {
		if i > 0 {
			p.b.WriteString(", ")
		}
		p.elixir(t, depth+1)
	}
	p.b.WriteString(end)
}

// reserved words of Erlang cannot stand as atoms without quotes.
const reserved = " after and andalso band begin bnot bor bsl bsr bxor case catch cond div end else fun if let maybe not of or orelse receive rem try when xor "

func erlangAtom(s string) string {
	plain := s != "" && !strings.Contains(reserved, " "+s+" ")
	for i, r := range s {
		lower := r >= 'a' && r <= 'z' || r >= 'ß' && r <= 'ÿ' && r != '÷'
		other := r >= 'A' && r <= 'Z' || r >= 'À' && r <= 'Þ' && r != '×' || r >= '0' && r <= '9' || r == '_' || r == '@'
		if !lower && (i == 0 || !other) {
			plain = false
		}
	}
	if plain {
		return s
	}
	return quoted(s, '\'')
}

func elixirAtom(s string) string {
	switch s {
	case "true", "false", "nil":
		return s
	}
	if name, ok := strings.CutPrefix(s, "Elixir."); ok && elixirModule(name) {
		return name
	}
	if elixirPlain(s) || strings.Contains(" == /= === =:= =/= != !== < > <= >= + - * / ++ -- .. | || && ! ", " "+s+" ") && s != "" && !strings.Contains(s, ":") {
		return ":" + s
	}
	return ":" + quoted(s, '"')
}

func elixirModule(s string) bool {
	for _, part := range strings.Split(s, ".") {
		if part == "" || part[0] < 'A' || part[0] > 'Z' || !elixirPlain(strings.TrimRight(part, "?!")) {
			return false
		}
	}
	return true
}

// elixirPlain reports whether an atom needs no quotes: letters, digits, _ and @, perhaps a last ? or !.
func elixirPlain(s string) bool {
	if n := len(s); n > 1 && (s[n-1] == '?' || s[n-1] == '!') {
		s = s[:n-1]
	}
	for i, r := range s {
		if !unicode.IsLetter(r) && r != '_' && (i == 0 || !unicode.IsDigit(r) && r != '@') {
			return false
		}
	}
	return s != ""
}

// quoted puts s between quotes with the escapes that Erlang and Elixir share.
func quoted(s string, quote rune) string {
	var b strings.Builder
	b.WriteRune(quote)
	for _, r := range s {
		switch i := strings.IndexRune("\n\t\r\b\v\f\x1b", r); {
		case i >= 0:
			b.WriteByte('\\')
			b.WriteByte("ntrbvfe"[i])
		case r == quote || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\x{%X}`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteRune(quote)
	return b.String()
}

// printable gives the text of a list of characters; the empty list is no text. As in Erlang's shell by
// default, only characters of Latin-1 count.
func printable(l List) (string, bool) {
	var b strings.Builder
	for _, t := range l {
		i, ok := t.(Int)
		if !ok || i < 0 || i > 0xff || !printableRune(rune(i)) {
			return "", false
		}
		b.WriteRune(rune(i))
	}
	return b.String(), len(l) > 0
}

func printableRune(r rune) bool {
	switch r {
	case '\n', '\t', '\r', '\b', '\v', '\f', 0x1b:
		return true
	}
	return r >= ' ' && r < 0x7f || r >= 0xa0 && r != utf8.RuneError
}

func printableText(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if !printableRune(r) {
			return false
		}
	}
	return true
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
