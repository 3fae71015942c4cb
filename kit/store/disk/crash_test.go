package disk

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"netsplit/kit"
	"netsplit/kit/term"
)

// model is what a disc should hold.
type model struct {
	rows map[string]map[string][]term.Tuple
	typ  map[string]Type
	meta map[string]term.Term
}

func (m model) with(batch []Change) model {
	n := model{map[string]map[string][]term.Tuple{}, maps.Clone(m.typ), maps.Clone(m.meta)}
	for k, v := range m.rows {
		n.rows[k] = maps.Clone(v)
	}
	for _, c := range batch {
		switch c.Op {
		case SetMeta:
			n.meta[term.String(c.Key)] = c.Value
		case DelMeta:
			delete(n.meta, term.String(c.Key))
		case Create:
			if n.rows[c.Table] == nil {
				n.rows[c.Table], n.typ[c.Table] = map[string][]term.Tuple{}, c.Type
			}
		case Drop:
			delete(n.rows, c.Table)
		case Clear:
			n.rows[c.Table] = map[string][]term.Tuple{}
		default:
			k := string(c.rowKey(n.typ[c.Table]))
			n.rows[c.Table][k] = fold(n.typ[c.Table], n.rows[c.Table][k], []Change{c})
		}
	}
	return n
}

func (m model) String() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(m.rows)) {
		var rows []string
		for _, rs := range m.rows[name] {
			for _, r := range rs {
				rows = append(rows, term.String(r))
			}
		}
		slices.Sort(rows)
		fmt.Fprintf(&b, "%s: %s\n", name, strings.Join(rows, " "))
	}
	for _, k := range slices.Sorted(maps.Keys(m.meta)) {
		fmt.Fprintf(&b, "%s = %s\n", k, term.String(m.meta[k]))
	}
	return b.String()
}

// TestCrashes does random things to a disc, with random failures and power losses. After each loss the disc
// must hold exactly what some batch left, not older than the last that was promised to be on disc.
func TestCrashes(t *testing.T) {
	rounds := 150
	if testing.Short() {
		rounds = 20
	}
	for seed := range rounds {
		c := crasher{t: t, r: rand.New(rand.NewPCG(uint64(seed), 7)), m: NewMemory(), failAt: -1}
		c.states = []model{{map[string]map[string][]term.Tuple{}, map[string]Type{}, map[string]term.Term{}}}
		c.run()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

type crasher struct {
	t      *testing.T
	r      *rand.Rand
	m      *Memory
	d      *Disk
	states []model // states[0] is what is surely on the disc; then one more for each batch
	failAt int     // calls until one fails; negative: none does
}

func (c *crasher) fault(op, call, name string) error {
	if c.failAt == 0 {
		c.failAt = -1
		if c.r.IntN(2) == 0 {
			return ErrFull
		}
		return errors.New("broken disc")
	}
	c.failAt--
	return nil
}

func (c *crasher) open() {
	o := c.m.Options()
	c.failAt = -1
	o.Fault = c.fault
	c.d = open(c.t, o)
	got := content(c.t, c.d)
	for i := len(c.states) - 1; i >= 0; i-- {
		if c.states[i].String() == got {
			c.states = c.states[i : i+1]
			return
		}
	}
	c.t.Fatalf("the disc holds\n%s\nwhich no batch left; surely there was\n%s\nlast there was\n%s", got, c.states[0], c.states[len(c.states)-1])
}

func (c *crasher) run() {
	c.open()
	for range 60 {
		last := c.states[len(c.states)-1]
		if c.r.IntN(12) == 0 {
			c.failAt = c.r.IntN(12)
		}
		switch n := c.r.IntN(22); {
		case n >= 20:
			c.appendSynced(last)
		case n < 11:
			batch := c.batch(last)
			if _, err := c.d.Append(batch...); err == nil {
				c.states = append(c.states, last.with(batch))
			}
		case n < 14:
			if c.d.Sync(0) == nil {
				c.states = c.states[len(c.states)-1:]
			}
		case n < 16:
			if c.d.Dump() == nil {
				c.states = c.states[len(c.states)-1:]
			}
		case n < 17:
			c.replace(last)
		case n < 18:
			if c.d.Close() == nil {
				c.states = c.states[len(c.states)-1:]
			}
			_ = c.m.Close()
			c.open()
		case n < 19:
			for name := range last.rows { // brings what waits for a table into its image
				if _, err := c.d.Count(name); err == nil {
					break
				}
			}
		default:
			r := c.r
			if c.r.IntN(3) == 0 {
				r = nil
			}
			c.m.Crash(r)
			c.open()
		}
	}
}

func (c *crasher) appendSynced(last model) {
	batch := c.batch(last)
	next := last.with(batch)
	switch _, err := c.d.AppendSynced(batch...); {
	case err == nil:
		c.states = []model{next}
	case kit.KindOf(err) != kit.Overloaded: // it may be in the log
		c.states = append(c.states, next)
		c.m.Crash(nil)
		c.open()
	}
}

func (c *crasher) replace(last model) {
	names := slices.Sorted(maps.Keys(last.rows))
	if len(names) == 0 {
		return
	}
	name := names[c.r.IntN(len(names))]
	batch := []Change{{Op: Clear, Table: name}}
	var rows []term.Tuple
	for i := range c.r.IntN(5) {
		rows = append(rows, term.Rec("r", i, c.r.IntN(100)))
		batch = append(batch, Change{Op: Put, Table: name, Value: rows[i]})
	}
	next := last.with(batch)
	if c.d.Replace(name, slices.Values(rows)) == nil {
		c.states = []model{next}
		return
	}
	// It may have happened: then nothing that came before it can be seen alone any more.
	c.m.Crash(nil)
	c.states = append(c.states, next)
	c.open()
}

func (c *crasher) batch(last model) []Change {
	var out []Change
	cur := last
	for range 1 + c.r.IntN(4) {
		name := string(rune('a' + c.r.IntN(3)))
		ch := Change{Table: name}
		_, exists := cur.rows[name]
		typ := []Type{Set, OrderedSet, Bag}[name[0]-'a']
		key := []any{1, 1.0, 2, "k", []int{1}}[c.r.IntN(5)]
		switch n := c.r.IntN(16); {
		case n == 0:
			ch = Change{Op: SetMeta, Key: term.Atom(name), Value: term.Int(c.r.IntN(100))}
		case n == 1:
			ch = Change{Op: DelMeta, Key: term.Atom(name)}
		case !exists:
			ch.Op, ch.Type, ch.Only = Create, typ, c.r.IntN(2) == 0
		case n == 2 && len(out) == 0:
			ch.Op = Drop
		case n == 3:
			ch.Op = Clear
		case n < 6:
			ch.Op = Delete
			ch.Value, _ = term.FromGo(key)
		case n < 8:
			ch.Op, ch.Value = DeleteObject, term.Rec("r", key, c.r.IntN(3))
		default:
			ch.Op, ch.Value = Put, term.Rec("r", key, c.r.IntN(3))
		}
		if ch.Op == Create && slices.ContainsFunc(out, func(o Change) bool { return o.Table == name && o.Op != Drop }) {
			continue
		}
		out = append(out, ch)
		cur = cur.with([]Change{ch})
	}
	if len(out) == 0 {
		return []Change{{Op: SetMeta, Key: term.Atom("z"), Value: term.Int(1)}}
	}
	return out
}
