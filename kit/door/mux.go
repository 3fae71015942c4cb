package door

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"netsplit/kit"
	"netsplit/kit/term"
)

// Verb is one thing that a door can be asked for.
type Verb struct {
	Name string
	// Params names the positional arguments. A name ending in "?" may be left out (only others like it follow);
	// a last name ending in "..." takes any number.
	Params  []string
	Doc     string // one line, what it answers
	Handler Handler
}

// Mux finds the handler of a request's verb. Verbs are added before the first request.
type Mux struct {
	verbs  map[string]Verb
	before func(Request) // told of every request, for idle clocks and journals; may be nil
}

// usualVerbs is about how many verbs a node has: a simulated node has little else to compute at its start than to list them.
const usualVerbs = 192

// NewMux makes a mux of verbs. A name that is taken twice, or empty, is an error.
func NewMux(verbs ...Verb) (*Mux, error) {
	m := &Mux{verbs: make(map[string]Verb, usualVerbs)}
	return m, m.Add(verbs...)
}

// Add adds verbs; none may shadow another.
func (m *Mux) Add(verbs ...Verb) error {
	for _, v := range verbs {
		switch _, taken := m.verbs[v.Name]; {
		case v.Name == "" || len(v.Name) > MaxName || v.Handler == nil:
			return &kit.Error{Op: "add verb", What: v.Name, Kind: kit.Invalid, Err: errors.New("it needs a name and a handler")}
		case taken:
			return &kit.Error{Op: "add verb", What: v.Name, Kind: kit.Exists, Err: errors.New("the name is taken"), Hint: "give the verb another name"}
		}
		m.verbs[v.Name] = v
	}
	return nil
}

// Before registers f to be told of each request before it is served.
func (m *Mux) Before(f func(Request)) { m.before = f }

// Verbs lists the verbs by name.
func (m *Mux) Verbs() []Verb {
	vs := make([]Verb, 0, len(m.verbs))
	for _, v := range m.verbs {
		vs = append(vs, v)
	}
	slices.SortFunc(vs, func(a, b Verb) int { return strings.Compare(a.Name, b.Name) })
	return vs
}

// Serve is a Handler: it finds the verb, checks the number of arguments, and turns a panic of the handler
// into an outcome, as the death of the process that Erlang would have run it in.
func (m *Mux) Serve(ctx context.Context, req Request) (out Outcome) {
	if m.before != nil {
		m.before(req)
	}
	v, ok := m.verbs[req.Verb]
	if !ok {
		return m.unknown(req.Verb)
	}
	if least, most := v.arity(); len(req.Args) < least || most >= 0 && len(req.Args) > most {
		out := ErrorWith("badarity", term.Atom(req.Verb), term.Int(len(req.Args)))
		out.Text = fmt.Sprintf("%s, not %d arguments", v.Usage(), len(req.Args))
		return out
	}
	defer func() {
		if p := recover(); p != nil {
			out = Outcome{Status: Raised, Class: "error", Kind: term.Atom("panic"), Crash: true,
				Args: []term.Term{term.Bin(strings.ToValidUTF8(fmt.Sprintf("%.1000v", p), "?"))}, Text: firstOwnFrame(debug.Stack())}
		}
	}()
	return v.Handler(ctx, req)
}

// unknown names the verbs that were perhaps meant.
func (m *Mux) unknown(verb string) Outcome {
	out := ErrorWith("unknown_verb", term.Atom(strings.ToValidUTF8(verb, "?")))
	var names []string
	for _, v := range m.Verbs() {
		names = append(names, v.Name)
	}
	near := kit.Near(verb, names)
	switch {
	case len(near) > 0:
		out.Hint = "did you mean " + strings.Join(near, ", ") + "?"
		for _, n := range near {
			out.Args = append(out.Args, term.Atom(n))
		}
	default:
		out.Hint = `the verb "verbs" lists what there is`
	}
	return out
}

// arity gives the least and the greatest number of arguments; most is -1 when there is no limit.
func (v Verb) arity() (least, most int) {
	for _, p := range v.Params {
		switch {
		case strings.HasSuffix(p, "..."):
			return least, -1
		case !strings.HasSuffix(p, "?"):
			least++
		}
	}
	return least, len(v.Params)
}

// Usage says which arguments the verb takes: "link takes node, rule?".
func (v Verb) Usage() string {
	if len(v.Params) == 0 {
		return v.Name + " takes no arguments"
	}
	return v.Name + " takes " + strings.Join(v.Params, ", ")
}

// firstOwnFrame finds where a panic came from: the function below the panic call in a stack.
func firstOwnFrame(stack []byte) string {
	lines := strings.Split(string(stack), "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "panic(") && i+2 < len(lines) {
			name := lines[i+2]
			if p := strings.LastIndexByte(name, '('); p > 0 {
				name = name[:p]
			}
			return "panic in " + name
		}
	}
	return ""
}
