package diagram

import (
	"regexp"
	"slices"
	"strings"
)

var (
	flowID   = regexp.MustCompile(`^[\pL\pN_](?:[\pL\pN_.]|-[\pL\pN_])*`)
	flowEdge = regexp.MustCompile(`^(<)?(-\.+->?|-\.+-|={2,}>?|-{2,}[>xo]?)`)
	// flowWords is an edge with its label inside: -- text -->, == text ==>, -. text .->
	flowWords = regexp.MustCompile(`^(<)?(--|==|-\.)\s+(.+?)\s+(-{2,}[>xo]?|={2,}>?|\.+->?)`)
)

// shapes lists the brackets of a node, longer ones first.
var shapes = []struct{ open, close, name string }{
	{"((", "))", "circle"}, {"([", "])", "stadium"}, {"[[", "]]", "sub"}, {"[(", ")]", "db"}, {"{{", "}}", "hex"},
	{"[", "]", "rect"}, {"(", ")", "round"}, {"{", "}", "diamond"}, {">", "]", "flag"},
}

type flowParser struct {
	f     *Flow
	index map[string]int
	open  []int // groups
	rest  string
	n     int
}

func parseFlow(lines []string, offset int, direction string) (*Flow, error) {
	switch direction {
	case "":
		direction = "TD"
	case "TB":
		direction = "TD"
	case "TD", "LR", "BT", "RL":
	default:
		return nil, fault(offset, "%q is no direction; use TD, LR, BT or RL", direction)
	}
	p := &flowParser{f: &Flow{Direction: direction}, index: map[string]int{}}
	for i, raw := range lines {
		p.n = offset + i + 1
		for part := range strings.SplitSeq(uncomment(raw), ";") {
			if part = strings.TrimSpace(part); part == "" {
				continue
			}
			if err := p.statement(part); err != nil {
				return nil, err
			}
		}
		if len(p.f.Edges)+len(p.f.Nodes) > maxItems {
			return nil, fault(p.n, "more than %d nodes and edges", maxItems)
		}
	}
	if len(p.open) > 0 {
		return nil, fault(p.n, "subgraph %q has no end", p.f.Groups[p.open[len(p.open)-1]].ID)
	}
	if len(p.f.Nodes) == 0 {
		return nil, fault(offset, "the chart has no node")
	}
	return p.f, nil
}

func (p *flowParser) statement(s string) error {
	word, rest, _ := strings.Cut(s, " ")
	switch word {
	case "subgraph":
		return p.subgraph(strings.TrimSpace(rest))
	case "end":
		if len(p.open) == 0 {
			return fault(p.n, "\"end\" stands outside any subgraph")
		}
		p.open = p.open[:len(p.open)-1]
		return nil
	case "style", "classDef", "class", "click", "linkStyle", "direction":
		return fault(p.n, "%q is not supported: the page's theme styles a chart", word)
	}
	p.rest = s
	from, err := p.nodes()
	if err != nil {
		return err
	}
	for p.rest != "" {
		e, err := p.edge()
		if err != nil {
			return err
		}
		to, err := p.nodes()
		if err != nil {
			return err
		}
		for _, a := range from {
			for _, b := range to {
				e.From, e.To = a, b
				p.f.Edges = append(p.f.Edges, e)
			}
		}
		from = to
	}
	return nil
}

func (p *flowParser) subgraph(rest string) error {
	if len(p.open) == maxDepth {
		return fault(p.n, "subgraphs are nested more than %d deep", maxDepth)
	}
	id, title := rest, rest
	if i := strings.Index(rest, "["); i > 0 && strings.HasSuffix(rest, "]") {
		id, title = strings.TrimSpace(rest[:i]), rest[i+1:len(rest)-1]
	}
	if id == "" {
		return fault(p.n, "a subgraph needs a name")
	}
	p.f.Groups = append(p.f.Groups, FlowGroup{ID: id, Title: label(title), Parent: p.group()})
	p.open = append(p.open, len(p.f.Groups)-1)
	return nil
}

func (p *flowParser) group() int {
	if len(p.open) == 0 {
		return -1
	}
	return p.open[len(p.open)-1]
}

// nodes reads "A", "A[label]" or several joined by "&".
func (p *flowParser) nodes() ([]int, error) {
	var out []int
	for {
		i, err := p.node()
		if err != nil {
			return nil, err
		}
		out = append(out, i)
		p.rest = strings.TrimSpace(p.rest)
		if !strings.HasPrefix(p.rest, "&") {
			return out, nil
		}
		p.rest = strings.TrimSpace(p.rest[1:])
	}
}

func (p *flowParser) node() (int, error) {
	id := flowID.FindString(p.rest)
	if id == "" {
		return 0, fault(p.n, "a node's name is missing at %q", p.rest)
	}
	if slices.ContainsFunc(p.f.Groups, func(g FlowGroup) bool { return g.ID == id }) {
		return 0, fault(p.n, "%q is a subgraph; an edge joins nodes", id)
	}
	p.rest = p.rest[len(id):]
	i, known := p.index[id]
	if !known {
		i = len(p.f.Nodes)
		p.index[id] = i
		p.f.Nodes = append(p.f.Nodes, FlowNode{ID: id, Label: []string{id}, Shape: "rect", Group: p.group()})
	}
	for _, sh := range shapes {
		body, ok := strings.CutPrefix(p.rest, sh.open)
		if !ok {
			continue
		}
		end := strings.Index(body, sh.close)
		if strings.HasPrefix(body, `"`) {
			if q := strings.Index(body[1:], `"`); q >= 0 && strings.HasPrefix(body[q+2:], sh.close) {
				end = q + 2
			}
		}
		if end < 0 {
			return 0, fault(p.n, "%q of node %s is not closed by %q", sh.open, id, sh.close)
		}
		p.f.Nodes[i].Label, p.f.Nodes[i].Shape = label(body[:end]), sh.name
		p.rest = body[end+len(sh.close):]
		break
	}
	return i, nil
}

func (p *flowParser) edge() (FlowEdge, error) {
	var e FlowEdge
	var line string
	if m := flowWords.FindStringSubmatch(p.rest); m != nil {
		e.Both, e.Label, line = m[1] != "", label(m[3]), m[2]+m[4]
		p.rest = p.rest[len(m[0]):]
	} else if m := flowEdge.FindStringSubmatch(p.rest); m != nil {
		e.Both, line = m[1] != "", m[2]
		p.rest = p.rest[len(m[0]):]
	} else {
		return e, fault(p.n, "an arrow is missing at %q", p.rest)
	}
	switch {
	case strings.Contains(line, "."):
		e.Style = "dotted"
	case strings.Contains(line, "="):
		e.Style = "thick"
	}
	switch line[len(line)-1] {
	case '>':
		e.Head = headArrow
	case 'x':
		e.Head = headCross
	case 'o':
		e.Head = headDot
	}
	p.rest = strings.TrimSpace(p.rest)
	if body, ok := strings.CutPrefix(p.rest, "|"); ok {
		text, after, closed := strings.Cut(body, "|")
		if !closed {
			return e, fault(p.n, "the edge's label is not closed by |")
		}
		e.Label, p.rest = label(text), strings.TrimSpace(after)
	}
	return e, nil
}
