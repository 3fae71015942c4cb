package grade

import (
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"netsplit/kit/history"
)

// Amount is what one account held.
type Amount struct {
	Name string
	N    *big.Int
}

// Look is what somebody saw of all accounts as of one moment between Begin and End: the answer to one request, all reads
// of one transaction, or the copies that are left when all is over.
type Look struct {
	Who     string // what was looked at, as a sentence calls it: "the balances that ann was told on b"
	Ops     []int  // the requests that told, the one that tells most last
	Amounts []Amount
	Sum     *big.Int // for a look that told only the total; used when Amounts is nil
	Begin   time.Duration
	End     time.Duration
	Bad     string // why the look cannot be added up; such a look is wrong
}

// Flow is a request that moves amounts.
type Flow struct {
	Name  string // as a sentence calls it: "the deposit d-7"
	Op    int
	Begin time.Duration
	End   time.Duration // history.Open while it is not answered
	Took  history.Certainty
	// By is how the total changes once the request has happened: a deposit raises it, a withdrawal lowers it, a transfer
	// between two accounts leaves it as it is.
	By int64
	// Moves is what a transfer takes from one account for another. It explains a wrong total, and see Conserved.InFlight.
	Moves int64
}

// Conserved demands that nothing is made and nothing vanishes: the sum over all accounts, in every look that anybody had
// of them at one moment and in what is left at the end, is the sum of the beginning and of what was put in and taken out
// since. What was acknowledged before a look began is in it, what was refused never, what was in flight or has no
// answer may be. Each look is judged by itself.
//
// A lab says in Looks what its verbs and tables mean, and in Flows which requests change the total, or move parts of it:
//
//	grade.Conserved{
//		What:  "the money in all accounts",
//		Start: 300,
//		Names: []string{"ann", "ben", "cleo"},
//		Looks: grade.Looks(
//			grade.LooksIn("balances", nil),                             // a verb that answers {ann: 90, ...}, or a total
//			grade.LooksInTransactions("account", 3, ann, ben, cleo),    // reads of all rows in one transaction
//			grade.LooksAtCopies("account", 3, "a", "b", "c")),          // each node's own copy at the end
//		Flows: grade.FlowsOf("transfer", func(o history.Op) grade.Flow {
//			return grade.Flow{Name: "the transfer " + grade.Word(o.Args[0]), Moves: amountOf(o)}
//		}),
//	}.Always
type Conserved struct {
	What  string // what must be conserved, as a sentence calls it
	Start int64
	// Names are the accounts that every look with Amounts must hold, each once. Nil accepts any.
	Names []string
	Looks func(h *history.History) []Look
	Flows func(h *history.History) []Flow // nil: nothing moves
	// InFlight accepts that what a transfer moves is in no account while the transfer is in flight, for stores that take
	// from one account before they give to the other. One without an answer is in flight for ever; so ask for it again.
	InFlight bool
	// Floor, when set, is what no account may ever be below.
	Floor *int64
}

// Always is the check.
func (c Conserved) Always(h *history.History) Finding {
	if f, cut := cutOff(h); cut {
		return f
	}
	var flows []Flow
	if c.Flows != nil {
		flows = c.Flows(h)
	}
	looks := c.Looks(h)
	if len(looks) == 0 {
		return Unclear(fmt.Sprintf("nobody looked at %s as of one moment, so nothing can be said about the sum", c.what()))
	}
	unclear := Passed()
	for _, l := range looks {
		f := c.look(l, flows)
		if f.Verdict == Fail {
			return f
		}
		if f.Verdict != Pass {
			unclear = f
		}
	}
	return unclear
}

func (c Conserved) what() string {
	if c.What == "" {
		return "the accounts"
	}
	return c.What
}

// look judges one look.
func (c Conserved) look(l Look, flows []Flow) Finding {
	if bad := c.flaw(l); bad != "" {
		return Failed(fmt.Sprintf("%s cannot be right: %s", l.Who, bad), c.wanted(), bad, l.Ops...)
	}
	sum := l.sum()
	sure, open := c.around(l, flows)
	base, exact := total64(c.Start, sure)
	sums, all := sumsOf(base, c.steps(open))
	n, fits := sum.Int64(), sum.IsInt64()
	switch _, ok := sums[n]; {
	case fits && ok:
		return Passed()
	case !exact || !all:
		return Unclear(fmt.Sprintf("what was in flight when somebody looked at %s (requests: %d) was too much to say which sums there may have been", c.what(), len(open)))
	}
	return c.wrong(l, sum, sums, flows, open)
}

// flaw says why a look is wrong by itself; empty when it is not.
func (c Conserved) flaw(l Look) string {
	if l.Bad != "" {
		return l.Bad
	}
	if l.Amounts == nil {
		if l.Sum == nil {
			return "it holds no amount"
		}
		return ""
	}
	have := map[string]bool{}
	for _, a := range l.Amounts {
		switch {
		case a.N == nil:
			return fmt.Sprintf("%s has no amount", a.Name)
		case have[a.Name]:
			return fmt.Sprintf("%s is there twice", a.Name)
		case c.Floor != nil && a.N.Cmp(big.NewInt(*c.Floor)) < 0:
			return fmt.Sprintf("%s is at %s, below %d", a.Name, number10(a.N), *c.Floor)
		}
		have[a.Name] = true
	}
	for _, n := range c.Names {
		if !have[n] {
			return fmt.Sprintf("%s is missing", n)
		}
	}
	return ""
}

func (c Conserved) wanted() string {
	s := fmt.Sprintf("amounts that add up to %d", c.Start)
	if len(c.Names) > 0 {
		s += ", one for each of " + firstFew(c.Names, ", ")
	}
	if c.Floor != nil {
		s += fmt.Sprintf(", none below %d", *c.Floor)
	}
	return s
}

func (l Look) sum() *big.Int {
	if l.Amounts == nil {
		return l.Sum
	}
	sum := new(big.Int)
	for _, a := range l.Amounts {
		sum.Add(sum, a.N)
	}
	return sum
}

// around gives the flows that a look must have seen, and those that it may have seen.
func (c Conserved) around(l Look, flows []Flow) (sure, open []Flow) {
	for _, f := range flows {
		switch {
		case f.Begin > l.End:
		case f.Took == history.Yes && f.End != history.Open && f.End < l.Begin:
			sure = append(sure, f)
		case f.Took == history.No && f.End != history.Open && f.End < l.Begin:
		default:
			open = append(open, f)
		}
	}
	return sure, open
}

// steps gives for each open flow by how much it may have changed the sum, besides not at all.
func (c Conserved) steps(open []Flow) [][]int64 {
	var all [][]int64
	for _, f := range open {
		var s []int64
		if f.By != 0 && f.Took != history.No {
			s = append(s, f.By)
		}
		if c.InFlight && f.Moves != 0 {
			s = append(s, -f.Moves)
		}
		if len(s) > 0 {
			all = append(all, s)
		}
	}
	return all
}

// maxSums bounds the sums that are followed through one look.
const maxSums = 1 << 14

// sumsOf gives all sums that a start and some of the steps, one of each kind, lead to. all is false when there were too many, or
// numbers beyond 64 bits.
func sumsOf(start int64, steps [][]int64) (sums map[int64]bool, all bool) {
	sums = map[int64]bool{start: true}
	for _, choice := range steps {
		next := maps.Clone(sums)
		for s := range sums {
			for _, by := range choice {
				t, ok := add64(s, by)
				if !ok {
					return sums, false
				}
				next[t] = true
			}
		}
		if len(next) > maxSums {
			return sums, false
		}
		sums = next
	}
	return sums, true
}

func total64(start int64, flows []Flow) (sum int64, exact bool) {
	sum, exact = start, true
	for _, f := range flows {
		s, ok := add64(sum, f.By)
		sum, exact = s, exact && ok
	}
	return sum, exact
}

func add64(a, b int64) (int64, bool) {
	if b > 0 && a > math.MaxInt64-b || b < 0 && a < math.MinInt64-b {
		return a, false
	}
	return a + b, true
}

// wrong explains a sum that there cannot have been.
func (c Conserved) wrong(l Look, sum *big.Int, sums map[int64]bool, flows, open []Flow) Finding {
	why := fmt.Sprintf("%s add up to %s, and %s never came to that", l.Who, number10(sum), c.what())
	if l.Amounts == nil {
		why = fmt.Sprintf("%s is %s, and %s never came to that", l.Who, number10(sum), c.what())
	}
	actual := number10(sum)
	if len(l.Amounts) > 0 {
		var parts []string
		for _, a := range l.Amounts {
			parts = append(parts, a.Name+": "+number10(a.N))
		}
		actual += ", from " + firstFew(parts, ", ")
	}
	var evidence []int
	if hint, op := c.hint(l, sum, sums, flows); hint != "" {
		why, evidence = why+": "+hint, append(evidence, op)
	} else {
		for _, f := range open {
			if f.By != 0 || f.Moves != 0 {
				evidence = append(evidence, f.Op)
			}
		}
		evidence = evidence[max(0, len(evidence)-maxExcerpt/2):]
	}
	return Failed(why, c.sums(sums), actual, ids(append(evidence, l.Ops...)...)...)
}

// sums lists what the total may have been.
func (c Conserved) sums(sums map[int64]bool) string {
	list := slices.Sorted(maps.Keys(sums))
	const most = 4
	if len(list) > most {
		return fmt.Sprintf("one of %d sums between %d and %d, depending on what was in flight", len(list), list[0], list[len(list)-1])
	}
	var words []string
	for _, n := range list {
		words = append(words, strconv.FormatInt(n, 10))
	}
	s := "a total of " + strings.Join(words, " or ")
	if len(list) > 1 {
		s += ", depending on what was in flight"
	}
	return s
}

// hint finds the one request whose mishap would account for a wrong sum: the latest that does.
func (c Conserved) hint(l Look, sum *big.Int, sums map[int64]bool, flows []Flow) (text string, op int) {
	var best Flow
	for _, f := range flows {
		if f.Begin > l.End || text != "" && f.Begin < best.Begin {
			continue
		}
		if t := mishap(f, sum, sums); t != "" {
			text, op, best = t, f.Op, f
		}
	}
	return text, op
}

// mishap says what must have gone wrong with a request for a sum to come about; empty when nothing fits.
func mishap(f Flow, sum *big.Int, sums map[int64]bool) string {
	without := func(by int64) bool { // the sum would be right without this
		d := new(big.Int).Sub(sum, big.NewInt(by))
		return by != 0 && d.IsInt64() && sums[d.Int64()]
	}
	refused := ""
	if f.Took == history.No {
		refused = ", which was refused,"
	}
	switch {
	case without(-f.Moves):
		return fmt.Sprintf("it is as if %s%s had taken its %d from one side and not given it to the other", f.Name, refused, f.Moves)
	case without(f.Moves):
		return fmt.Sprintf("it is as if %s%s had given its %d to one side and not taken it from the other", f.Name, refused, f.Moves)
	case f.Took == history.No && without(f.By):
		return fmt.Sprintf("it is as if %s had happened, which was refused", f.Name)
	case f.Took == history.Yes && without(-f.By):
		return fmt.Sprintf("it is as if %s, which was acknowledged, had not happened", f.Name)
	case without(f.By):
		return fmt.Sprintf("it is as if %s had happened twice", f.Name)
	}
	return ""
}

// number10 prints a number; a huge one by its first digits.
func number10(n *big.Int) string {
	const most = 256 // bits
	if n.BitLen() > most {
		return fmt.Sprintf("a number of %d bits", n.BitLen())
	}
	return n.String()
}

// firstFew joins a few words and says how many more there are.
func firstFew(words []string, sep string) string {
	const most = 8
	if len(words) <= most {
		return clip(strings.Join(words, sep), 400)
	}
	return clip(strings.Join(words[:most], sep), 400) + fmt.Sprintf(" and %d more", len(words)-most)
}
