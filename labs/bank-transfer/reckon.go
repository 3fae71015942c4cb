package banktransfer

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"netsplit/kit/grade"
	"netsplit/kit/history"
)

// reckoning asks of everything that somebody was told whether the transfers explain it: there must be a choice of those that
// may have happened by then which, together with those that must have, leads from the base to what was told. Each transfer
// is in it as a whole or not at all. When there is none, it looks for the smallest mistake that would explain it.
type reckoning struct {
	*books
	base map[string]int64
}

// unsureMost bounds the transfers of which every choice is tried. With more of them anything is believed.
const unsureMost = 14

// sums is what a view's accounts, in order, gain or lose.
type sums [accountsInAll]int64

// question is one view and what there is to explain it.
type question struct {
	view
	ids  []string
	need sums        // what the accounts changed by, without those that must have happened
	must []*transfer // answered before the view began
	may  []*transfer
	not  []*transfer // refused, and yet perhaps done
}

func (r reckoning) question(v view) question {
	q := question{view: v, ids: slices.Sorted(maps.Keys(v.has))}
	for i, id := range q.ids {
		q.need[i] = v.has[id] - r.base[id]
	}
	for _, t := range r.transfers {
		switch {
		case t.began > v.to || q.sum(t, whole) == sums{}:
		case t.refused:
			q.not = append(q.not, t)
		case t == v.own, t.ended != history.Open && t.ended < v.from:
			q.must = append(q.must, t)
			q.need = q.need.less(q.sum(t, whole))
		default:
			q.may = append(q.may, t)
		}
	}
	return q
}

// part is how much of a transfer was done.
type part int

const (
	none part = iota
	debit
	credit
	whole
	twice
)

// sum is what a part of a transfer does to the accounts of the view.
func (q question) sum(t *transfer, p part) (s sums) {
	for i, id := range q.ids {
		if id == t.from && (p == debit || p == whole) {
			s[i] -= t.amount
		}
		if id == t.to && (p == credit || p == whole) {
			s[i] += t.amount
		}
		if p == twice {
			s[i] += 2 * t.effect(id)
		}
	}
	return s
}

func (s sums) less(t sums) sums {
	for i := range s {
		s[i] -= t[i]
	}
	return s
}

// explained reports whether some choice of those that may have happened gives what is needed.
func (q question) explained(need sums, may []*transfer) bool {
	if need == (sums{}) || len(may) > unsureMost {
		return true
	}
	for i, t := range may {
		if q.explained(need.less(q.sum(t, whole)), may[i+1:]) {
			return true
		}
	}
	return false
}

// mistake is a transfer of which another part was done than should have been.
type mistake struct {
	*transfer
	should, did part
}

// mistakes are all that may be wrong with one transfer, the likeliest first.
func (q question) mistakes() []mistake {
	var all []mistake
	both := len(q.has) > 1
	for _, t := range slices.Backward(q.must) {
		if t != q.own {
			all = append(all, mistake{t, whole, none})
		}
		all = append(all, mistake{t, whole, twice})
		if both {
			all = append(all, mistake{t, whole, debit}, mistake{t, whole, credit})
		}
	}
	for _, t := range q.may {
		if both {
			all = append(all, mistake{t, none, debit}, mistake{t, none, credit})
		}
		all = append(all, mistake{t, none, twice})
	}
	for _, t := range q.not {
		all = append(all, mistake{t, none, whole})
		if both {
			all = append(all, mistake{t, none, debit}, mistake{t, none, credit})
		}
	}
	return slices.DeleteFunc(all, func(m mistake) bool { return q.sum(m.transfer, m.did) == q.sum(m.transfer, m.should) })
}

// pairsMost bounds the mistakes of which all pairs are tried.
const pairsMost = 200

// find looks for one mistake, or two, that explain a view, or for up to halvesMost transfers that were caught in the middle.
func (q question) find() []mistake {
	all := q.mistakes()
	wrong := func(m mistake) sums { return q.sum(m.transfer, m.did).less(q.sum(m.transfer, m.should)) }
	for _, m := range all {
		if q.explained(q.need.less(wrong(m)), q.may) {
			return []mistake{m}
		}
	}
	if len(q.has) == 1 || len(all) > pairsMost {
		return nil // one number is explained by many a pair
	}
	gives := q.choices()
	for i, m := range all {
		for _, n := range all[i+1:] {
			if m.transfer != n.transfer && gives[q.need.less(wrong(m)).less(wrong(n))] {
				return []mistake{m, n}
			}
		}
	}
	halves := slices.DeleteFunc(all, func(m mistake) bool { return m.should != none || m.did != debit && m.did != credit })
	for n := 3; n <= halvesMost; n++ {
		if found := q.caught(q.need, halves, n, gives); found != nil {
			return found
		}
	}
	return nil
}

// halvesMost is how many transfers an auditor may have caught in the middle for the reckoning to find out which. With more of
// them it only says that there are several.
const halvesMost = 4

// caught looks for n halves that explain what is needed together with whole transfers.
func (q question) caught(need sums, halves []mistake, n int, gives map[sums]bool) []mistake {
	if n == 0 {
		if gives[need] {
			return []mistake{}
		}
		return nil
	}
	for i, m := range halves {
		rest := slices.DeleteFunc(slices.Clone(halves[i+1:]), func(o mistake) bool { return o.transfer == m.transfer })
		if found := q.caught(need.less(q.sum(m.transfer, m.did)), rest, n-1, gives); found != nil {
			return append([]mistake{m}, found...)
		}
	}
	return nil
}

// choices are all sums that those that may have happened can give.
func (q question) choices() map[sums]bool {
	all := map[sums]bool{{}: true}
	for _, t := range q.may {
		for s := range maps.Clone(all) {
			all[s.less(sums{}.less(q.sum(t, whole)))] = true
		}
	}
	return all
}

// judge judges one view.
func (r reckoning) judge(v view) grade.Finding {
	q := r.question(v)
	for _, id := range q.ids {
		if v.has[id] < 0 {
			return r.overdrawn(q, id)
		}
	}
	if len(q.may) > unsureMost || q.explained(q.need, q.may) {
		return grade.Passed()
	}
	wrong := q.find()
	if a, b, found := r.collided(q); found && (len(wrong) != 1 || wrong[0].did == none) {
		return q.overwritten(a, b)
	}
	if len(wrong) == 0 {
		return r.unexplained(q)
	}
	var said, should, did, about []string
	var evidence []int
	for i, m := range wrong {
		if i == 0 || !q.halves(wrong) { // one that was caught in the middle says it for all
			said = append(said, q.say(m, i == 0))
		}
		for _, id := range []string{m.from, m.to} {
			has, there := v.has[id]
			if there && !slices.Contains(about, id) {
				about = append(about, id)
				should, did = append(should, fmt.Sprintf("%s %d", id, has-q.off(wrong, id))), append(did, fmt.Sprintf("%s %d", id, has))
			}
		}
		evidence = append(evidence, m.ops(4)...)
		evidence = append(evidence, r.rivals(q, m)...)
	}
	return q.failed(strings.Join(said, "; "), q.promised(wrong)+strings.Join(should, ", ")+q.inAll(wrong), strings.Join(did, ", ")+q.inAll(nil), evidence, about...)
}

// off is what mistakes change an account by.
func (q question) off(wrong []mistake, id string) (n int64) {
	i := slices.Index(q.ids, id)
	for _, m := range wrong {
		n += q.sum(m.transfer, m.did)[i] - q.sum(m.transfer, m.should)[i]
	}
	return n
}

// inAll gives the sum of a view of all accounts, without some mistakes.
func (q question) inAll(but []mistake) string {
	if len(q.has) == 1 {
		return ""
	}
	sum := int64(0)
	for _, id := range q.ids {
		sum += q.has[id] - q.off(but, id)
	}
	return fmt.Sprintf("; %d in all accounts", sum)
}

// failed makes the finding, the requests in the order of time and the view's own last; of a look at the tables only those
// that hold the accounts that it is about.
func (q question) failed(why, expected, actual string, evidence []int, about ...string) grade.Finding {
	slices.Sort(evidence)
	evidence = slices.DeleteFunc(slices.Compact(evidence), func(id int) bool { return slices.Contains(q.ops, id) })
	for i, op := range q.ops {
		if q.who != "tables" || slices.ContainsFunc(about, func(id string) bool { return home(id) == branches[i] }) {
			evidence = append(evidence, op)
		}
	}
	return grade.Failed(why, expected, actual, evidence...)
}

// ops are the first tries of a transfer.
func (t *transfer) ops(most int) (ids []int) {
	for _, o := range t.tries[:min(len(t.tries), most)] {
		ids = append(ids, o.ID)
	}
	return ids
}
