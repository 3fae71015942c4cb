package match

import (
	"slices"
	"sync"

	"netsplit/kit/term"
)

// Spec is a compiled match specification. It is safe for concurrent use.
type Spec struct {
	clauses []clause
	vars    int // the most variables of a clause
	envs    sync.Pool
}

type clause struct {
	head   node
	names  []term.Atom
	guards []test
	bounds []guardBound
	body   []expr
}

// CompileSpec compiles a match specification. What ets answers badarg to is kit.Invalid: no list of
// {Head, Guards, Body}, an unknown function, a variable that the head does not bind.
func CompileSpec(spec term.Term) (*Spec, error) {
	list, ok := spec.(term.List)
	if !ok {
		return nil, badarg("a match specification is a list of clauses")
	}
	s := &Spec{clauses: make([]clause, len(list))}
	for i, c := range list {
		if err := s.clauses[i].compile(c); err != nil {
			return nil, err
		}
		s.vars = max(s.vars, len(s.clauses[i].names))
	}
	return s, nil
}

func (c *clause) compile(t term.Term) error {
	parts, ok := t.(term.Tuple)
	if !ok || len(parts) != 3 {
		return badarg("a clause is {Head, Guards, Body}")
	}
	guards, ok1 := parts[1].(term.List)
	body, ok2 := parts[2].(term.List)
	if !ok1 || !ok2 {
		return badarg("guards and body are lists")
	}
	if len(body) == 0 {
		return badarg("a body has at least one term")
	}
	s := scope{slots: map[term.Atom]int{}}
	head, err := s.node(parts[0])
	if err != nil {
		return err
	}
	if _, atom := parts[0].(term.Atom); head.kind == isList || head.kind == isMap || head.kind == isConst && !isRow(parts[0]) && !atom {
		return badarg("a head is a tuple or a variable") // another atom matches nothing
	}
	c.head, c.names = head, s.names
	comp := compiler{scope: &s}
	for _, g := range guards {
		test, err := comp.test(g)
		if err != nil {
			return err
		}
		c.guards = append(c.guards, test)
		if b, ok := c.guardBound(g, &s); ok {
			c.bounds = append(c.bounds, b)
		}
	}
	for _, b := range body {
		e, err := comp.expr(b, 0)
		if err != nil {
			return err
		}
		c.body = append(c.body, e)
	}
	return nil
}

func isRow(t term.Term) bool { _, ok := t.(term.Tuple); return ok }

// env is what an expression sees while one row is looked at.
type env struct {
	row  term.Tuple
	vars []term.Term
}

// failed is the result of a body expression that raises, as ets has it.
const failed = term.Atom("EXIT")

// Run gives the result of the first clause that takes the row; false when none does.
func (s *Spec) Run(row term.Tuple) (term.Term, bool) {
	e, _ := s.envs.Get().(*env)
	if e == nil {
		e = &env{vars: make([]term.Term, s.vars)}
	}
	defer s.envs.Put(e)
	e.row = row
	for i := range s.clauses {
		c := &s.clauses[i]
		if !c.head.matchRow(row, e.vars) || !c.pass(e) {
			continue
		}
		result := term.Term(term.True)
		for _, b := range c.body {
			v, ok := b(e)
			if !ok {
				v = failed
			}
			result = v
		}
		return result, true
	}
	return nil, false
}

func (c *clause) pass(e *env) bool {
	for _, g := range c.guards {
		if yes, ok := g(e); !yes || !ok {
			return false
		}
	}
	return true
}

// Keys gives the keys that matching rows can have, each once; false when a clause leaves the key open.
func (s *Spec) Keys() ([]term.Term, bool) {
	var keys []term.Term
	for i := range s.clauses {
		p := Pattern{head: s.clauses[i].head}
		key, ok := p.Key()
		if !ok {
			return nil, false
		}
		if !slices.ContainsFunc(keys, func(k term.Term) bool { return term.Equal(k, key) }) {
			keys = append(keys, key)
		}
	}
	return keys, true
}

// Key gives the one key that every matching row has; false when there may be more.
func (s *Spec) Key() (term.Term, bool) {
	keys, ok := s.Keys()
	if !ok || len(keys) != 1 {
		return nil, false
	}
	return keys[0], true
}

// Range gives the keys of an ordered_set among which all matching rows are: by the heads, and by guards that
// compare the key with a constant.
func (s *Spec) Range() Range {
	spans := make([]span, 0, len(s.clauses))
	for i := range s.clauses {
		c := &s.clauses[i]
		r := c.head.keyRange()
		if r == nil && len(c.bounds) == 0 {
			return Range{}
		}
		if r == nil {
			r = []span{{}}
		}
		for _, sp := range r {
			for _, b := range c.bounds {
				b.narrow(&sp)
			}
			spans = append(spans, sp)
		}
	}
	return Range{spans}
}

// guardBound is what a guard says about the key.
type guardBound struct {
	op    term.Atom
	value term.Term
}

// guardBound sees whether a guard compares the variable at the key's place with a constant.
func (c *clause) guardBound(g term.Term, s *scope) (guardBound, bool) {
	t, ok := g.(term.Tuple)
	if !ok || len(t) != 3 || c.head.kind != isTuple {
		return guardBound{}, false
	}
	op, _ := t[0].(term.Atom)
	left, right := t[1], t[2]
	if !isKeyVar(left, &c.head, s) {
		left, right = right, left
		op = mirrored[op]
	}
	if !isKeyVar(left, &c.head, s) || mirrored[op] == "" {
		return guardBound{}, false
	}
	value, ok := constant(right)
	return guardBound{op, value}, ok
}

// mirrored has the comparisons that bound a key, with the operator that says the same from the other side.
var mirrored = map[term.Atom]term.Atom{"<": ">", ">": "<", "=<": ">=", ">=": "=<", "==": "==", "=:=": "=:="}

func isKeyVar(t term.Term, head *node, s *scope) bool {
	a, ok := t.(term.Atom)
	if !ok {
		return false
	}
	slot, ok := s.slots[a]
	if !ok {
		return false
	}
	return slices.ContainsFunc(head.parts, func(p node) bool { return p.at == keyPos && p.kind == isBind && p.slot == slot })
}

// constant gives the value of an expression that needs no row: a scalar, {const, T}.
func constant(t term.Term) (term.Term, bool) {
	switch x := t.(type) {
	case term.Int, term.Big, term.Float, term.Bin, term.Pid:
		return t, true
	case term.Atom:
		_, isVar := variable(x)
		return t, !isVar && x != "$_" && x != "$$"
	case term.Tuple:
		if len(x) == 2 && x[0] == term.Atom("const") {
			return x[1], true
		}
	}
	return nil, false
}

// narrow makes the span smaller by what the guard says.
func (b guardBound) narrow(s *span) {
	switch b.op {
	case ">", ">=", "==", "=:=":
		s.raise(&bound{b.value, b.op == ">"})
	}
	switch b.op {
	case "<", "=<", "==", "=:=":
		s.lower(&bound{b.value, b.op == "<"})
	}
}

func (s *span) raise(b *bound) {
	if s.above != nil {
		if c := term.Compare(b.value, s.above.value); c < 0 || c == 0 && !b.open {
			return
		}
	}
	s.above = b
	if s.from == nil || term.Compare(b.value, s.from) > 0 {
		s.from = b.value
	}
}

func (s *span) lower(b *bound) {
	if s.below != nil {
		if c := term.Compare(b.value, s.below.value); c > 0 || c == 0 && !b.open {
			return
		}
	}
	s.below = b
}
