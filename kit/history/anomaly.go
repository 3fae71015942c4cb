package history

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"netsplit/kit"
)

// Txn is one transaction as its client knows it: what it read and wrote, in order, and how it ended. Make Txns by hand,
// or out of a recorded run with Transactions.
type Txn struct {
	Name   string // how sentences call it
	Client string
	Node   kit.NodeName
	Begin  time.Duration
	End    time.Duration // Open when no answer came
	// Took says whether it happened: Yes was acknowledged, No was refused or aborted, Maybe has no answer. One that is
	// Maybe counts as having happened when somebody has seen what it wrote, and else as not having happened.
	Took  Certainty
	Steps []Step
	Ops   []int // its requests in the history, for whoever wants to show them
	// Final marks an observation of what is left when all is over. What was acknowledged must be in it.
	Final bool
}

// Step is one operation of a Txn. A key is a list to which elements are appended (StepAppend) or a register that is
// overwritten (StepWrite), never both. Each value is written to a key once only: that is how a reader's sources are known.
//
// Of lists everything can be known. A register tells the order of its values only as far as transactions read it before
// they wrote it; where a blind write belongs remains open, and an anomaly that hinges on it is not found.
type Step struct {
	Kind  StepKind
	Key   string
	Value string   // StepAppend, StepWrite
	Seen  []string // StepRead: the list, oldest first; of a register the one value; nothing when there was none
}

// StepKind says what a Step does.
type StepKind int

// The kinds of step.
const (
	StepRead StepKind = iota
	StepAppend
	StepWrite
)

// AnomalyKind names what is wrong with a history. The names in brackets are those of Adya's thesis (1999), of Berenson et
// al. (1995), or of Elle (2020).
type AnomalyKind string

// What can be wrong with a history of transactions, gravest first. No order of the transactions, one after the other,
// explains a history that has one of these; the last two need the order of time as well.
const (
	GarbageRead      AnomalyKind = "garbage read"              // a value was seen that nobody wrote
	DoubleWrite      AnomalyKind = "double write"              // one write took effect twice
	InternalMismatch AnomalyKind = "own write not seen"        // a transaction's own write was missing in its own read (internal)
	AbortedRead      AnomalyKind = "aborted read"              // seen: a write of a transaction that did not happen (G1a)
	IntermediateRead AnomalyKind = "intermediate read"         // seen: a write that its own transaction replaced (G1b)
	LostWrite        AnomalyKind = "lost write"                // an acknowledged write is not in what is left
	DivergedReads    AnomalyKind = "diverged reads"            // two reads of one key do not belong to one history of it (incompatible order)
	DirtyWrite       AnomalyKind = "dirty write"               // a cycle of overwriting alone (G0)
	CircularFlow     AnomalyKind = "circular information flow" // a cycle of overwriting and reading from (G1c)
	LostUpdate       AnomalyKind = "lost update"               // two read one version of a key, and both wrote the next (P4)
	UnrepeatableRead AnomalyKind = "unrepeatable read"         // one transaction read two versions of a key (P2)
	FracturedRead    AnomalyKind = "half transaction"          // seen: one write of a transaction, and not another (fractured read)
	ReadSkew         AnomalyKind = "read skew"                 // a cycle with exactly one overwritten read (G-single)
	WriteSkew        AnomalyKind = "write skew"                // a cycle with several overwritten reads (G2-item)
	StaleRead        AnomalyKind = "stale read"                // a reader began after a write had been acknowledged, and did not see it
	TimeTravel       AnomalyKind = "order of time"             // a cycle that needs the order of time otherwise (not strictly serializable)
)

// Anomaly is one thing wrong with a history.
type Anomaly struct {
	Kind  AnomalyKind
	Keys  []string // the keys it is about
	Txns  []string // the transactions it is about: of a cycle, in its order
	Story []string // sentences that explain it
}

// String gives the name and the sentences, a line each.
func (a Anomaly) String() string {
	return fmt.Sprintf("%s on %s:\n  %s", a.Kind, strings.Join(a.Keys, ", "), strings.Join(a.Story, "\n  "))
}

// Isolation says what Anomalies looks for.
type Isolation struct {
	// RealTime asks for strict serializability: whoever began after another's end was known comes after it, too.
	RealTime bool
	// Most bounds the anomalies that are told of each kind; 0 stands for 3.
	Most int
}

// MaxTxns and MaxSteps bound a history that Anomalies takes.
const (
	MaxTxns  = 100_000
	MaxSteps = 1_000_000
)

// Anomalies finds what no order of the transactions one after the other can explain. It infers who overwrote whom (ww), who
// read from whom (wr) and whose read was overwritten (rw), and looks for cycles; it samples nothing. An empty answer means
// that such an order exists, as far as the keys are lists, or registers that were read before each write.
//
// A history that contradicts what Txn asks for, or is too large, is a kit.Invalid error.
func Anomalies(txns []Txn, want Isolation) ([]Anomaly, error) {
	if want.Most <= 0 {
		want.Most = 3
	}
	c := &checker{txns: txns, want: want, count: map[AnomalyKind]int{}}
	if err := c.index(); err != nil {
		return nil, err
	}
	c.believe()
	c.order()
	c.look()
	c.connect()
	c.cycles()
	slices.SortStableFunc(c.found, func(a, b Anomaly) int { return gravity(a.Kind) - gravity(b.Kind) })
	return c.found, nil
}

func gravity(k AnomalyKind) int {
	return slices.Index([]AnomalyKind{GarbageRead, DoubleWrite, InternalMismatch, AbortedRead, IntermediateRead, LostWrite, DivergedReads,
		DirtyWrite, CircularFlow, LostUpdate, UnrepeatableRead, FracturedRead, ReadSkew, WriteSkew, StaleRead, TimeTravel}, k)
}

// checker holds one examination.
type checker struct {
	txns    []Txn
	want    Isolation
	keys    map[string]*keyHistory
	names   []string // of the keys, sorted
	counted []bool   // the transactions that happened
	reads   [][]read // per transaction: what it read of others
	arcs    [][]arc  // from each node of the graph: the transactions, then moments of time
	found   []Anomaly
	count   map[AnomalyKind]int
}

// keyHistory is what is known of one key.
type keyHistory struct {
	name     string
	register bool
	writes   map[string]write
	order    []string            // of a list: its longest reading; of a register nothing
	before   map[string]string   // the version that each was written on; the first on ""
	after    map[string][]string // the opposite
	written  []string            // all values, in the order of the transactions
	unread   []string            // of a list: what happened and nobody has seen
}

// write is one value of a key.
type write struct {
	txn  int
	last bool // its transaction wrote no other one after it
}

// read is a read of what others wrote; version is the newest element, or the value; "" for none.
type read struct {
	key     string
	version string
	seen    []string // without what the transaction had written itself
}

// tell takes an anomaly, unless enough of its kind are known.
func (c *checker) tell(k AnomalyKind, keys []string, txns []int, story ...string) {
	c.count[k]++
	if c.count[k] > c.want.Most {
		return
	}
	var names []string
	for _, t := range txns {
		names = append(names, c.txns[t].Name)
	}
	for i, s := range story {
		r, n := utf8.DecodeRuneInString(s)
		story[i] = string(unicode.ToUpper(r)) + s[n:]
	}
	c.found = append(c.found, Anomaly{Kind: k, Keys: keys, Txns: names, Story: story})
}

// index finds the writer of each value.
func (c *checker) index() error {
	invalid := func(format string, args ...any) error {
		return &kit.Error{Op: "check transactions", Kind: kit.Invalid, Err: fmt.Errorf(format, args...)}
	}
	if len(c.txns) > MaxTxns {
		return invalid("%d transactions; at most %d", len(c.txns), MaxTxns)
	}
	c.keys = map[string]*keyHistory{}
	steps := 0
	for i, t := range c.txns {
		last := map[string]string{}
		for _, s := range t.Steps {
			steps += 1 + len(s.Seen)/64
			k := c.key(s.Key)
			if s.Kind == StepRead {
				continue
			}
			if len(k.writes) > 0 && k.register != (s.Kind == StepWrite) {
				return invalid("key %s is a list and a register", s.Key)
			}
			if w, ok := k.writes[s.Value]; ok || s.Value == "" {
				return invalid("value %q of key %s is written twice, by %s and %s", s.Value, s.Key, c.txns[w.txn].Name, t.Name)
			}
			k.register = s.Kind == StepWrite
			if v, ok := last[s.Key]; ok {
				k.writes[v] = write{txn: i}
			}
			k.writes[s.Value] = write{txn: i, last: true}
			k.written = append(k.written, s.Value)
			last[s.Key] = s.Value
		}
	}
	if steps > MaxSteps {
		return invalid("%d steps; at most %d", steps, MaxSteps)
	}
	return nil
}

func (c *checker) key(name string) *keyHistory {
	k := c.keys[name]
	if k == nil {
		k = &keyHistory{name: name, writes: map[string]write{}, before: map[string]string{}, after: map[string][]string{}}
		c.keys[name] = k
		at, _ := slices.BinarySearch(c.names, name)
		c.names = slices.Insert(c.names, at, name)
	}
	return k
}

// believe finds out which transactions happened: those that were acknowledged, and those without an answer whose
// writes were seen by one that happened.
func (c *checker) believe() {
	c.counted = make([]bool, len(c.txns))
	var todo []int
	for i, t := range c.txns {
		if t.Took == Yes {
			c.counted[i] = true
			todo = append(todo, i)
		}
	}
	for len(todo) > 0 {
		i := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, s := range c.txns[i].Steps {
			for _, v := range s.Seen {
				w, ok := c.keys[s.Key].writes[v]
				if ok && !c.counted[w.txn] && c.txns[w.txn].Took == Maybe {
					c.counted[w.txn] = true
					todo = append(todo, w.txn)
				}
			}
		}
	}
}

// order takes the reads apart and finds the order of each key's versions.
func (c *checker) order() {
	c.reads = make([][]read, len(c.txns))
	for i := range c.txns {
		if c.counted[i] {
			c.takeReads(i)
		}
	}
	for _, name := range c.names {
		k := c.keys[name]
		if !k.register {
			c.orderList(k)
		}
	}
}

// takeReads takes what transaction i wrote itself out of what it read, and learns what its writes to registers were
// written on.
func (c *checker) takeReads(i int) {
	own := map[string][]string{}
	known := map[string]string{} // the version under the next write
	for _, s := range c.txns[i].Steps {
		k := c.keys[s.Key]
		mine := own[s.Key]
		switch {
		case s.Kind != StepRead:
			if on, ok := known[s.Key]; ok && k.register {
				k.before[s.Value] = on
				k.after[on] = append(k.after[on], s.Value)
			}
			own[s.Key], known[s.Key] = append(mine, s.Value), s.Value
			continue
		case k.register && len(mine) > 0:
			if len(s.Seen) != 1 || s.Seen[0] != mine[len(mine)-1] {
				c.tell(InternalMismatch, []string{s.Key}, []int{i}, c.ownLost(i, s, mine))
			}
			continue
		}
		if len(s.Seen) < len(mine) || !slices.Equal(s.Seen[len(s.Seen)-len(mine):], mine) {
			c.tell(InternalMismatch, []string{s.Key}, []int{i}, c.ownLost(i, s, mine))
			continue
		}
		r := read{key: s.Key, seen: s.Seen[:len(s.Seen)-len(mine)]}
		if n := len(r.seen); n > 0 {
			r.version = r.seen[n-1]
		}
		c.reads[i] = append(c.reads[i], r)
		if len(mine) == 0 {
			known[s.Key] = r.version
		}
	}
}

// orderList takes the longest reading of a list for its history; readings that are not its beginning are told.
func (c *checker) orderList(k *keyHistory) {
	longest := read{}
	by := -1
	for i, reads := range c.reads {
		for _, r := range reads {
			if r.key == k.name && (by < 0 || len(r.seen) > len(longest.seen)) {
				longest, by = r, i
			}
		}
	}
	k.order = longest.seen
	told := map[string]bool{}
	for i, reads := range c.reads {
		for _, r := range reads {
			if r.key != k.name || slices.Equal(r.seen, k.order[:min(len(r.seen), len(k.order))]) {
				continue
			}
			if fork := c.fork(k, r); !told[fork] {
				told[fork] = true
				c.diverged(k, i, r, by)
			}
		}
	}
	prev := ""
	for _, v := range k.order {
		if _, twice := k.before[v]; !twice {
			k.before[v] = prev
			k.after[prev] = append(k.after[prev], v)
		}
		prev = v
	}
	for _, v := range k.written {
		if _, seen := k.before[v]; !seen && c.counted[k.writes[v].txn] {
			k.unread = append(k.unread, v)
		}
	}
}

// fork gives the first element of a reading that is not where the longest has it.
func (c *checker) fork(k *keyHistory, r read) string {
	for i, v := range r.seen {
		if i >= len(k.order) || k.order[i] != v {
			return v
		}
	}
	return ""
}
