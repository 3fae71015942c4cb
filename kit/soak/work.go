package soak

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/term"
)

// client is one who works at one node. Its requests are put on record.
type client struct {
	r       *run
	name    string
	node    kit.NodeName
	rand    *rand.Rand
	durable bool // it waits until what it commits is on the discs
	number  int
	made    int // values that it has made
	done    int // transactions
}

// ask sends a request, on record, and gives the request's number there.
func (c *client) ask(ctx context.Context, verb string, args ...term.Term) (door.Outcome, int) {
	r := c.r
	id := r.log.Begin(c.name, c.node, verb, args, r.w.Now())
	begun := r.w.Now()
	life, loaded := r.loadedAt(c.node)
	out := r.call(ctx, c.name, c.node, verb, args...)
	r.log.Finish(id, out, r.w.Now())
	if name := r.denied(c.node, out); loaded && name != "" {
		if now, still := r.loadedAt(c.node); still && now == life {
			r.deny(c, verb, name, begun)
		}
	}
	if out.Status == door.Lost && r.w.Now()-begun > stuckTime {
		r.stuck(c, verb, begun)
	}
	return out, id
}

// fresh makes a value that nobody else writes.
func (c *client) fresh() term.Int {
	c.made++
	return term.Int(c.number*100_000 + c.made)
}

// work makes transactions until the round's work is over.
func (c *client) work(ctx context.Context) {
	r := c.r
	for r.w.Now() < r.until && ctx.Err() == nil {
		var out door.Outcome
		switch n := c.rand.IntN(20); {
		case n < 8:
			out = c.appendLists(ctx)
		case n < 12:
			out = c.overwrite(ctx)
		case n < 16:
			out = c.transfer(ctx)
		case n < 18:
			out = c.look(ctx)
		default:
			out = c.audit(ctx)
		}
		c.done++
		if out.Status == door.Down || out.Status == door.Lost {
			_ = r.w.Sleep(ctx, 20*time.Millisecond)
			continue
		}
		_ = r.w.Sleep(ctx, time.Duration(c.rand.Int64N(int64(r.plan.Rounds[r.round].Think))))
	}
}

// some picks a few different places.
func (c *client) some(from []place, least, most int) []place {
	n := min(least+c.rand.IntN(most-least+1), len(from))
	all := slices.Clone(from)
	c.rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:n]
}

// appendLists runs an interactive transaction that reads two to five lists and appends to most of them. When it is
// restarted, it begins again on the same transaction, with new values.
func (c *client) appendLists(ctx context.Context) door.Outcome {
	const tries = 50
	places := c.some(c.r.layout.places(lists, c.r.round), 2, 5)
	writes := make([]bool, len(places))
	for i := range writes {
		writes[i] = c.rand.IntN(3) > 0
	}
	tx := term.Atom(fmt.Sprintf("%s_%d", c.name, c.done))
	out, id := c.ask(ctx, "tx_begin", tx, term.Atom("transaction"), term.Atom("infinity"), term.Bool(c.durable))
	if out.Status != door.OK {
		return out
	}
	for range tries {
		out = c.tryLists(ctx, tx, places, writes)
		if out.Status != door.Restart {
			break
		}
		c.r.count(func(n *Counts) { n.Restarted++ })
	}
	if out.Status == door.Restart {
		c.ask(ctx, "tx_kill", tx)
	}
	if out.Status == door.OK && c.durable {
		c.r.isDurable(id)
	}
	return out
}

func (c *client) tryLists(ctx context.Context, tx term.Atom, places []place, writes []bool) door.Outcome {
	both := c.rand.IntN(2) == 0 // each write right after its read, or all reads first
	held := make([]term.List, len(places))
	for i, p := range places {
		out := c.readList(ctx, tx, p, writes[i], &held[i])
		if out.Status == door.OK && both && writes[i] {
			out = c.writeList(ctx, tx, p, held[i])
		}
		if out.Status != door.OK {
			return out
		}
	}
	for i, p := range places {
		if both || !writes[i] {
			continue
		}
		if out := c.writeList(ctx, tx, p, held[i]); out.Status != door.OK {
			return out
		}
	}
	return c.step(ctx, "tx_commit", tx)
}

// step asks for one step of a transaction and waits for it.
func (c *client) step(ctx context.Context, verb string, args ...term.Term) door.Outcome {
	out, _ := c.ask(ctx, verb, args...)
	for begun := c.r.w.Now(); out.Status == door.Blocked && ctx.Err() == nil; {
		if c.r.w.Now()-begun > stuckTime {
			c.r.stuck(c, verb, begun)
			c.ask(ctx, "tx_kill", args[0])
			break
		}
		out, _ = c.ask(ctx, "tx_wait", args[0])
	}
	return out
}

func (c *client) readList(ctx context.Context, tx term.Atom, p place, write bool, held *term.List) door.Outcome {
	op := term.Atom("read")
	if write && c.rand.IntN(2) == 0 {
		op = "wread"
	}
	out := c.step(ctx, "tx_op", tx, term.L(op, term.Atom(p.table), p.key))
	if out.Status == door.OK {
		*held = listIn(out.Value)
	}
	return out
}

// listIn gives the list in the only row of an answer.
func listIn(raw json.RawMessage) term.List {
	t, err := term.FromJSON(raw)
	rows, _ := t.(term.List)
	if err != nil || len(rows) == 0 {
		return nil
	}
	row, _ := rows[0].(term.Tuple)
	if len(row) < 3 {
		return nil
	}
	l, _ := row[2].(term.List)
	return l
}

func (c *client) writeList(ctx context.Context, tx term.Atom, p place, held term.List) door.Outcome {
	row := term.T(term.Atom(p.table), p.key, append(slices.Clone(held), c.fresh()))
	return c.step(ctx, "tx_op", tx, term.L(term.Atom("write"), term.Atom(p.table), row))
}

// once runs operations as one request.
func (c *client) once(ctx context.Context, ops term.List) (door.Outcome, int) {
	return c.ask(ctx, "transaction", ops, term.Atom("infinity"), term.Bool(c.durable))
}

// overwrite reads one to three registers under write locks and writes them.
func (c *client) overwrite(ctx context.Context) door.Outcome {
	var ops term.List
	for _, p := range c.some(c.r.layout.places(registers, c.r.round), 1, 3) {
		ops = append(ops, term.L(term.Atom("wread"), term.Atom(p.table), p.key),
			term.L(term.Atom("write"), term.Atom(p.table), term.T(term.Atom(p.table), p.key, c.fresh())))
	}
	out, id := c.once(ctx, ops)
	if out.Status == door.OK && c.durable {
		c.r.isDurable(id)
	}
	return out
}

// stuckTime is how long a request may take; longer than it takes to notice that a node is gone, by far.
const stuckTime = 15 * time.Second

// stuck puts on record that a transaction does not go on.
func (r *run) stuck(c *client, verb string, begun time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hangs = append(r.hangs, fmt.Sprintf("%s at %s: %s, asked at %v, had no answer %v later", c.name, c.node, verb, begun, r.w.Now()-begun))
}

// loadedAt reports whether a node has all its tables, and in which of its lives.
func (r *run) loadedAt(n kit.NodeName) (life int, loaded bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.nodes[n]
	return s.lives, s.alive && s.loaded
}

// denied gives the table of which a node says that there is no copy to be had, if it has one itself.
func (r *run) denied(n kit.NodeName, out door.Outcome) string {
	if end := (door.Outcome{}); out.Status == door.Ended && json.Unmarshal(out.Value, &end) == nil {
		out = end // of an interactive transaction
	}
	if out.Status != door.Aborted || out.Kind != term.Term(term.Atom("no_exists")) || len(out.Args) == 0 {
		return ""
	}
	what := out.Args[0]
	if l, ok := what.(term.List); ok && len(l) > 0 {
		what = l[0]
	}
	for _, t := range r.layout.tables {
		if what == term.Term(term.Atom(t.name)) && slices.Contains(t.holders(), n) {
			return t.name
		}
	}
	return ""
}

// deny puts on record that a node did not use its own copy.
func (r *run) deny(c *client, verb, name string, begun time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.denials = append(r.denials, fmt.Sprintf("%s at %s: %s, asked at %v: no_exists %s, though the copy there is loaded", c.name, c.node, verb, begun, name))
}

// transfer moves money between two accounts.
func (c *client) transfer(ctx context.Context) door.Outcome {
	from := c.rand.IntN(accounts)
	to := (from + 1 + c.rand.IntN(accounts-1)) % accounts
	sum := term.Int(1 + c.rand.IntN(9))
	out, id := c.once(ctx, term.L(term.L(term.Atom("incr"), term.Atom("bank"), term.Int(from), -sum),
		term.L(term.Atom("incr"), term.Atom("bank"), term.Int(to), sum)))
	if out.Status == door.OK && c.durable {
		c.r.isDurable(id)
	}
	return out
}

// look reads some lists and registers at once.
func (c *client) look(ctx context.Context) door.Outcome {
	var ops term.List
	l := c.r.layout
	for _, p := range c.some(slices.Concat(l.places(lists, c.r.round), l.places(registers, c.r.round)), 2, 5) {
		ops = append(ops, term.L(term.Atom("read"), term.Atom(p.table), p.key))
	}
	out, _ := c.once(ctx, ops)
	return out
}

// audit reads all accounts.
func (c *client) audit(ctx context.Context) door.Outcome {
	var ops term.List
	for i := range accounts {
		ops = append(ops, term.L(term.Atom("read"), term.Atom("bank"), term.Int(i)))
	}
	out, _ := c.once(ctx, ops)
	return out
}
