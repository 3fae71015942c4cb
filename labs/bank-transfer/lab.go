// Package banktransfer is the lab of transfers between accounts that lie on several nodes: a node program, graded in the
// simulator under many clients, impatient ones among them, while links are cut and nodes paused or killed.
package banktransfer

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/grade"
	"netsplit/kit/history"
	"netsplit/kit/lab"
	"netsplit/kit/term"
)

// Lab is the lab's definition.
var Lab = lab.Definition{
	Slug:      "bank-transfer",
	Scenarios: []lab.Scenario{{Name: "day", New: newDay}, {Name: "split", New: newSplit}, {Name: "crash", New: newCrash}},
}

const (
	// limit is how long a request may take, as the brief says.
	limit = 5 * time.Second
	// settleIn is how long after everything is whole again all must work.
	settleIn = 5 * time.Second

	perBranch     = 3
	accountsInAll = 3 * perBranch

	// looker is the client that reads the tables themselves, through the store's own verb.
	looker = "grader"
)

var prompt = grade.Prompt{Verbs: []string{"transfer", "balance", "audit"}, Limit: limit}

// The refusals that the brief names, as a client sees them.
const (
	noAccount    = term.Atom("no_account")
	insufficient = term.Atom("insufficient_funds")
	badAmount    = term.Atom("bad_amount")
	sameAccount  = term.Atom("same_account")
)

// branches are the nodes, each with the accounts of its branch.
var branches = []kit.NodeName{"a", "b", "c"}

// bank is what a run begins with.
type bank struct {
	seed     uint64
	accounts []string // those of the first branch first
	start    map[string]int64
}

// newBank draws the accounts and what they have.
func newBank(seed uint64) *bank {
	r := rand.New(rand.NewPCG(seed, 5))
	b := &bank{seed: seed, start: map[string]int64{}}
	for _, branch := range branches {
		for _, number := range r.Perm(900)[:perBranch] {
			id := fmt.Sprintf("%s-%d", branch, 100+number)
			b.accounts = append(b.accounts, id)
			b.start[id] = 150 + r.Int64N(250)
		}
	}
	return b
}

// home is the node of an account's branch.
func home(id string) kit.NodeName { return kit.NodeName(id[:1]) }

// account is the i-th account of a branch.
func (b *bank) account(branch kit.NodeName, i int) string {
	return b.accounts[slices.Index(branches, branch)*perBranch+i]
}

func accountTable(n kit.NodeName) string { return "account_" + string(n) }

// setup starts the stores, makes each branch's tables on its node, and pays in.
func (b *bank) setup(ctx context.Context, w *lab.World) error {
	if err := lab.StartStores(ctx, w); err != nil {
		return err
	}
	for _, n := range branches {
		for _, t := range []struct {
			name       string
			attributes term.List
		}{{accountTable(n), term.Atoms("id", "balance")}, {"done_" + string(n), term.Atoms("name", "answer")}} {
			opts := term.MakeMap(term.Pair{Key: term.Atom("attributes"), Value: t.attributes},
				term.Pair{Key: term.Atom("disc_copies"), Value: term.Atoms(string(n))})
			if err := w.Do(ctx, "setup", n, "create_table", term.Atom(t.name), opts).Err(); err != nil {
				return fmt.Errorf("create table %s: %w", t.name, err)
			}
		}
		var writes term.List
		for _, id := range b.accounts {
			if home(id) == n {
				writes = append(writes, lab.List(term.Atom("write"), term.Atom(accountTable(n)), lab.Tuple(term.Atom(accountTable(n)), term.Bin(id), term.Int(b.start[id]))))
			}
		}
		if err := w.Do(ctx, "setup", n, "transaction", writes).Err(); err != nil {
			return fmt.Errorf("open the accounts of %s: %w", n, err)
		}
	}
	return nil
}

// client is one who moves money and looks.
type client struct{ *lab.Client }

func newClient(seed uint64, i int) client {
	return client{lab.NewClient(lab.ClientName(i), seed, uint64(100+i))}
}

// order is one transfer as it is asked for.
type order struct {
	from, to string
	amount   int64
	name     string
}

func (o order) args() []term.Term {
	return []term.Term{term.Bin(o.from), term.Bin(o.to), term.Int(o.amount), term.Bin(o.name)}
}

// next draws a transfer between two of the accounts. The amounts differ, so that one that is lost or doubled is known by
// its size, and are so large that now and then somebody has too little.
func (c client) next(accounts []string) order {
	from := c.Rand.IntN(len(accounts))
	to := (from + 1 + c.Rand.IntN(len(accounts)-1)) % len(accounts)
	return order{accounts[from], accounts[to], 1 + c.Rand.Int64N(170), c.NextName()}
}

// look reads the branches' tables, each on its own node. Nobody moves money meanwhile.
func (b *bank) look(ctx context.Context, w *lab.World) {
	for _, n := range branches {
		w.Do(ctx, looker, n, "local_contents", term.Atom(accountTable(n)))
	}
}

// finish asks again, under the same name, for every transfer of which its client does not know what became, and has every
// node add up.
func (b *bank) finish(ctx context.Context, w *lab.World) error {
	if err := w.Sleep(ctx, settleIn); err != nil {
		return err
	}
	for i, t := range readBooks(w.History()).open() {
		first := t.tries[0]
		lab.Ask(ctx, w, first.Client, w.Nodes()[i%len(w.Nodes())], "transfer", first.Args...)
	}
	if err := w.Sleep(ctx, atOnce); err != nil {
		return err
	}
	for _, n := range w.Nodes() {
		lab.Ask(ctx, w, looker, n, "audit")
	}
	if err := w.Sleep(ctx, settleIn/5); err != nil {
		return err
	}
	b.look(ctx, w)
	return ctx.Err()
}

// recovered wants everything that was asked in the end to be answered.
func recovered(h *history.History) grade.Finding {
	for _, o := range h.During(history.Observe).Ops {
		if slices.Contains(prompt.Verbs, o.Verb) && o.Outcome.Status != door.OK && !refusal(o) {
			return grade.Failed(fmt.Sprintf("%v after everything was whole again, %s does not answer", settleIn, o.Node),
				"an answer", grade.AnswerText(o), o.ID)
		}
	}
	return grade.Passed()
}

// refusal reports whether a request was refused by one of the bank's rules.
func refusal(o history.Op) bool {
	switch o.Outcome.Kind {
	case noAccount, insufficient, badAmount, sameAccount:
		return o.Outcome.Status == door.Aborted
	}
	return false
}
