package diagram

import "strings"

// Flow is a flow chart: nodes, edges and groups (Mermaid's subgraphs).
type Flow struct {
	Direction string // TD, LR, BT or RL
	Nodes     []FlowNode
	Edges     []FlowEdge
	Groups    []FlowGroup
}

// FlowNode is one box. Group is the index of its innermost group, or -1.
type FlowNode struct {
	ID    string
	Label []string
	Shape string // rect, round, stadium, sub, db, circle, diamond, hex, flag
	Group int
}

// FlowEdge joins two nodes by index.
type FlowEdge struct {
	From, To int
	Label    []string
	Style    string // "", "dotted" or "thick"
	Head     head
	Both     bool // a head at either end
}

// FlowGroup is a frame around nodes; Parent is the index of the group around it, or -1.
type FlowGroup struct {
	ID     string
	Title  []string
	Parent int
}

// Text lists the chart as a tree from its sources: each node once in full, and by name where it comes again.
func (f *Flow) Text(width int) string {
	var b strings.Builder
	t := &flowTree{f: f, b: &b, seen: make([]bool, len(f.Nodes)), width: width}
	indegree := make([]int, len(f.Nodes))
	for _, e := range f.Edges {
		if e.From != e.To {
			indegree[e.To]++
		}
	}
	for i := range f.Nodes {
		if indegree[i] == 0 {
			t.root(i)
		}
	}
	for i := range f.Nodes { // what only cycles reach
		t.root(i)
	}
	return b.String()
}

type flowTree struct {
	f     *Flow
	b     *strings.Builder
	seen  []bool
	width int
}

func (t *flowTree) root(i int) {
	if t.seen[i] {
		return
	}
	t.b.WriteString(t.name(i) + "\n")
	t.children(i, "")
}

// name is a node as the tree shows it, with its group.
func (t *flowTree) name(i int) string {
	n := t.f.Nodes[i]
	l := strings.Join(n.Label, " ")
	switch n.Shape {
	case "diamond":
		l = "<" + l + ">"
	case "db":
		l = "(" + l + ")"
	default:
		l = "[" + l + "]"
	}
	if n.Group >= 0 {
		l += "  in " + strings.Join(t.f.Groups[n.Group].Title, " ")
	}
	return l
}

func (t *flowTree) children(i int, indent string) {
	t.seen[i] = true
	var out []FlowEdge
	for _, e := range t.f.Edges {
		if e.From == i {
			out = append(out, e)
		}
	}
	for k, e := range out {
		branch, below := "├─", "│  "
		if k == len(out)-1 {
			branch, below = "└─", "   "
		}
		again := t.seen[e.To]
		line := indent + branch + edgeText(e) + " " + t.name(e.To)
		if again && t.hasChildren(e.To) && e.To != i {
			line += "  (see above)"
		}
		t.b.WriteString(line + "\n")
		if !again {
			t.children(e.To, indent+below)
		}
	}
}

func (t *flowTree) hasChildren(i int) bool {
	for _, e := range t.f.Edges {
		if e.From == i {
			return true
		}
	}
	return false
}

func edgeText(e FlowEdge) string {
	line := "─"
	switch e.Style {
	case "dotted":
		line = "╌"
	case "thick":
		line = "═"
	}
	tip := "▶"
	switch e.Head {
	case headNone:
		tip = line
	case headCross:
		tip = "✕"
	case headDot:
		tip = "●"
	}
	s := line
	if l := strings.Join(e.Label, " "); l != "" {
		s = line + " " + l + " " + line
	}
	if e.Both {
		s = "◀" + s
	}
	return s + tip
}

// describe tells the chart in sentences.
func (f *Flow) describe() string {
	var b strings.Builder
	for _, e := range f.Edges {
		b.WriteString(strings.Join(f.Nodes[e.From].Label, " ") + " to " + strings.Join(f.Nodes[e.To].Label, " "))
		if l := strings.Join(e.Label, " "); l != "" {
			b.WriteString(": " + l)
		}
		b.WriteString(". ")
	}
	return strings.TrimSpace(b.String())
}
