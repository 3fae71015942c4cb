package grade

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"netsplit/kit"
	"netsplit/kit/history"
	"netsplit/kit/term"
)

// View is one look of one client at a group of records: all reads of one transaction, or dirty reads that follow
// each other.
type View struct {
	Client string
	Node   kit.NodeName
	Tx     bool          // read inside one committed transaction
	Begin  time.Duration // of the first dirty read, or of the transaction, also when it restarted
	End    time.Duration
	Ops    []int       // the reads, and requests that made the transaction restart
	Values []term.Term // in the order of the keys asked for: what each read answered (a list of records)
}

// Field gives the field at pos (1 is the record's name, 2 its key, as in Erlang) of the record read for the i-th
// key; nil when no such record or field was read.
func (v View) Field(i, pos int) term.Term {
	list, ok := v.Values[i].(term.List)
	if !ok || len(list) == 0 {
		return nil
	}
	r, ok := list[0].(term.Tuple)
	if !ok || pos < 1 || pos > len(r) {
		return nil
	}
	return r[pos-1]
}

// Views finds every look at all the keys of a table, in the order in which they began. A transaction counts
// when it committed; dirty reads of one client count as one look when each key was read once and the client
// read none of the keys twice in between.
func Views(h *history.History, table string, keys []term.Term) []View {
	f := viewFinder{keys: map[any]int{}, dirty: map[string]*partView{}, txs: map[string]*partView{}}
	for i, k := range keys {
		f.keys[term.Key(k)] = i
	}
	for _, a := range h.Accesses() {
		if a.Table() != table || !a.Reads() || a.Took == history.No || a.Result == nil {
			continue
		}
		i, ok := f.keys[term.Key(a.Key())]
		if !ok {
			continue
		}
		f.add(a, i)
	}
	return f.done
}

type partView struct {
	View
	have map[int]bool
}

type viewFinder struct {
	keys       map[any]int
	dirty, txs map[string]*partView
	done       []View
}

func (f *viewFinder) add(a history.Access, i int) {
	group, name := f.dirty, a.Client
	if !a.Dirty() {
		if a.Took != history.Yes {
			return
		}
		group, name = f.txs, a.Client+" "+a.Tx
	}
	v := group[name]
	if v == nil || v.have[i] && a.Dirty() {
		v = &partView{View: View{Client: a.Client, Node: a.Node, Tx: !a.Dirty(), Begin: a.Since,
			Ops: slices.Clone(a.Restarts), Values: make([]term.Term, len(f.keys))}, have: map[int]bool{}}
		group[name] = v
	}
	if v.have[i] {
		return // a transaction sees its own first answer
	}
	v.have[i], v.Values[i], v.End = true, a.Result, a.End
	if n := len(v.Ops); n == 0 || v.Ops[n-1] != a.OpID {
		v.Ops = append(v.Ops, a.OpID)
	}
	if len(v.have) == len(f.keys) {
		f.done = append(f.done, v.View)
		delete(group, name)
	}
}

// Sum adds up the field at pos over all keys of the view. It fails when a record is missing or the field is no
// integer, and says which.
func (v View) Sum(keys []term.Term, pos int) (*big.Int, error) {
	sum := new(big.Int)
	for i := range v.Values {
		n, ok := term.BigInt(v.Field(i, pos))
		if !ok {
			return nil, fmt.Errorf("%s has no amount: the read answered %s", plain(keys[i]), show(v.Values[i]))
		}
		sum.Add(sum, n)
	}
	return sum, nil
}

// Total names a sum that must never change: the field Pos of the records Keys of Table adds up to Want.
type Total struct {
	Table string
	Keys  []term.Term
	Pos   int // 3 is the first field after the key
	Want  int64
}

// Split sorts the views of h into those that add up and those that do not; a view with a missing record does
// not add up.
func (t Total) Split(h *history.History) (right, wrong []View) {
	for _, v := range Views(h, t.Table, t.Keys) {
		sum, err := v.Sum(t.Keys, t.Pos)
		if err == nil && sum.Cmp(big.NewInt(t.Want)) == 0 {
			right = append(right, v)
		} else {
			wrong = append(wrong, v)
		}
	}
	return right, wrong
}

// Conserved demands that every look at the records adds up. No look at all is inconclusive.
func (t Total) Conserved(h *history.History) Finding {
	right, wrong := t.Split(h)
	if len(wrong) > 0 {
		return t.wrongView(h, wrong[0])
	}
	if len(right) == 0 {
		return Unclear(fmt.Sprintf("nobody read all of %s in %s together, so nothing can be said about their sum", t.names(), t.Table))
	}
	return Passed()
}

func (t Total) wrongView(h *history.History, v View) Finding {
	actual := ""
	if sum, err := v.Sum(t.Keys, t.Pos); err != nil {
		actual = err.Error()
	} else {
		actual = fmt.Sprintf("%s, from %s", sum, t.amounts(v))
	}
	how := "with dirty reads, one after the other"
	if v.Tx {
		how = "in one transaction"
	}
	f := Failed(
		fmt.Sprintf("client %s on %s read %s %s and saw a total that never existed", v.Client, v.Node, t.names(), how),
		fmt.Sprintf("a total of %d", t.Want), actual, t.around(h, v)...)
	f.Focus = v.Ops[len(v.Ops)-1]
	return f
}

// around gives the reads of the view, the writes to its records that were in flight meanwhile, and the last write
// to each before.
func (t Total) around(h *history.History, v View) []int {
	ids := map[int]bool{}
	for _, id := range v.Ops {
		ids[id] = true
	}
	before := map[any]int{}
	for _, a := range h.During(history.Work).Accesses() {
		switch {
		case !a.Writes() || a.Table() != t.Table || !t.has(a.Key()) || a.Took == history.No || a.Begin > v.End:
		case a.End != history.Open && a.End < v.Begin:
			before[term.Key(a.Key())] = a.OpID
		default:
			ids[a.OpID] = true
		}
	}
	for _, id := range before {
		ids[id] = true
	}
	return sortedIDs(ids)
}

func (t Total) has(key term.Term) bool {
	if key == nil {
		return false
	}
	for _, k := range t.Keys {
		if term.Equal(k, key) {
			return true
		}
	}
	return false
}

func (t Total) names() string {
	const most = 4
	var names []string
	for i, k := range t.Keys {
		if i == most {
			names = append(names, fmt.Sprintf("%d more", len(t.Keys)-most))
			break
		}
		names = append(names, plain(k))
	}
	return strings.Join(names, ", ")
}

func (t Total) amounts(v View) string {
	var parts []string
	for i, k := range t.Keys {
		parts = append(parts, fmt.Sprintf("%s: %s", plain(k), show(v.Field(i, t.Pos))))
	}
	return strings.Join(parts, ", ")
}

// show prints a term for a student, shortened.
func show(t term.Term) string {
	return clip(plain(t), 200)
}

func clip(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}
