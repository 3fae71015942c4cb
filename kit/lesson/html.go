package lesson

import (
	"bytes"
	"fmt"
	"html"
	"strings"

	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/renderer"
	"github.com/yuin/goldmark/util"
)

// HTML writes the page's body. href gives the address for each link, so that the site decides its own layout.
// No script, style or class outside the site's own style sheet is needed to read it.
func (p *Page) HTML(href func(Link) string) (string, error) {
	md := newMarkdown()
	md.Renderer().AddOptions(renderer.WithNodeRenderers(util.Prioritized(&htmlWriter{page: p, href: href}, 100)))
	var b bytes.Buffer
	if err := md.Renderer().Render(&b, p.source, p.doc); err != nil {
		return "", fmt.Errorf("write page %s: %w", p.file, err)
	}
	return b.String(), nil
}

type htmlWriter struct {
	page *Page
	href func(Link) string
}

// RegisterFuncs takes over links and headings, and writes our own nodes.
func (w *htmlWriter) RegisterFuncs(reg renderer.NodeRendererFuncRegisterer) {
	reg.Register(ast.KindHeading, w.heading)
	reg.Register(ast.KindLink, w.link)
	reg.Register(ast.KindAutoLink, w.autoLink)
	reg.Register(kindCallout, w.callout)
	reg.Register(kindTabs, w.tabs)
	reg.Register(kindCode, w.code)
	reg.Register(kindFigure, w.figure)
	reg.Register(kindWide, w.wide)
}

func (w *htmlWriter) heading(b util.BufWriter, _ []byte, n ast.Node, entering bool) (ast.WalkStatus, error) {
	h := n.(*ast.Heading)
	id, _ := h.AttributeString("id")
	if entering {
		fmt.Fprintf(b, `<h%d id="%s">`, h.Level, html.EscapeString(fmt.Sprintf("%s", id)))
		return ast.WalkContinue, nil
	}
	fmt.Fprintf(b, ` <a class="anchor" href="#%s" aria-label="Link to this section">#</a></h%d>`+"\n",
		html.EscapeString(fmt.Sprintf("%s", id)), h.Level)
	return ast.WalkContinue, nil
}

func (w *htmlWriter) link(b util.BufWriter, _ []byte, n ast.Node, entering bool) (ast.WalkStatus, error) {
	if !entering {
		_, _ = b.WriteString("</a>")
		return ast.WalkContinue, nil
	}
	link := w.page.links[n]
	rel := ""
	if link.Kind == ToWeb {
		rel = ` rel="noopener external"`
	}
	fmt.Fprintf(b, `<a href="%s"%s>`, html.EscapeString(w.href(link)), rel)
	return ast.WalkContinue, nil
}

func (w *htmlWriter) autoLink(b util.BufWriter, source []byte, n ast.Node, entering bool) (ast.WalkStatus, error) {
	if entering {
		label := n.(*ast.AutoLink).Label(source)
		fmt.Fprintf(b, `<a href="%s" rel="noopener external">%s</a>`, html.EscapeString(w.href(w.page.links[n])), html.EscapeString(string(label)))
	}
	return ast.WalkContinue, nil
}

func (w *htmlWriter) callout(b util.BufWriter, _ []byte, n ast.Node, entering bool) (ast.WalkStatus, error) {
	c := n.(*callout)
	tag, head := "aside", "p"
	if c.kind == "answer" {
		tag, head = "details", "summary"
	}
	if !entering {
		fmt.Fprintf(b, "</%s>\n", tag)
		return ast.WalkContinue, nil
	}
	title := calloutNames[c.kind]
	label := ""
	if c.title != "" && c.kind != "answer" {
		title, label = title+": "+c.title, c.title
	} else if c.title != "" {
		title = c.title
	}
	aria := ""
	if tag == "aside" {
		aria = fmt.Sprintf(` aria-label="%s"`, html.EscapeString(strings.ReplaceAll(title, "`", "")))
	}
	fmt.Fprintf(b, `<%s class="callout %s"%s>`, tag, c.kind, aria)
	switch {
	case tag == "details":
		fmt.Fprintf(b, `<%s class="callout-head">%s</%s>`+"\n", head, titleHTML(title), head)
	case label != "":
		fmt.Fprintf(b, `<%s class="callout-head"><span class="callout-kind">%s</span> %s</%s>`+"\n", head, calloutNames[c.kind], titleHTML(label), head)
	default:
		fmt.Fprintf(b, `<%s class="callout-head"><span class="callout-kind">%s</span></%s>`+"\n", head, calloutNames[c.kind], head)
	}
	return ast.WalkContinue, nil
}

// titleHTML escapes a callout's title and turns `x` into code; other marks have no meaning there.
func titleHTML(title string) string {
	parts := strings.Split(html.EscapeString(title), "`")
	var b strings.Builder
	for i, part := range parts {
		switch {
		case i%2 == 1 && i+1 < len(parts):
			b.WriteString("<code>" + part + "</code>")
		case i%2 == 1:
			b.WriteString("`" + part) // the one without a partner
		default:
			b.WriteString(part)
		}
	}
	return b.String()
}

// tabs writes radio buttons, so that switching needs no script; on paper and without style all panels show.
func (w *htmlWriter) tabs(b util.BufWriter, _ []byte, n ast.Node, entering bool) (ast.WalkStatus, error) {
	if !entering {
		return ast.WalkContinue, nil
	}
	set := n.(*tabs)
	fmt.Fprintf(b, `<fieldset class="tabs"><legend class="hidden">The same in several languages</legend>`+"\n")
	i := 0
	for c := set.FirstChild(); c != nil; c = c.NextSibling() {
		k := c.(*code)
		id := fmt.Sprintf("tab-%d-%d", set.number, i)
		checked := ""
		if i == 0 {
			checked = " checked"
		}
		label := html.EscapeString(k.tab)
		fmt.Fprintf(b, `<input type="radio" name="tabs-%d" id="%s" value="%s"%s><label for="%s">%s</label><div class="panel" data-tab="%s">`,
			set.number, id, label, checked, id, label, label)
		writeCode(b, k)
		_, _ = b.WriteString("</div>\n")
		i++
	}
	_, _ = b.WriteString("</fieldset>\n")
	return ast.WalkSkipChildren, nil
}

func (w *htmlWriter) code(b util.BufWriter, _ []byte, n ast.Node, entering bool) (ast.WalkStatus, error) {
	if entering {
		writeCode(b, n.(*code))
	}
	return ast.WalkSkipChildren, nil
}

func writeCode(b util.BufWriter, c *code) {
	name := c.title
	if name == "" {
		name = map[string]string{"console": "Terminal", "sh": "Commands", "text": "Text"}[c.lang]
	}
	if name == "" {
		name = "Code in " + c.lang
	}
	_, _ = b.WriteString(`<figure class="code">`)
	if c.title != "" {
		fmt.Fprintf(b, `<figcaption>%s</figcaption>`, html.EscapeString(c.title))
	}
	fmt.Fprintf(b, `<pre tabindex="0" role="region" aria-label="%s" data-lang="%s"><code>`, html.EscapeString(name), c.lang)
	for _, t := range highlight(c.lang, c.text) {
		text := html.EscapeString(t.text)
		if t.kind == plainText {
			_, _ = b.WriteString(text)
			continue
		}
		fmt.Fprintf(b, `<span class="%c">%s</span>`, t.kind, text)
	}
	_, _ = b.WriteString("</code></pre></figure>\n")
}

func (w *htmlWriter) figure(b util.BufWriter, _ []byte, n ast.Node, entering bool) (ast.WalkStatus, error) {
	if !entering {
		return ast.WalkContinue, nil
	}
	f := n.(*figure)
	id := fmt.Sprintf("fig-%d", f.number)
	fmt.Fprintf(b, `<figure class="diagram"><div class="canvas" tabindex="0" role="region" aria-label="%s">%s</div><figcaption>%s</figcaption></figure>`+"\n",
		html.EscapeString("Diagram: "+f.title), strings.TrimSpace(f.drawing.SVG(id, f.title)), html.EscapeString(f.title))
	return ast.WalkSkipChildren, nil
}

func (w *htmlWriter) wide(b util.BufWriter, _ []byte, _ ast.Node, entering bool) (ast.WalkStatus, error) {
	if entering {
		_, _ = b.WriteString(`<div class="wide" tabindex="0" role="region" aria-label="Table">` + "\n")
	} else {
		_, _ = b.WriteString("</div>\n")
	}
	return ast.WalkContinue, nil
}
