package lesson

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// Page is a parsed Markdown body, ready to be written in either form. It is safe for concurrent use.
type Page struct {
	TOC []Heading // headings of level 2 and 3, in order

	file    string
	source  []byte
	first   int // number of the source's first line in its file
	doc     ast.Node
	anchors map[string]bool
	links   map[ast.Node]Link
}

// Heading is an entry of a page's table of contents.
type Heading struct {
	Level int
	ID    string
	Text  string
}

// LinkKind says where a link leads.
type LinkKind int

// The kinds of links. Lessons write the first three as paths to Markdown files, so that they also work when
// the files are read as they are.
const (
	ToHere   LinkKind = iota // an anchor on the same page
	ToLesson                 // Name is a lesson's name
	ToLab                    // Name is a lab's slug
	ToWeb                    // URL is absolute
)

// Link is the target of a link in a page.
type Link struct {
	Kind     LinkKind
	Name     string
	URL      string
	Fragment string // anchor on the target's page; may be empty
}

// newMarkdown builds goldmark with the extensions that lessons use; the AST is then shaped by shape.go.
func newMarkdown() goldmark.Markdown {
	return goldmark.New(
		goldmark.WithExtensions(
			extension.NewTable(extension.WithTableCellAlignMethod(extension.TableCellAlignAttribute)), // no inline style: CSP
			extension.Strikethrough,
			extension.TaskList,
			extension.NewFootnote(),
		),
		goldmark.WithParserOptions(
			parser.WithHeadingAttribute(),
			parser.WithBlockParsers(util.Prioritized(directiveParser{}, 650)),
		),
	)
}

// parse reads one Markdown body. Faults go to the report; links to other pages are checked later.
func (ld *loader) parse(file string, first int, body []byte) *Page {
	p := &Page{file: file, source: body, first: first, anchors: map[string]bool{}, links: map[ast.Node]Link{}}
	p.doc = newMarkdown().Parser().Parse(text.NewReader(body))
	s := &shaper{ld: ld, page: p}
	s.shape(p.doc)
	s.headings()
	return p
}

// lineAt gives the line in the file of an offset in the source.
func (p *Page) lineAt(offset int) int {
	offset = max(0, min(offset, len(p.source)))
	return p.first + bytes.Count(p.source[:offset], []byte("\n"))
}

// lineOf gives the line of a node, or that of the nearest node that knows where it stands.
func (p *Page) lineOf(n ast.Node) int {
	for ; n != nil; n = n.Parent() {
		if n.Kind() == ast.KindFencedCodeBlock && n.Pos() >= 0 {
			return p.lineAt(n.Pos()) // its lines begin after the fence
		}
		if n.Type() == ast.TypeBlock {
			if lines := n.Lines(); lines != nil && lines.Len() > 0 {
				return p.lineAt(lines.At(0).Start)
			}
		}
		if n.Kind() != ast.KindDocument && n.Pos() > 0 {
			return p.lineAt(n.Pos())
		}
	}
	return p.first
}

// plain gives the text of a node without its marks.
func (p *Page) plain(n ast.Node) string {
	var b strings.Builder
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		switch c := c.(type) {
		case *ast.Text:
			b.Write(c.Value(p.source))
			if c.SoftLineBreak() || c.HardLineBreak() {
				b.WriteByte(' ')
			}
		case *ast.String:
			b.Write(c.Value)
		default:
			b.WriteString(p.plain(c))
		}
	}
	return unescape(b.String())
}

// unescape resolves backslash escapes and character references, which goldmark leaves in the source text.
func unescape(s string) string {
	if !strings.ContainsAny(s, `\&`) {
		return s
	}
	return string(util.UnescapePunctuations(util.ResolveEntityNames(util.ResolveNumericReferences([]byte(s)))))
}

// headings gives every heading an id, builds the table of contents and finds double or misplaced ones.
func (s *shaper) headings() {
	p := s.page
	last := 1
	for n := p.doc.FirstChild(); n != nil; n = n.NextSibling() {
		h, ok := n.(*ast.Heading)
		if !ok {
			continue
		}
		title, line := p.plain(h), p.lineOf(h)
		id := slug(title)
		if v, ok := h.AttributeString("id"); ok {
			id = fmt.Sprintf("%s", v)
		}
		for _, a := range h.Attributes() {
			if string(a.Name) != "id" {
				s.fault(line, "a heading takes only an id: ## Title {#id}")
				break
			}
		}
		switch {
		case h.Level == 1:
			s.fault(line, "headings begin with ##: the title comes from the front matter")
		case h.Level > 4:
			s.fault(line, "headings go down to ####")
		case h.Level > last+1:
			s.fault(line, "a level of headings is left out before %q", title)
		case id == "":
			s.fault(line, "this heading needs an id of its own: ## Title {#id}")
		case slug(id) != id:
			s.fault(line, "the id %q must be lower-case words joined by hyphens", id)
		case p.anchors[id]:
			s.fault(line, "a second heading has the id %q; give it another: ## Title {#id}", id)
		}
		last = h.Level
		p.anchors[id] = true
		h.SetAttributeString("id", []byte(id))
		if h.Level == 2 || h.Level == 3 {
			p.TOC = append(p.TOC, Heading{Level: h.Level, ID: id, Text: title})
		}
	}
}

// slug makes an id of a title: its ASCII letters and digits in lower case, runs of anything else as one '-'.
func slug(title string) string {
	var b strings.Builder
	gap := false
	for _, r := range strings.ToLower(title) {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') {
			gap = r != '\'' && r != '’' || gap
			continue
		}
		if gap && b.Len() > 0 {
			b.WriteByte('-')
		}
		gap = false
		b.WriteRune(r)
	}
	return b.String()
}

// HasDiagram reports whether the page holds a drawn diagram.
func (p *Page) HasDiagram() bool {
	found := false
	_ = ast.Walk(p.doc, func(n ast.Node, _ bool) (ast.WalkStatus, error) {
		found = found || n.Kind() == kindFigure
		return ast.WalkContinue, nil
	})
	return found
}

// Snippet is a block of code on a page.
type Snippet struct {
	Lang string // "starlark", "console", ...
	Tab  string
	Text string
	Line int // in the page's file
}

// Snippets gives the page's blocks of code in order, quoted ones and recorded output included, so that tests
// can prove that they parse or run.
func (p *Page) Snippets() []Snippet {
	var out []Snippet
	_ = ast.Walk(p.doc, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if c, ok := n.(*code); ok && entering {
			out = append(out, Snippet{Lang: c.lang, Tab: c.tab, Text: c.text, Line: p.lineOf(c)})
		}
		return ast.WalkContinue, nil
	})
	return out
}
