package bench

import (
	"context"
	"math/big"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"netsplit/kit"
	"netsplit/kit/store"
	"netsplit/kit/term"
)

// tpcb is TPC-B as Mnesia's authors wrote it (mnesia_tpcb): one random number decides all of a transaction, the teller
// follows from the branch, and with one branch all drivers meet at the same record.
type tpcb struct {
	branches, accounts int // accounts of each branch
	local              int // branches that a driver uses
	reuse              bool
	sticky             bool
	self               kit.NodeName

	drivers   atomic.Int64 // drivers begun on this node: with self the name of a driver
	committed atomic.Int64
}

const tellers = 10 // of each branch

// tpcbConfigs gives the module's default and its named configurations.
func tpcbConfigs(nodes int) map[string]*tpcb {
	const perDriver, perNode = 100, 10
	return map[string]*tpcb{
		"tpcb":                {branches: 1, local: 1, accounts: 100_000},
		"tpcb_replica":        {branches: 1, local: 1, accounts: 100, reuse: true},
		"tpcb_sticky_replica": {branches: 1, local: 1, accounts: 100, reuse: true, sticky: true},
		"tpcb_conflict":       {branches: 1, local: 1, accounts: 10},
		"tpcb_dist":           {branches: nodes * perNode * perDriver, local: perDriver, accounts: 10},
	}
}

func (b *tpcb) tables() []store.Table {
	return []store.Table{
		{Name: "branch", Attributes: []string{"id", "balance", "filler"}},
		{Name: "teller", Attributes: []string{"id", "branch_id", "balance", "filler"}},
		{Name: "account", Attributes: []string{"id", "branch_id", "balance", "filler"}},
		{Name: "history", Attributes: []string{"history_id", "time_stamp", "branch_id", "teller_id", "account_id", "amount", "filler"}},
	}
}

// filler brings a record to about 100 bytes, with three large integers.
func filler() term.Term {
	n := term.Integer(new(big.Int).Lsh(big.NewInt(0x1234567), 160))
	return term.Tuple{n, n, n}
}

func (b *tpcb) fill(ctx context.Context, s *store.Store) error {
	fill := filler()
	for branch := range b.branches {
		id := term.Int(branch)
		if err := s.DirtyWrite(ctx, "branch", term.Tuple{term.Atom("branch"), id, term.Int(0), fill}); err != nil {
			return err
		}
		for t := range tellers {
			row := term.Tuple{term.Atom("teller"), term.Int(branch*tellers + t), id, term.Int(0), fill}
			if err := s.DirtyWrite(ctx, "teller", row); err != nil {
				return err
			}
		}
		for a := range b.accounts {
			row := term.Tuple{term.Atom("account"), term.Int(branch*b.accounts + a), id, term.Int(0), fill}
			if err := s.DirtyWrite(ctx, "account", row); err != nil {
				return err
			}
		}
	}
	return nil
}

// deal is what one transaction moves, and where.
type deal struct{ delta, branch, teller, account int }

// pick follows mnesia_tpcb:calc_trans: r, from 0 to below 1, decides all. That the teller is always a branch's first
// or so is how the module has it.
func (b *tpcb) pick(r float64) deal {
	tmp := int(r * float64(b.local*10))
	d := deal{delta: int(r*1999998) - 999999, branch: tmp / 10}
	d.teller = d.branch*10 + tmp/10
	if d.teller >= b.branches*tellers {
		d.teller = d.branch * 10
	}
	d.account = d.branch*b.accounts + int(r*float64(b.accounts))
	if r >= 0.85 && b.local > 1 {
		d.account = int(r * float64((b.local-1)*b.accounts))
		if d.account/b.accounts == d.branch {
			d.account += b.accounts
		}
	}
	return d
}

func (b *tpcb) client(s *store.Store, op string, i int) (action, int, error) {
	if op != "drive" {
		return nil, 0, invalid("there is no operation %q", op)
	}
	driver := term.Term(term.Tuple{term.Atom(b.self), term.Int(b.drivers.Add(1))})
	rng := rand.New(rand.NewPCG(uint64(b.drivers.Load()), uint64(i)))
	history := 0
	return func(ctx context.Context) error {
		if !b.reuse {
			history++
		}
		d, id := b.pick(rng.Float64()), term.Tuple{driver, term.Int(history)}
		err := s.Activity(ctx, store.Transaction, func(tx *store.Tx) error { return b.move(tx, d, id) })
		if err == nil {
			b.committed.Add(1)
		}
		return err
	}, 1, nil
}

// move is the transaction: three balances and a line of history.
func (b *tpcb) move(tx *store.Tx, d deal, id term.Term) error {
	read, write := store.WriteLock, store.WriteLock
	if b.sticky {
		read, write = store.ReadLock, store.StickyLock
	}
	for _, p := range []struct {
		table   string
		id, bal int
	}{{"branch", d.branch, 2}, {"teller", d.teller, 3}, {"account", d.account, 3}} {
		rows, err := tx.Read(p.table, term.Int(p.id), read)
		if err != nil {
			return err
		}
		if len(rows) != 1 {
			return wrong("%s %d has %d rows", p.table, p.id, len(rows))
		}
		row := append(term.Tuple(nil), rows[0]...)
		row[p.bal] = term.Int(field(row, p.bal) + int64(d.delta))
		if err := tx.Write(p.table, row, write); err != nil {
			return err
		}
	}
	return tx.Write("history", term.Tuple{term.Atom("history"), id, term.Int(time.Now().UnixMicro()), term.Int(d.branch),
		term.Int(d.teller), term.Int(d.account), term.Int(d.delta), term.Int(1234567890)}, write)
}

// sums are verify_tabs: the balances of branches, tellers and accounts are the same, and so is what history says when
// its lines are kept, one for each transaction.
func (b *tpcb) sums(ctx context.Context, s *store.Store) (Sums, error) {
	out := Sums{Done: []int64{b.committed.Load()}, Equal: [][]int{{0, 1, 2}}}
	if !b.reuse {
		out.Equal = [][]int{{0, 1, 2, 3}, {4, 5}}
	}
	for _, p := range []struct {
		table string
		of    func(term.Tuple) int64
	}{
		{"branch", func(r term.Tuple) int64 { return field(r, 2) }},
		{"teller", func(r term.Tuple) int64 { return field(r, 3) }},
		{"account", func(r term.Tuple) int64 { return field(r, 3) }},
		{"history", func(r term.Tuple) int64 { return field(r, 6) }},
		{"history", one},
	} {
		n, err := sum(ctx, s, p.table, p.of)
		if err != nil {
			return Sums{}, err
		}
		out.Copies = append(out.Copies, n)
	}
	return out, nil
}
