package lesson

import (
	"bytes"
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/yuin/goldmark/ast"
	east "github.com/yuin/goldmark/extension/ast"

	"netsplit/kit/diagram"
)

// shaper turns goldmark's tree into ours: callouts, tabs, code, figures. What a lesson must not hold is a fault.
type shaper struct {
	ld      *loader
	page    *Page
	tabSets int
	figures int
	answers int
}

func (s *shaper) fault(line int, format string, args ...any) {
	s.ld.r.add(s.page.file, line, format, args...)
}

// shape works on the children of n, from the first to the last, and goes down into them.
func (s *shaper) shape(n ast.Node) {
	for c := n.FirstChild(); c != nil; {
		next := c.NextSibling()
		s.shapeOne(n, c)
		c = next
	}
	s.group(n)
}

func (s *shaper) shapeOne(parent, c ast.Node) {
	line := s.page.lineOf(c)
	switch c := c.(type) {
	case *ast.FencedCodeBlock:
		s.swap(parent, c, s.fence(c, line))
		return
	case *directive:
		s.swap(parent, c, s.directive(c, line))
		return
	case *ast.CodeBlock:
		s.fault(line, "code is fenced with ``` and a language, not indented")
	case *ast.HTMLBlock, *ast.RawHTML:
		s.html(c, line)
		parent.RemoveChild(parent, c)
		return
	case *ast.Image:
		s.fault(line, "images are not supported; draw a ```mermaid diagram")
	case *ast.Heading:
		if parent.Kind() != ast.KindDocument {
			s.fault(line, "a heading stands at the top level only")
		}
	case *ast.Blockquote:
		if made := s.callout(c, line); made != nil {
			s.swap(parent, c, made)
			s.shape(made)
			return
		}
	case *east.Table:
		box := &wide{}
		parent.ReplaceChild(parent, c, box)
		box.AppendChild(box, c)
	}
	s.shape(c)
}

// swap replaces a node; a nil replacement (after a fault) removes it.
func (s *shaper) swap(parent, old, made ast.Node) {
	if made == nil {
		parent.RemoveChild(parent, old)
		return
	}
	parent.ReplaceChild(parent, old, made)
	if made.Lines().Len() == 0 && old.Lines().Len() > 0 {
		made.Lines().Append(old.Lines().At(0)) // so that later faults know the line
	}
}

// html refuses raw HTML, which is dropped from pages; comments are the author's notes.
func (s *shaper) html(n ast.Node, line int) {
	var b bytes.Buffer
	switch n := n.(type) {
	case *ast.RawHTML:
		for i := range n.Segments.Len() {
			seg := n.Segments.At(i)
			b.Write(seg.Value(s.page.source))
		}
	case *ast.HTMLBlock:
		for i := range n.Lines().Len() {
			seg := n.Lines().At(i)
			b.Write(seg.Value(s.page.source))
		}
		if n.HasClosure() {
			b.Write(n.ClosureLine.Value(s.page.source))
		}
	}
	if t := strings.TrimSpace(b.String()); !strings.HasPrefix(t, "<!--") || !strings.HasSuffix(t, "-->") {
		s.fault(line, "raw HTML is not shown: %s", clip(t, 40))
	}
}

func clip(s string, n int) string {
	s, _, _ = strings.Cut(s, "\n")
	if len(s) > n {
		return strings.ToValidUTF8(s[:n], "") + "..."
	}
	return s
}

// calloutNames are the kinds of callouts and the word that stands at their head.
var calloutNames = map[string]string{
	"note": "Note", "tip": "Tip", "important": "Important", "warning": "Warning", "caution": "Caution",
	"try": "Do it now", "predict": "Predict, then run", "answer": "Answer",
}

var calloutHead = regexp.MustCompile(`^\[!([A-Za-z]+)\][ \t]*(.*)$`)

// callout gives the callout that a block quote is, or nil when it is a plain one.
func (s *shaper) callout(q *ast.Blockquote, line int) ast.Node {
	para, ok := q.FirstChild().(*ast.Paragraph)
	if !ok || para.Lines().Len() == 0 {
		return nil
	}
	head := para.Lines().At(0)
	m := calloutHead.FindSubmatch(bytes.TrimSpace(head.Value(s.page.source)))
	if m == nil {
		return nil
	}
	kind := strings.ToLower(string(m[1]))
	if _, known := calloutNames[kind]; !known {
		s.fault(line, "unknown callout [!%s]; known are NOTE, TIP, IMPORTANT, WARNING, CAUTION, TRY, PREDICT, ANSWER", m[1])
	}
	made := &callout{kind: kind, title: unescape(string(m[2]))}
	if kind == "answer" {
		s.answers++
		made.answer = s.answers
	}
	for c := para.FirstChild(); c != nil; { // the head's own inline nodes
		next := c.NextSibling()
		if t, ok := c.(*ast.Text); !ok && c.Pos() < head.Stop || ok && t.Segment.Start < head.Stop {
			para.RemoveChild(para, c)
		}
		c = next
	}
	if !para.HasChildren() {
		q.RemoveChild(q, para)
	}
	for c := q.FirstChild(); c != nil; {
		next := c.NextSibling()
		made.AppendChild(made, c)
		c = next
	}
	if !made.HasChildren() {
		s.fault(line, "the callout is empty")
	}
	return made
}

// info parts a fence's info string: a language and key="value" pairs.
var (
	infoPair = regexp.MustCompile(`^\s+([a-z]+)="([^"]*)"`)
	infoLang = regexp.MustCompile(`^[a-z]+`)
)

func (s *shaper) attrs(rest string, line int, known ...string) map[string]string {
	out := map[string]string{}
	for strings.TrimSpace(rest) != "" {
		m := infoPair.FindStringSubmatch(rest)
		if m == nil || !slices.Contains(known, m[1]) || m[2] == "" {
			s.fault(line, "cannot read %q; known here: %s=\"...\"", strings.TrimSpace(rest), strings.Join(known, `="...", `))
			return out
		}
		out[m[1]] = m[2]
		rest = rest[len(m[0]):]
	}
	return out
}

func (s *shaper) fence(f *ast.FencedCodeBlock, line int) ast.Node {
	info := ""
	if f.Info != nil {
		info = string(f.Info.Segment.Value(s.page.source))
	}
	var b strings.Builder
	for i := range f.Lines().Len() {
		seg := f.Lines().At(i)
		b.Write(seg.Value(s.page.source))
	}
	lang := infoLang.FindString(info)
	at := s.attrs(info[len(lang):], line, "tab", "title")
	switch {
	case lang == "mermaid":
		return s.figure(b.String(), at["title"], line)
	case lang == "":
		s.fault(line, "a fence names its language; text is one")
	case !knownLang(lang):
		s.fault(line, "unknown language %q; known are mermaid, %s", lang, strings.Join(langNames(), ", "))
	}
	return &code{lang: lang, text: strings.TrimRight(b.String(), "\n"), tab: at["tab"], title: at["title"]}
}

func (s *shaper) figure(src, title string, line int) ast.Node {
	if title == "" {
		s.fault(line, `a diagram needs a title, for those who cannot see it: mermaid title="..."`)
	}
	d, err := diagram.Parse(src)
	if err != nil {
		var at *diagram.Error
		if errors.As(err, &at) {
			s.fault(line+at.Line, "the diagram cannot be drawn: %s", at.Text)
		} else {
			s.fault(line, "the diagram cannot be drawn: %v", err)
		}
		return nil
	}
	s.figures++
	return &figure{drawing: d, title: title, number: s.figures}
}

// group puts neighbouring code blocks that have a tab into one set of tabs.
func (s *shaper) group(parent ast.Node) {
	for c := parent.FirstChild(); c != nil; c = c.NextSibling() {
		first, ok := c.(*code)
		if !ok || first.tab == "" {
			continue
		}
		s.tabSets++
		set := &tabs{number: s.tabSets}
		parent.InsertBefore(parent, first, set)
		var labels []string
		for n := ast.Node(first); n != nil; {
			next := n.NextSibling()
			k, ok := n.(*code)
			if !ok || k.tab == "" {
				break
			}
			if slices.Contains(labels, k.tab) {
				s.fault(s.page.lineOf(k), "a second tab %q in this set", k.tab)
			}
			labels = append(labels, k.tab)
			set.AppendChild(set, k)
			n = next
		}
		if len(labels) == 1 {
			s.fault(s.page.lineOf(first), "a tab stands beside another: two blocks with tab=\"...\" in a row")
		}
		c = set
	}
}
