package match

import (
	"fmt"
	"slices"

	"netsplit/kit/term"
)

// expr gives a value for a row; false when it raises. test is an expr whose value is a boolean.
type (
	expr func(*env) (term.Term, bool)
	test func(*env) (yes, ok bool)
)

// maxNesting bounds the depth of an expression, which comes from outside.
const maxNesting = 100

// compiler makes closures of the expressions of one clause.
type compiler struct{ scope *scope }

// test compiles a guard. Comparisons and boolean operators avoid making terms of their results.
func (c *compiler) test(t term.Term) (test, error) { return c.testAt(t, 0) }

func (c *compiler) testAt(t term.Term, depth int) (test, error) {
	if call, ok := t.(term.Tuple); ok && len(call) > 1 && depth <= maxNesting {
		if name, ok := call[0].(term.Atom); ok {
			if holds, ok := comparisons[name]; ok && len(call) == 3 {
				return c.comparison(holds, call, depth)
			}
			if is, ok := typeTests[name]; ok && len(call) == 2 {
				return c.typeTest(is, call[1], depth)
			}
			if how, ok := connectives[name]; ok && how.fits(len(call)-1) {
				return c.connective(how, call[1:], depth)
			}
		}
	}
	e, err := c.expr(t, depth)
	if err != nil {
		return nil, err
	}
	return func(v *env) (bool, bool) {
		r, ok := e(v)
		if !ok {
			return false, false
		}
		return r == term.True, r == term.True || r == term.False
	}, nil
}

// comparisons are by value except the last two. They take the result of term.Compare, or of equality.
var comparisons = map[term.Atom]func(a, b term.Term) bool{
	"<":   func(a, b term.Term) bool { return term.Compare(a, b) < 0 },
	"=<":  func(a, b term.Term) bool { return term.Compare(a, b) <= 0 },
	">":   func(a, b term.Term) bool { return term.Compare(a, b) > 0 },
	">=":  func(a, b term.Term) bool { return term.Compare(a, b) >= 0 },
	"==":  func(a, b term.Term) bool { return term.Compare(a, b) == 0 },
	"/=":  func(a, b term.Term) bool { return term.Compare(a, b) != 0 },
	"=:=": term.Equal,
	"=/=": func(a, b term.Term) bool { return !term.Equal(a, b) },
}

func (c *compiler) comparison(holds func(a, b term.Term) bool, call term.Tuple, depth int) (test, error) {
	args, err := c.exprs(call[1:], depth)
	if err != nil {
		return nil, err
	}
	a, b := args[0], args[1]
	if value, ok := constant(call[2]); ok {
		return func(v *env) (bool, bool) {
			x, ok := a(v)
			return ok && holds(x, value), ok
		}, nil
	}
	return func(v *env) (bool, bool) {
		x, ok1 := a(v)
		y, ok2 := b(v)
		return ok1 && ok2 && holds(x, y), ok1 && ok2
	}, nil
}

var typeTests = map[term.Atom]func(term.Term) bool{
	"is_atom":      func(t term.Term) bool { _, ok := t.(term.Atom); return ok },
	"is_float":     func(t term.Term) bool { _, ok := t.(term.Float); return ok },
	"is_integer":   isInteger,
	"is_list":      func(t term.Term) bool { _, ok := t.(term.List); return ok },
	"is_number":    func(t term.Term) bool { _, ok := t.(term.Float); return ok || isInteger(t) },
	"is_pid":       func(t term.Term) bool { _, ok := t.(term.Pid); return ok },
	"is_port":      func(term.Term) bool { return false },
	"is_reference": func(t term.Term) bool { o, ok := t.(term.Opaque); return ok && o.Sort == "ref" },
	"is_tuple":     isRow,
	"is_map":       func(t term.Term) bool { _, ok := t.(term.Map); return ok },
	"is_binary":    func(t term.Term) bool { _, ok := t.(term.Bin); return ok },
	"is_function":  func(t term.Term) bool { o, ok := t.(term.Opaque); return ok && o.Sort == "fun" },
}

func isInteger(t term.Term) bool {
	switch t.(type) {
	case term.Int, term.Big:
		return true
	}
	return false
}

func (c *compiler) typeTest(is func(term.Term) bool, arg term.Term, depth int) (test, error) {
	a, err := c.expr(arg, depth+1)
	if err != nil {
		return nil, err
	}
	return func(v *env) (bool, bool) {
		x, ok := a(v)
		return ok && is(x), ok
	}, nil
}

// connective is a boolean operator over any number of arguments, all of which must be booleans. lazy stops at
// the argument that decides; decide is the value that decides.
type connective struct {
	lazy, decide bool
	not, xor     bool
}

var connectives = map[term.Atom]connective{
	"and": {}, "or": {decide: true}, "andalso": {lazy: true}, "orelse": {lazy: true, decide: true}, "not": {not: true}, "xor": {xor: true},
}

func (how connective) fits(args int) bool {
	switch {
	case how.not:
		return args == 1
	case how.xor:
		return args == 2
	}
	return args >= 1
}

func (c *compiler) connective(how connective, args []term.Term, depth int) (test, error) {
	tests := make([]test, len(args))
	for i, a := range args {
		var err error
		if tests[i], err = c.testAt(a, depth+1); err != nil {
			return nil, err
		}
	}
	switch {
	case how.not:
		return func(v *env) (bool, bool) { yes, ok := tests[0](v); return !yes, ok }, nil
	case how.xor:
		return func(v *env) (bool, bool) {
			a, ok1 := tests[0](v)
			b, ok2 := tests[1](v)
			return a != b, ok1 && ok2
		}, nil
	}
	return func(v *env) (bool, bool) {
		result := !how.decide
		for _, t := range tests {
			yes, ok := t(v)
			if !ok {
				return false, false
			}
			if yes == how.decide {
				result = yes
				if how.lazy {
					break
				}
			}
		}
		return result, true
	}, nil
}

func (c *compiler) exprs(ts []term.Term, depth int) ([]expr, error) {
	out := make([]expr, len(ts))
	for i, t := range ts {
		var err error
		if out[i], err = c.expr(t, depth+1); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// expr compiles a term of a guard or body: a variable, '$_', '$$', {const, T}, {{...}}, a list, a map, a call; any
// other term is itself.
func (c *compiler) expr(t term.Term, depth int) (expr, error) {
	if depth > maxNesting {
		return nil, badarg("an expression nested too deep")
	}
	if value, ok := constant(t); ok {
		return always(value), nil
	}
	switch x := t.(type) {
	case term.Atom:
		return c.variable(x)
	case term.List:
		elems, err := c.exprs(x, depth)
		if err != nil {
			return nil, err
		}
		return func(v *env) (term.Term, bool) {
			l, ok := evalAll(elems, v)
			return term.List(l), ok
		}, nil
	case term.Map:
		return c.mapping(x, depth)
	case term.Tuple:
		return c.tuple(x, depth)
	}
	return always(t), nil
}

func always(t term.Term) expr { return func(*env) (term.Term, bool) { return t, true } }

func evalAll(es []expr, v *env) ([]term.Term, bool) {
	out := make([]term.Term, len(es))
	for i, e := range es {
		var ok bool
		if out[i], ok = e(v); !ok {
			return nil, false
		}
	}
	return out, true
}

func (c *compiler) variable(a term.Atom) (expr, error) {
	switch a {
	case "$_":
		return func(v *env) (term.Term, bool) { return v.row, true }, nil
	case "$$":
		return c.allVariables(), nil
	}
	slot, ok := c.scope.slots[a]
	if !ok {
		return nil, badarg(fmt.Sprintf("the variable %s is not in the head", a))
	}
	return func(v *env) (term.Term, bool) { return v.vars[slot], true }, nil
}

// allVariables compiles '$$': the values of all variables of the head, by their numbers.
func (c *compiler) allVariables() expr {
	order := slices.Clone(c.scope.names)
	slices.SortFunc(order, func(a, b term.Atom) int {
		x, _ := variable(a)
		y, _ := variable(b)
		return x - y
	})
	slots := make([]int, len(order))
	for i, name := range order {
		slots[i] = c.scope.slots[name]
	}
	return func(v *env) (term.Term, bool) {
		l := make(term.List, len(slots))
		for i, s := range slots {
			l[i] = v.vars[s]
		}
		return l, true
	}
}

func (c *compiler) mapping(m term.Map, depth int) (expr, error) {
	flat := make([]term.Term, 0, 2*len(m))
	for _, p := range m {
		flat = append(flat, p.Key, p.Value)
	}
	es, err := c.exprs(flat, depth)
	if err != nil {
		return nil, err
	}
	return func(v *env) (term.Term, bool) {
		vals, ok := evalAll(es, v)
		if !ok {
			return nil, false
		}
		pairs := make([]term.Pair, len(m))
		for i := range pairs {
			pairs[i] = term.Pair{Key: vals[2*i], Value: vals[2*i+1]}
		}
		return term.MakeMap(pairs...), true
	}, nil
}

// tuple compiles {{...}}, which makes a tuple, and {Function, Args...}, which calls.
func (c *compiler) tuple(t term.Tuple, depth int) (expr, error) {
	if len(t) == 1 {
		if inner, ok := t[0].(term.Tuple); ok {
			elems, err := c.exprs(inner, depth)
			if err != nil {
				return nil, err
			}
			return func(v *env) (term.Term, bool) {
				l, ok := evalAll(elems, v)
				return term.Tuple(l), ok
			}, nil
		}
	}
	if len(t) == 0 {
		return nil, badarg("an empty call")
	}
	name, ok := t[0].(term.Atom)
	if !ok {
		return nil, badarg("a call begins with the function's name; a tuple is made with {{...}}")
	}
	return c.call(name, t, depth)
}

func (c *compiler) call(name term.Atom, t term.Tuple, depth int) (expr, error) {
	_, compares := comparisons[name]
	_, types := typeTests[name]
	how, connects := connectives[name]
	if compares && len(t) == 3 || types && len(t) == 2 || connects && how.fits(len(t)-1) {
		test, err := c.testAt(t, depth)
		if err != nil {
			return nil, err
		}
		return func(v *env) (term.Term, bool) {
			yes, ok := test(v)
			return term.Bool(yes), ok
		}, nil
	}
	f, ok := functions[name]
	if len(t) == 2 && signs[name].arity == 1 {
		f = signs[name]
	}
	if !ok || f.arity != len(t)-1 {
		return nil, badarg(fmt.Sprintf("no function %s with %d arguments", name, len(t)-1))
	}
	args, err := c.exprs(t[1:], depth)
	if err != nil {
		return nil, err
	}
	return func(v *env) (term.Term, bool) {
		var room [3]term.Term
		for i, a := range args {
			var ok bool
			if room[i], ok = a(v); !ok {
				return nil, false
			}
		}
		return f.do(room)
	}, nil
}
