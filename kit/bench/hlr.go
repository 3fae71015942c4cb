package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"

	"netsplit/kit/store"
	"netsplit/kit/term"
)

// The scale of bench.hrl, the file of the HLR bench's defaults.
const (
	hlrSubscribers = 25_000
	hlrGroups      = 5
	hlrServers     = 1
	hlrSuffixes    = 100 // fragments of each table; a subscriber's suffix says in which it is
)

// hlr is the "Canadian" benchmark of a home location register. Its tables are in 100 fragments, tables of their own that
// are named as mnesia_frag does it; all of a subscriber is in fragments of one number. A generator runs its
// transactions on its own node and takes write locks, which is a setting of the original too; by default that one
// sends them to the node that has a fragment's sticky locks.
type hlr struct {
	subscribers                 int
	subscriber, session, server [hlrSuffixes]string // the fragments' names

	// What this node's generators have brought about, in committed transactions.
	created, deleted, sessionReads atomic.Int64
}

func newHLR(subscribers int) *hlr {
	b := &hlr{subscribers: subscribers}
	for i := range hlrSuffixes {
		name := func(table string) string {
			if i == 0 {
				return table
			}
			return fmt.Sprintf("%s_frag%d", table, i+1)
		}
		b.subscriber[i], b.session[i], b.server[i] = name("subscriber"), name("session"), name("server")
	}
	return b
}

func (b *hlr) tables() []store.Table {
	all := []store.Table{{Name: "group", Attributes: []string{"group_id", "group_name", "allow_read", "allow_insert", "allow_delete"}}}
	for i := range hlrSuffixes {
		all = append(all,
			store.Table{Name: b.subscriber[i], RecordName: "subscriber", Attributes: []string{"subscriber_number", "subscriber_name",
				"group_id", "location", "active_sessions", "changed_by", "changed_time", "suffix"}},
			store.Table{Name: b.server[i], RecordName: "server", Attributes: []string{"server_key", "server_name", "no_of_read",
				"no_of_insert", "no_of_delete", "suffix"}},
			store.Table{Name: b.session[i], RecordName: "session", Attributes: []string{"session_key", "session_details", "suffix"}})
	}
	return all
}

// Positions of fields that change.
const (
	fieldGroup, fieldLocation, fieldActive, fieldBy, fieldTime = 3, 4, 5, 6, 7 // of a subscriber
	fieldRead, fieldInsert, fieldDelete                        = 3, 4, 5       // of a server, and the group's permissions
)

func (b *hlr) fill(ctx context.Context, s *store.Store) error {
	rng := rand.New(rand.NewPCG(1, 2))
	text := term.Bin(strings.Repeat("x", 25))
	for g := range hlrGroups {
		row := term.Tuple{term.Atom("group"), term.Int(g), term.Int(g)}
		for range 3 { // permissions: a bit for each server, set with probability 0.91
			var mask int64
			for server := range hlrServers {
				if rng.IntN(100) < 91 || g == 0 {
					mask |= 1 << server
				}
			}
			row = append(row, term.Int(mask))
		}
		if err := s.DirtyWrite(ctx, "group", row); err != nil {
			return err
		}
	}
	for server := range hlrServers {
		for suffix := range hlrSuffixes {
			row := term.Tuple{term.Atom("server"), term.Tuple{term.Int(server), term.Int(suffix)}, term.Int(server),
				term.Int(0), term.Int(0), term.Int(0), term.Int(suffix)}
			if err := s.DirtyWrite(ctx, b.server[suffix], row); err != nil {
				return err
			}
		}
	}
	for n := range b.subscribers {
		row := term.Tuple{term.Atom("subscriber"), term.Int(n), term.Bin("x"), term.Int(rng.IntN(hlrGroups)), term.Int(0), term.Int(0),
			text, text, term.Int(n % hlrSuffixes)}
		if err := s.DirtyWrite(ctx, b.subscriber[n%hlrSuffixes], row); err != nil {
			return err
		}
	}
	return nil
}

// generator is one client with the sessions that it has created.
type generator struct {
	b        *hlr
	s        *store.Store
	rng      *rand.Rand
	sessions []session
	details  term.Bin
}

type session struct{ subscriber, server int }

func (x session) key() term.Tuple    { return term.Tuple{term.Int(x.subscriber), term.Int(x.server)} }
func (x session) suffix() int        { return x.subscriber % hlrSuffixes }
func (x session) counter() term.Term { return term.Tuple{term.Int(x.server), term.Int(x.suffix())} }

func (b *hlr) client(s *store.Store, op string, i int) (action, int, error) {
	if op != "generate" {
		return nil, 0, invalid("there is no operation %q", op)
	}
	g := &generator{b: b, s: s, rng: rand.New(rand.NewPCG(uint64(i), 3)), details: term.Bin(make([]byte, 2000))}
	return g.step, 1, nil
}

var errRollBack = store.Abort(term.Atom("roll_back"))

func (g *generator) step(ctx context.Context) error {
	any := session{g.rng.IntN(g.b.subscribers), g.rng.IntN(hlrServers)}
	own := any
	if len(g.sessions) > 0 {
		own = g.sessions[0]
	}
	switch n := g.rng.IntN(100); {
	case n < 25:
		return g.move(ctx, any)
	case n < 50:
		return g.s.Activity(ctx, store.SyncDirty, func(tx *store.Tx) error { _, err := g.subscriber(tx, any); return err })
	case n < 70:
		return g.read(ctx, own)
	case n < 85:
		return g.create(ctx, any)
	}
	return g.remove(ctx, own)
}

// row reads the one row of a key.
func row(tx *store.Tx, table string, key term.Term, lk ...store.Lock) (term.Tuple, error) {
	rows, err := tx.Read(table, key, lk...)
	if err == nil && len(rows) != 1 {
		err = wrong("%s %s has %d rows", table, term.String(key), len(rows))
	}
	if err != nil {
		return nil, err
	}
	return rows[0], nil
}

func (g *generator) subscriber(tx *store.Tx, x session, lk ...store.Lock) (term.Tuple, error) {
	return row(tx, g.b.subscriber[x.suffix()], term.Int(x.subscriber), lk...)
}

// with gives a copy of a row in which one field is another.
func with(r term.Tuple, i int, v term.Term) term.Tuple {
	r = append(term.Tuple(nil), r...)
	r[i] = v
	return r
}

// move updates a subscriber's location.
func (g *generator) move(ctx context.Context, x session) error {
	text := term.Bin(strings.Repeat("y", 25))
	place := term.Int(g.rng.IntN(100_000))
	return g.s.Transaction(ctx, func(tx *store.Tx) error {
		sub, err := g.subscriber(tx, x, store.WriteLock)
		if err != nil {
			return err
		}
		sub = with(sub, fieldLocation, place)
		sub[fieldBy], sub[fieldTime] = text, text
		return tx.Write(g.b.subscriber[x.suffix()], sub)
	})
}

// allowed reads the subscriber's group, without a lock, and says whether it may do that and whether the session is there.
func (g *generator) allowed(ctx context.Context, sub term.Tuple, x session, what int) (may, active bool, err error) {
	rows, err := g.s.DirtyRead(ctx, "group", sub[fieldGroup])
	if err := got(sub[fieldGroup])(rows, err); err != nil {
		return false, false, err
	}
	bit := int64(1) << x.server
	return field(rows[0], what)&bit != 0, field(sub, fieldActive)&bit != 0, nil
}

// count adds 1 to a field of the server's row.
func (g *generator) count(tx *store.Tx, x session, i int) error {
	table := g.b.server[x.suffix()]
	server, err := row(tx, table, x.counter(), store.WriteLock)
	if err != nil {
		return err
	}
	return tx.Write(table, with(server, i, term.Int(field(server, i)+1)))
}

func (g *generator) read(ctx context.Context, x session) error {
	var done bool
	err := g.s.Transaction(ctx, func(tx *store.Tx) error {
		done = false
		sub, err := g.subscriber(tx, x)
		if err != nil {
			return err
		}
		may, active, err := g.allowed(ctx, sub, x, fieldRead)
		if err != nil || !may || !active {
			return err
		}
		if _, err := row(tx, g.b.session[x.suffix()], x.key()); err != nil {
			return err
		}
		done = true
		return g.count(tx, x, fieldRead)
	})
	if err == nil && done {
		g.b.sessionReads.Add(1)
	}
	return err
}

func (g *generator) create(ctx context.Context, x session) error {
	var done bool
	back := g.rng.IntN(100) < 2
	err := g.s.Transaction(ctx, func(tx *store.Tx) error {
		done = false
		sub, err := g.subscriber(tx, x, store.WriteLock)
		if err != nil {
			return err
		}
		may, active, err := g.allowed(ctx, sub, x, fieldInsert)
		if err != nil {
			return err
		}
		if may && !active {
			done = true
			if err := tx.Write(g.b.session[x.suffix()], term.Tuple{term.Atom("session"), x.key(), g.details, term.Int(x.suffix())}); err != nil {
				return err
			}
			bits := term.Int(field(sub, fieldActive) | 1<<x.server)
			if err := tx.Write(g.b.subscriber[x.suffix()], with(sub, fieldActive, bits)); err != nil {
				return err
			}
			if err := g.count(tx, x, fieldInsert); err != nil {
				return err
			}
		}
		return rollBack(back)
	})
	if err == nil && done {
		g.b.created.Add(1)
		g.sessions = append(g.sessions, x)
	}
	return rolledBack(err)
}

func (g *generator) remove(ctx context.Context, x session) error {
	var done bool
	back := g.rng.IntN(100) < 2
	err := g.s.Transaction(ctx, func(tx *store.Tx) error {
		done = false
		sub, err := g.subscriber(tx, x, store.WriteLock)
		if err != nil {
			return err
		}
		may, active, err := g.allowed(ctx, sub, x, fieldDelete)
		if err != nil {
			return err
		}
		if may && active {
			done = true
			if err := tx.Delete(g.b.session[x.suffix()], x.key()); err != nil {
				return err
			}
			bits := term.Int(field(sub, fieldActive) &^ (1 << x.server))
			if err := tx.Write(g.b.subscriber[x.suffix()], with(sub, fieldActive, bits)); err != nil {
				return err
			}
			if err := g.count(tx, x, fieldDelete); err != nil {
				return err
			}
		}
		return rollBack(back)
	})
	if err == nil && done {
		g.b.deleted.Add(1)
	}
	if err == nil && len(g.sessions) > 0 && g.sessions[0] == x { // done, or somebody else has deleted it, or it may not be
		g.sessions = g.sessions[1:]
	}
	return rolledBack(err)
}

func rollBack(yes bool) error {
	if yes {
		return errRollBack
	}
	return nil
}

// rolledBack forgives the error of a transaction that was to fail; it counts as one like the others.
func rolledBack(err error) error {
	if errors.Is(err, errRollBack) {
		return nil
	}
	return err
}

// sums: there are as many sessions as bits in the subscribers' masks, as were created and not deleted by the servers'
// counters and by what the generators have counted.
func (b *hlr) sums(ctx context.Context, s *store.Store) (Sums, error) {
	created, deleted, reads := b.created.Load(), b.deleted.Load(), b.sessionReads.Load()
	out := Sums{Done: []int64{created, deleted, reads, created - deleted},
		Equal: [][]int{{0, 1, 2, 9}, {3, 6}, {4, 7}, {5, 8}}}
	for _, p := range []struct {
		tables [hlrSuffixes]string
		of     func(term.Tuple) int64
	}{
		{b.session, one},
		{b.subscriber, func(r term.Tuple) int64 { return field(r, fieldActive) & 1 }}, // there is one server
		{b.server, func(r term.Tuple) int64 { return field(r, fieldInsert) - field(r, fieldDelete) }},
		{b.server, func(r term.Tuple) int64 { return field(r, fieldInsert) }},
		{b.server, func(r term.Tuple) int64 { return field(r, fieldDelete) }},
		{b.server, func(r term.Tuple) int64 { return field(r, fieldRead) }},
	} {
		var total int64
		for _, t := range p.tables {
			n, err := sum(ctx, s, t, p.of)
			if err != nil {
				return Sums{}, err
			}
			total += n
		}
		out.Copies = append(out.Copies, total)
	}
	return out, nil
}
