// Package messagepartition is the lab of messages across a link that breaks: which of them arrive, which are lost, and
// who knew when.
package messagepartition

import (
	"fmt"
	"math/rand/v2"

	"netsplit/kit"
	"netsplit/kit/grade"
	"netsplit/kit/lab"
	"netsplit/kit/term"
)

// Lab is the lab's definition.
var Lab = lab.Definition{Slug: "message-partition", Scenarios: []lab.Scenario{{New: newPlan}}}

var (
	senders = []string{"ada", "bo", "chen", "dana", "eve", "femi", "gita", "hugo", "ines", "juno"}
	wares   = []string{"lamps", "ropes", "boots", "cups", "nails", "seeds", "soap", "chairs", "paper", "salt"}
)

// mail is the random data of one run: the letters by the moment at which they are sent. No two are equal.
type mail struct {
	before, during, after, unnoticed []term.Term
	last                             term.Term
}

func newPlan(seed uint64) lab.Plan {
	m := newMail(rand.New(rand.NewPCG(seed, 5)))
	return lab.Plan{
		Data: map[string]term.Term{
			"before":    term.List(m.before),
			"during":    term.List(m.during),
			"after":     term.List(m.after),
			"unnoticed": term.List(m.unnoticed),
			"last":      m.last,
		},
		Setup: lab.AwaitNodes,
		Checks: []lab.Check{
			{Task: "order", Judge: m.order},
			{Task: "loud", Judge: grade.All(grade.Genuine, m.loud)},
			{Task: "lost", Judge: m.lost},
			{Task: "unnoticed", Judge: grade.All(grade.Genuine, m.silent)},
		},
	}
}

func newMail(r *rand.Rand) *mail {
	number := 100 + r.IntN(800)
	letter := func() term.Term {
		number += 1 + r.IntN(9)
		return term.Bin(fmt.Sprintf("no. %d: %s wants %s", number, senders[r.IntN(len(senders))], wares[r.IntN(len(wares))]))
	}
	letters := func() []term.Term {
		var list []term.Term
		for range 4 + r.IntN(5) {
			list = append(list, letter())
		}
		// Numbers that do not rise, so that sorting is no substitute for the order of arrival.
		r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		return list
	}
	return &mail{before: letters(), during: letters(), after: letters(), unnoticed: letters(), last: letter()}
}

func other(n kit.NodeName) kit.NodeName {
	if n == "a" {
		return "b"
	}
	return "a"
}
