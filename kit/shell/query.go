package shell

import (
	"go.starlark.net/starlark"

	"netsplit/kit/term"
)

// query reads a query comprehension: (table, where=(attribute, operator, value), select=attribute, sort=True,
// join=(table, attribute, attribute of the other, what to take of it), lock="write").
func (c *callArgs) query() error {
	if len(c.args) != 1 {
		return c.usageError("it takes a table")
	}
	table, err := c.convert(pTable, c.args[0])
	if err != nil {
		return err
	}
	q := []term.Pair{{Key: term.Atom("from"), Value: table}}
	for _, kw := range c.kwargs {
		name, _ := starlark.AsString(kw[0])
		key, v, err := c.queryPart(name, kw[1])
		if err != nil {
			return err
		}
		q = append(q, term.Pair{Key: key, Value: v})
	}
	c.out = []term.Term{term.MakeMap(q...)}
	return nil
}

func (c *callArgs) queryPart(name string, v starlark.Value) (term.Atom, term.Term, error) {
	switch name {
	case "where":
		parts, ok := v.(starlark.Tuple)
		if !ok || len(parts) != 3 {
			return "", nil, c.usageError("where is (attribute, operator, value)")
		}
		l, err := asList(parts[:2])
		if err != nil {
			return "", nil, err
		}
		value, err := toTerm(parts[2], asData)
		list, _ := l.(term.List)
		return "filter", append(list, value), err
	case "join":
		parts, ok := v.(starlark.Tuple)
		if !ok || len(parts) != 4 {
			return "", nil, c.usageError("join is (table, attribute, attribute of it, what to take of it)")
		}
		other, err := tableName(parts[0])
		if err != nil {
			return "", nil, c.usageError("%v", err)
		}
		l, err := asList(parts[1:])
		if err != nil {
			return "", nil, err
		}
		list, _ := l.(term.List)
		return "join", term.MakeMap(term.Pair{Key: term.Atom("table"), Value: term.Atom(other)},
			term.Pair{Key: term.Atom("on"), Value: list[:2]}, term.Pair{Key: term.Atom("select"), Value: list[2]}), nil
	case "select", "sort":
		t, err := toTerm(v, asName)
		return term.Atom(name), t, err
	case "lock":
		t, err := toTerm(v, asName)
		return "opts", term.MakeMap(term.Pair{Key: term.Atom("lock"), Value: t}), err
	}
	return "", nil, c.usageError("it has no argument %s", name)
}
