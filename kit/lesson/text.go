package lesson

import (
	"fmt"
	"strings"

	"github.com/yuin/goldmark/ast"
	east "github.com/yuin/goldmark/extension/ast"
)

// The widths that text is written for; TextOptions.Width is brought between them.
const (
	MinWidth = 40
	MaxWidth = 100
)

// TextOptions say for what terminal a page is written.
type TextOptions struct {
	Width int  // columns
	Color bool // ANSI colours and weights; without them the text has no escape codes at all
}

func (o TextOptions) width() int { return max(MinWidth, min(o.Width, MaxWidth)) }

var (
	titleStyle = style{bold: true}
	dimStyle   = style{dim: true}
	codeStyle  = style{color: '6'}
	linkStyle  = style{underline: true}
)

// Text writes the page for a terminal.
func (p *Page) Text(o TextOptions) string {
	t := &textWriter{page: p, color: o.Color}
	return t.finish(t.run(p.doc.FirstChild(), nil, o.width()), o)
}

// SectionText writes the lesson's section under a heading, with the answers to its questions, and how to read the rest. An
// id that no heading has gives the whole lesson.
func (l *Lesson) SectionText(c *Course, id string, o TextOptions) string {
	from, to := l.Page.section(id)
	if from == nil {
		return l.Text(c, o)
	}
	w := o.width()
	t := &textWriter{page: l.Page, color: o.Color}
	lines := flow([]cell{{text: "From the lesson " + l.Title, style: dimStyle}}, w)
	rest := []line{{}, {{text: strings.Repeat("─", w), style: dimStyle}},
		{{text: "All   ", style: titleStyle}, {text: "netsplit read " + l.Name, style: codeStyle}}}
	return render(append(lines, line{}), o.Color) + t.finish(t.run(from, to, w), o) + render(rest, o.Color)
}

// section finds the heading with an id, and the next one that is not below it; nil is the end of the page.
func (p *Page) section(id string) (from, to ast.Node) {
	level := 0
	for n := p.doc.FirstChild(); n != nil; n = n.NextSibling() {
		h, ok := n.(*ast.Heading)
		switch {
		case !ok:
		case from != nil && h.Level <= level:
			return from, n
		case from == nil:
			if own, _ := h.AttributeString("id"); fmt.Sprintf("%s", own) == id {
				from, level = n, h.Level
			}
		}
	}
	return from, nil
}

// finish puts the answers below the lines.
func (t *textWriter) finish(lines []line, o TextOptions) string {
	if len(t.answers) > 0 {
		lines = append(lines, line{})
		lines = append(lines, headed("Answers", 2)...)
		lines = append(lines, line{})
		for i, a := range t.answers {
			if i > 0 {
				lines = append(lines, line{})
			}
			lines = append(lines, t.bar(a, o.width(), fmt.Sprintf("%d. %s", a.answer, a.headText()))...)
		}
	}
	return render(lines, o.Color)
}

// Text writes the lesson for a terminal: its title, what it is about, the body, and where to go on.
func (l *Lesson) Text(c *Course, o TextOptions) string {
	w := o.width()
	lines := []line{{{text: l.Title, style: style{bold: true, color: '6'}}}, plainLine(strings.Repeat("═", min(w, columns(l.Title))))}
	about := fmt.Sprintf("Part %d, %s · %d minutes", l.Part.Number, l.Part.Title, l.Minutes)
	if l.Lab != "" {
		about += " · lab " + l.Lab
	}
	lines = append(lines, flow([]cell{{text: about, style: dimStyle}}, w)...)
	lines = append(lines, line{})
	var b strings.Builder
	b.WriteString(render(lines, o.Color))
	b.WriteString(l.Page.Text(o))
	b.WriteString("\n")
	b.WriteString(render(l.footer(c, w), o.Color))
	return b.String()
}

// footer says what to do after the lesson.
func (l *Lesson) footer(c *Course, w int) []line {
	lines := []line{{{text: strings.Repeat("─", w), style: dimStyle}}}
	say := func(label, command string) {
		lines = append(lines, line{{text: fmt.Sprintf("%-6s", label), style: titleStyle}, {text: command, style: codeStyle}})
	}
	if lab, ok := c.LabOf(l.Lab); ok {
		for i, s := range lab.Steps() {
			label := ""
			if i == 0 {
				label = "Lab"
			}
			say(label, s.Command)
		}
	}
	if l.Next != nil {
		say("Next", "netsplit read "+l.Next.Name)
	}
	return lines
}

func render(lines []line, color bool) string {
	var b strings.Builder
	for _, l := range lines {
		l.write(&b, color)
	}
	return b.String()
}

type textWriter struct {
	page    *Page
	color   bool
	answers []*callout
}

// blocks writes the children of n with a blank line between them.
func (t *textWriter) blocks(n ast.Node, width int) []line { return t.run(n.FirstChild(), nil, width) }

// run writes a node and its next siblings, up to one that is left out, with a blank line between them.
func (t *textWriter) run(from, to ast.Node, width int) []line {
	var out []line
	for c := from; c != nil && c != to; c = c.NextSibling() {
		made := t.block(c, width)
		if len(made) == 0 {
			continue
		}
		if len(out) > 0 && !tight(c) {
			out = append(out, line{})
		}
		out = append(out, made...)
	}
	return out
}

// tight reports whether a block follows the one before without a blank line: in a list whose items have none.
func tight(n ast.Node) bool {
	if list, ok := n.(*ast.List); ok {
		item, ok := list.Parent().(*ast.ListItem)
		return ok && tight(item)
	}
	item, ok := n.(*ast.ListItem)
	if !ok {
		return false
	}
	list, ok := item.Parent().(*ast.List)
	return ok && list.IsTight
}

func (t *textWriter) block(n ast.Node, width int) []line {
	switch n := n.(type) {
	case *ast.Heading:
		return headed(t.page.plain(n), n.Level)
	case *ast.Paragraph, *ast.TextBlock:
		return flow(t.inline(n, style{}), width)
	case *ast.List:
		return t.list(n, width)
	case *ast.Blockquote:
		return prefix(t.blocks(n, width-2), bar(0), bar(0))
	case *ast.ThematicBreak:
		return []line{{{text: strings.Repeat("─", width), style: dimStyle}}}
	case *callout:
		return t.callout(n, width)
	case *tabs:
		return t.tabs(n, width)
	case *code:
		return t.code(n)
	case *figure:
		return t.figure(n, width)
	case *wide:
		return t.blocks(n, width)
	case *east.Table:
		return t.table(n, width)
	case *east.FootnoteList:
		return append([]line{{{text: "────", style: dimStyle}}}, t.blocks(n, width)...)
	case *east.Footnote:
		mark := fmt.Sprintf("[%d] ", n.Index)
		return prefix(t.blocks(n, width-len(mark)), cell{text: mark, style: dimStyle}, cell{text: strings.Repeat(" ", len(mark))})
	}
	return t.blocks(n, width)
}

func headed(title string, level int) []line {
	out := []line{{{text: title, style: titleStyle}}}
	switch level {
	case 2:
		out = append(out, line{{text: strings.Repeat("─", columns(title)), style: dimStyle}})
	case 3:
		out = append(out, line{{text: strings.Repeat("╌", columns(title)), style: dimStyle}})
	}
	return out
}

func (t *textWriter) list(l *ast.List, width int) []line {
	number := l.Start
	var out []line
	for c := l.FirstChild(); c != nil; c = c.NextSibling() {
		mark := "• "
		if l.IsOrdered() {
			mark = fmt.Sprintf("%d. ", number)
			number++
		}
		n := columns(mark)
		made := prefix(t.blocks(c, width-n), cell{text: mark, style: dimStyle}, cell{text: strings.Repeat(" ", n)})
		if len(out) > 0 && !tight(c) {
			out = append(out, line{})
		}
		out = append(out, made...)
	}
	return out
}

var calloutColor = map[string]byte{"note": '4', "tip": '2', "important": '5', "warning": '3', "caution": '1', "try": '6', "predict": '5', "answer": '2'}

func bar(color byte) cell { return cell{text: "│ ", style: style{color: color, dim: color == 0}} }

func (c *callout) headText() string {
	switch {
	case c.title == "":
		return calloutNames[c.kind]
	case c.kind == "answer":
		return c.title
	}
	return calloutNames[c.kind] + ": " + c.title
}

// callout writes a callout where it stands, but an answer only as a pointer: it comes at the end.
func (t *textWriter) callout(c *callout, width int) []line {
	if c.kind == "answer" {
		t.answers = append(t.answers, c)
		return flow([]cell{{text: fmt.Sprintf("(Answer %d stands at the end.)", c.answer), style: dimStyle}}, width)
	}
	return t.bar(c, width, c.headText())
}

func (t *textWriter) bar(c *callout, width int, head string) []line {
	color := calloutColor[c.kind]
	lines := flow([]cell{{text: head, style: style{bold: true, color: color}}}, width-2)
	lines = append(lines, t.blocks(c, width-2)...)
	return prefix(lines, bar(color), bar(color))
}

func (t *textWriter) tabs(n *tabs, width int) []line {
	var out []line
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		k := c.(*code)
		if len(out) > 0 {
			out = append(out, line{})
		}
		out = append(out, line{{text: k.tab, style: titleStyle}})
		out = append(out, t.code(k)...)
	}
	return out
}

var tokenStyle = map[tokenKind]style{
	keyword: {color: '5'}, stringText: {color: '2'}, commentText: {dim: true}, numberText: {color: '3'}, callText: {color: '4'},
	atomText: {color: '6'}, variable: {color: '3'}, promptText: {dim: true}, outputText: {dim: true},
}

// code is indented by four and never broken: it must be possible to copy it.
func (t *textWriter) code(c *code) []line {
	var out []line
	if c.title != "" {
		out = append(out, line{{text: "  " + c.title, style: dimStyle}})
	}
	cur := line{{text: "    "}}
	for _, tok := range highlight(c.lang, c.text) {
		for i, part := range strings.Split(strings.ReplaceAll(tok.text, "\t", "    "), "\n") {
			if i > 0 {
				out = append(out, cur)
				cur = line{{text: "    "}}
			}
			if part != "" {
				cur = append(cur, cell{text: part, style: tokenStyle[tok.kind]})
			}
		}
	}
	return append(out, cur)
}

func (t *textWriter) figure(f *figure, width int) []line {
	var out []line
	for s := range strings.SplitSeq(strings.Trim(f.drawing.Text(width-2), "\n"), "\n") {
		out = append(out, plainLine("  "+s))
	}
	caption := flow([]cell{{text: f.title, style: style{italic: true, dim: true}}}, width-2)
	return append(out, prefix(caption, cell{text: "  "}, cell{text: "  "})...)
}

// inline gives the text of a block's inline nodes.
func (t *textWriter) inline(n ast.Node, s style) []cell {
	var out []cell
	for c := n.FirstChild(); c != nil; c = c.NextSibling() {
		switch c := c.(type) {
		case *ast.Text:
			text := string(c.Value(t.page.source))
			if !c.IsRaw() {
				text = unescape(text)
			}
			out = append(out, cell{text: text, style: s})
			if c.HardLineBreak() {
				out = append(out, cell{hard: true})
			} else if c.SoftLineBreak() {
				out = append(out, cell{text: " ", style: s})
			}
		case *ast.String:
			out = append(out, cell{text: string(c.Value), style: s})
		case *ast.CodeSpan:
			out = append(out, t.codeSpan(c)...)
		case *ast.Emphasis:
			inner := s
			inner.bold = s.bold || c.Level >= 2
			inner.italic = s.italic || c.Level == 1
			out = append(out, t.inline(c, inner)...)
		case *ast.Link, *ast.AutoLink:
			out = append(out, t.link(c, s)...)
		case *east.TaskCheckBox:
			mark := "[ ] "
			if c.IsChecked {
				mark = "[x] "
			}
			out = append(out, cell{text: mark, style: s})
		case *east.FootnoteLink:
			out = append(out, cell{text: fmt.Sprintf("[%d]", c.Index), style: dimStyle})
		case *east.FootnoteBacklink:
		default:
			out = append(out, t.inline(c, s)...)
		}
	}
	return out
}

// codeSpan keeps its back quotes where there is no colour to tell it from prose.
func (t *textWriter) codeSpan(n *ast.CodeSpan) []cell {
	text := t.page.raw(n)
	if !t.color {
		text = "`" + text + "`"
	}
	return []cell{{text: text, style: codeStyle}}
}

func (t *textWriter) link(n ast.Node, s style) []cell {
	if auto, ok := n.(*ast.AutoLink); ok {
		return []cell{{text: string(auto.Label(t.page.source)), style: linkStyle}}
	}
	inner := s
	inner.underline = true
	out := t.inline(n, inner)
	after := ""
	switch l := t.page.links[n]; l.Kind {
	case ToLesson:
		after = " (netsplit read " + l.Name + ")"
	case ToLab:
		after = " (lab " + l.Name + ")"
	case ToWeb:
		after = " <" + l.URL + ">"
	}
	if after != "" {
		out = append(out, cell{text: after, style: dimStyle})
	}
	return out
}

// List writes the lessons by part for a terminal.
func (c *Course) List(o TextOptions) string {
	w := o.width()
	var lines []line
	wide := 0
	for _, l := range c.lessons {
		wide = max(wide, columns(l.Name))
	}
	for i, p := range c.Parts {
		if i > 0 {
			lines = append(lines, line{})
		}
		lines = append(lines, line{{text: fmt.Sprintf("%d  %s", p.Number, p.Title), style: titleStyle}})
		for _, l := range p.Lessons {
			about := []cell{{text: l.Title + " "}, {text: fmt.Sprintf("(%d min", l.Minutes), style: dimStyle}}
			if l.Lab != "" {
				about = append(about, cell{text: ", lab " + l.Lab, style: dimStyle})
			}
			about = append(about, cell{text: ")", style: dimStyle})
			name := line{{text: "   "}, {text: l.Name, style: codeStyle}}.pad(wide + 5)
			made := flow(about, max(20, w-wide-5))
			for j, m := range made {
				if j == 0 {
					lines = append(lines, append(name, m...))
				} else {
					lines = append(lines, append(line{{text: strings.Repeat(" ", wide+5)}}, m...))
				}
			}
		}
	}
	lines = append(lines, line{}, line{{text: "netsplit read NAME", style: codeStyle}, {text: " shows one; ", style: dimStyle},
		{text: "netsplit serve", style: codeStyle}, {text: " opens them all in a browser.", style: dimStyle}})
	return render(lines, o.Color)
}
