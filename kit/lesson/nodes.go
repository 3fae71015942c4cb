package lesson

import (
	"bytes"

	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"

	"netsplit/kit/diagram"
)

var (
	kindDirective = ast.NewNodeKind("Directive")
	kindCallout   = ast.NewNodeKind("Callout")
	kindTabs      = ast.NewNodeKind("Tabs")
	kindCode      = ast.NewNodeKind("Code")
	kindFigure    = ast.NewNodeKind("Figure")
	kindWide      = ast.NewNodeKind("Wide")
)

// directive is a line "{{...}}" until shape.go replaces it.
type directive struct {
	ast.BaseBlock
	line string
}

func (*directive) Kind() ast.NodeKind         { return kindDirective }
func (n *directive) Dump(src []byte, lvl int) { ast.DumpHelper(n, src, lvl, nil, nil) }
func (*directive) IsRaw() bool                { return true }

// callout is a block quote that began with [!KIND].
type callout struct {
	ast.BaseBlock
	kind   string // lower case: "note", ...
	title  string
	answer int // for kind answer: its number on the page, from 1
}

func (*callout) Kind() ast.NodeKind         { return kindCallout }
func (n *callout) Dump(src []byte, lvl int) { ast.DumpHelper(n, src, lvl, nil, nil) }

// tabs holds code children only, each with a tab.
type tabs struct {
	ast.BaseBlock
	number int // on the page, from 1
}

func (*tabs) Kind() ast.NodeKind         { return kindTabs }
func (n *tabs) Dump(src []byte, lvl int) { ast.DumpHelper(n, src, lvl, nil, nil) }

// code is a block of code or of recorded output, fenced or quoted from a file.
type code struct {
	ast.BaseBlock
	lang  string
	text  string
	title string // caption; for a quote the file's path
	tab   string // label in a set of tabs
}

func (*code) Kind() ast.NodeKind         { return kindCode }
func (n *code) Dump(src []byte, lvl int) { ast.DumpHelper(n, src, lvl, nil, nil) }
func (*code) IsRaw() bool                { return true }

// figure is a drawn diagram.
type figure struct {
	ast.BaseBlock
	drawing diagram.Diagram
	title   string
	number  int // on the page, from 1
}

func (*figure) Kind() ast.NodeKind         { return kindFigure }
func (n *figure) Dump(src []byte, lvl int) { ast.DumpHelper(n, src, lvl, nil, nil) }
func (*figure) IsRaw() bool                { return true }

// wide holds a table that may be broader than a phone.
type wide struct{ ast.BaseBlock }

func (*wide) Kind() ast.NodeKind         { return kindWide }
func (n *wide) Dump(src []byte, lvl int) { ast.DumpHelper(n, src, lvl, nil, nil) }

// directiveParser takes lines that start with "{{" as blocks of their own.
type directiveParser struct{}

func (directiveParser) Trigger() []byte { return []byte{'{'} }

func (directiveParser) Open(_ ast.Node, r text.Reader, _ parser.Context) (ast.Node, parser.State) {
	line, seg := r.PeekLine()
	trimmed := bytes.TrimSpace(line)
	if !bytes.HasPrefix(trimmed, []byte("{{")) {
		return nil, parser.NoChildren
	}
	n := &directive{line: string(trimmed)}
	n.Lines().Append(seg)
	r.AdvanceToEOL()
	return n, parser.NoChildren
}

func (directiveParser) Continue(ast.Node, text.Reader, parser.Context) parser.State {
	return parser.Close
}
func (directiveParser) Close(ast.Node, text.Reader, parser.Context) {}
func (directiveParser) CanInterruptParagraph() bool                 { return true }
func (directiveParser) CanAcceptIndentedLine() bool                 { return false }
