package history

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/anishathalye/porcupine"

	"netsplit/kit/term"
)

// search looks for orders of the acts on one part. States are numbered, so that each is kept once and comparing
// two costs nothing, and what an act does to a state is worked out once.
type search struct {
	obj    Object
	numOf  map[any]int // of each state
	states []term.Term
	moves  map[[2]int]move // by state and act
	limit  int             // of work
	check  int             // the work for one question of an explanation
	spent  int
	broken string // why the object cannot be asked
}

// move is what an act does to a state.
type move struct {
	next   int // < 0 when the act is not possible
	answer term.Term
}

// item is an act in one search. The same act may be told in less detail: without its answer, or as one that may never have
// happened.
type item struct {
	id   int // of the act, among those of the part
	act  Act
	must bool // it happened, and before act.End
}

// over is the state in which a search that is given up runs to its end: everything is possible.
const over = -1

func newSearch(acts []Act, obj Object, limit int) *search {
	s := &search{obj: obj, numOf: map[any]int{}, moves: map[[2]int]move{}, limit: limit}
	if len(acts) > 0 {
		s.guard(func() { s.number(obj.Start(acts[0].Part)) })
	}
	return s
}

// guard runs code of the object's author.
func (s *search) guard(f func()) {
	defer func() {
		if r := recover(); r != nil {
			s.broken = fmt.Sprintf("the object cannot be asked: %v", r)
		}
	}()
	f()
}

func (s *search) number(state term.Term) int {
	if state == nil {
		return over
	}
	k := term.Key(state)
	n, ok := s.numOf[k]
	if !ok {
		n = len(s.states)
		s.numOf[k], s.states = n, append(s.states, state)
		s.spent += size(state)
	}
	return n
}

// size says how much more a term takes than a number.
func size(t term.Term) int {
	const words = 4
	switch t := t.(type) {
	case term.List:
		return len(t) / words
	case term.Tuple:
		return len(t) / words
	case term.Map:
		return len(t) / words
	case term.Bin:
		return len(t) / (16 * words)
	}
	return 0
}

// apply gives the state after an act; ok is false when its client would have been told something else.
func (s *search) apply(state int, it *item) (next int, ok bool) {
	m, known := s.moves[[2]int{state, it.id}]
	if !known {
		s.spent++
		s.guard(func() {
			a := it.act
			to, answer := s.obj.Apply(s.states[state], Act{Part: a.Part, Name: a.Name, Args: a.Args, Client: a.Client, Node: a.Node})
			m = move{s.number(to), answer}
		})
		s.moves[[2]int{state, it.id}] = m
	}
	if m.next < 0 || it.act.Answer != nil && m.answer != nil && !term.Equal(m.answer, it.act.Answer) {
		return 0, false
	}
	return m.next, true
}

// take is apply for a search: what need not have happened, and cannot, has not.
func (s *search) take(state int, it *item) (next int, ok bool) {
	if next, ok = s.apply(state, it); !ok && !it.must {
		return state, true
	}
	return next, ok
}

func (s *search) pure(a Act) bool {
	pure := false
	if s.obj.Pure != nil {
		s.guard(func() { pure = s.obj.Pure(a) })
	}
	return pure
}

// tell makes items of acts; those without an end that change nothing, or cannot help, are left out.
func (s *search) tell(acts []Act) []item {
	var all []item
	var told, may []Act
	for i, a := range acts {
		if a.End != Open {
			told = append(told, a)
		} else if a.Answer = nil; s.pure(a) {
			continue
		} else {
			may = append(may, a)
		}
		all = append(all, item{id: i, act: a, must: a.End != Open})
	}
	return s.helping(all, told, may, false)
}

// helping leaves out the items that cannot help to explain the answers of told.
func (s *search) helping(all []item, told, may []Act, often bool) []item {
	if s.obj.Helps == nil || len(may) == 0 {
		return all
	}
	s.guard(func() {
		helps := s.obj.Helps(told, may, often)
		all = slices.DeleteFunc(all, func(it item) bool { return !it.must && !helps(it.act) })
	})
	return all
}

// decide looks for an order of all acts.
func (s *search) decide(acts []Act) (verdict Certainty, why string) {
	all := s.tell(acts)
	limit := s.limit
	if verdict = s.exact(all); verdict == Maybe && s.broken == "" {
		s.limit = s.spent + limit
		if v, _ := s.coarse(all); v == No {
			verdict = No
		}
		s.limit = limit
	}
	switch {
	case s.broken != "":
		return Maybe, s.broken
	case verdict == Maybe:
		return Maybe, fmt.Sprintf("the search for an order of the %d requests was given up after %d states", len(acts), s.spent)
	}
	return verdict, ""
}

// exact looks for an order of the items, those that must have happened and any others.
func (s *search) exact(all []item) Certainty {
	found, gaveUp := s.run(all, s.take)
	switch {
	case gaveUp:
		return Maybe
	case found:
		return Yes
	}
	return No
}

// run has Porcupine look for an order of items in numbered states.
func (s *search) run(all []item, step func(state int, it *item) (next int, ok bool)) (found, gaveUp bool) {
	cost := 1 + len(all)/64
	found = porcupine.CheckOperations(porcupine.Model{
		Init: func() any { return 0 },
		Step: func(state, in, _ any) (bool, any) {
			s.spent += cost
			if gaveUp = gaveUp || s.stop(); gaveUp || state.(int) == over {
				return true, over
			}
			next, ok := step(state.(int), in.(*item))
			return ok, next
		},
		Hash: func(state any) uint64 { return spread(uint64(state.(int))) },
	}, operations(all))
	return found, gaveUp || s.stop()
}

func (s *search) stop() bool { return s.spent > s.limit || s.broken != "" }

// spread makes a hash of a number: the finalizer of SplitMix64.
func spread(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// operations gives the items to Porcupine. What need not have happened may do so after all else.
func operations(all []item) []porcupine.Operation {
	ops := make([]porcupine.Operation, len(all))
	for i := range all {
		it := &all[i]
		end := int64(math.MaxInt64)
		if it.must {
			end = int64(it.act.End)
		}
		ops[i] = porcupine.Operation{Input: it, Call: int64(it.act.Begin), Return: end}
	}
	return ops
}

// maxTogether bounds the states that a coarse search holds to be possible at one time.
const maxTogether = 256

// coarse is exact for a laxer question: what need not have happened may happen as often as one likes. So No is the truth, and
// anything else proves nothing; full says that not even this question was answered. It takes the states that are possible together for one, and so does not have to try
// which of the unanswered requests took effect when: their number hardly matters.
func (s *search) coarse(all []item) (verdict Certainty, full bool) {
	var must, may []item
	var told, others []Act
	for _, it := range all {
		if it.must {
			must, told = append(must, it), append(told, it.act)
		} else {
			may, others = append(may, it), append(others, it.act)
		}
	}
	may = s.helping(may, told, others, true)
	if s.obj.Loose != nil && len(may) > 0 {
		return s.loose(must, may)
	}
	c := coarseSearch{search: s, may: may, sets: map[string]int{}, wide: map[[2]int][]int{}}
	c.number([]int{0})
	found, gaveUp := s.run(must, c.step)
	if found || gaveUp || c.full {
		return Maybe, gaveUp || c.full
	}
	return No, false
}

// loose is coarse for an object that knows how.
func (s *search) loose(must, may []item) (verdict Certainty, full bool) {
	var acts []Act
	for _, it := range may {
		acts = append(acts, it.act)
	}
	l := newSearch(nil, Object{}, s.limit-s.spent)
	var step func(term.Term, Act) term.Term
	l.guard(func() {
		start, f := s.obj.Loose(must[0].act.Part, acts)
		step = f
		l.number(start)
	})
	found, gaveUp := l.run(must, func(state int, it *item) (next int, ok bool) {
		l.spent++
		next = over
		l.guard(func() { next = l.number(step(l.states[state], it.act)) })
		return next, next != over
	})
	s.spent += l.spent
	if found || gaveUp {
		return Maybe, gaveUp
	}
	return No, false
}

// coarseSearch numbers sets of states.
type coarseSearch struct {
	*search
	may  []item // in the order of their beginning
	sets map[string]int
	all  [][]int
	wide map[[2]int][]int // a set with what the first so many of may make of it
	full bool
}

func (c *coarseSearch) number(set []int) int {
	slices.Sort(set)
	key := make([]byte, 0, 4*len(set))
	for _, n := range set {
		key = binary.LittleEndian.AppendUint32(key, uint32(n))
	}
	n, ok := c.sets[string(key)]
	if !ok {
		n = len(c.all)
		c.sets[string(key)], c.all = n, append(c.all, set)
		c.spent += len(set) / 8
	}
	return n
}

// step gives the states that are possible after an act.
func (c *coarseSearch) step(from int, it *item) (next int, ok bool) {
	begun := 0
	for begun < len(c.may) && c.may[begun].act.Begin <= it.act.End {
		begun++
	}
	var set []int
	have := map[int]bool{}
	for _, state := range c.widen(from, begun) {
		if n, ok := c.apply(state, it); ok && !have[n] {
			have[n], set = true, append(set, n)
		}
		c.spent++
	}
	if len(set) == 0 {
		return 0, false
	}
	return c.number(set), true
}

// widen adds to a set the states that some of what need not have happened leads to.
func (c *coarseSearch) widen(from, begun int) []int {
	key := [2]int{from, begun}
	if set, ok := c.wide[key]; ok {
		return set
	}
	set := slices.Clone(c.all[from])
	have := map[int]bool{}
	for _, n := range set {
		have[n] = true
	}
	for i := 0; i < len(set) && !c.full; i++ {
		for j := range c.may[:begun] {
			if n, ok := c.apply(set[i], &c.may[j]); ok && !have[n] {
				have[n], set = true, append(set, n)
			}
		}
		c.spent += begun
		c.full = len(set) > maxTogether || c.stop()
	}
	c.wide[key] = set
	return set
}
