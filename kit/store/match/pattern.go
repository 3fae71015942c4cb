// Package match compiles match patterns and match specifications, as ets and Mnesia have them, and runs
// them over rows. It is pure: no table, no lock, no clock.
//
// A pattern is a row with holes: '_' fits anything, '$0', '$1', ... fit anything and the same wherever they
// stand again. A match specification is a list of {Head, Guards, Body}; its first clause whose head matches
// and whose guards are all true gives the result. Matching is by =:= , so 1 and 1.0 differ, while guards compare
// with the operator they name. Source: Erlang's "Match Specifications in Erlang", ERTS User's Guide, for OTP 25.
package match

import (
	"cmp"
	"errors"
	"strconv"

	"netsplit/kit"
	"netsplit/kit/term"
)

// keyPos is the index of the key in a row.
const keyPos = 1

// Pattern is a compiled pattern. It is safe for concurrent use.
type Pattern struct {
	head node
	vars int // how many variables it binds
}

// Compile compiles a pattern. A map in it whose keys hold variables is kit.Invalid: ets answers badarg.
func Compile(pattern term.Term) (*Pattern, error) {
	s := scope{slots: map[term.Atom]int{}}
	head, err := s.node(pattern)
	if err != nil {
		return nil, err
	}
	return &Pattern{head: head, vars: len(s.names)}, nil
}

// Match reports whether the row fits.
func (p *Pattern) Match(row term.Tuple) bool {
	if p.vars == 0 {
		return p.head.matchRow(row, nil)
	}
	var room [16]term.Term
	if p.vars <= len(room) {
		return p.head.matchRow(row, room[:p.vars])
	}
	return p.head.matchRow(row, make([]term.Term, p.vars))
}

// Key gives the key that every matching row has; false when the pattern leaves it open. In an ordered_set
// the row found with it by value must still be matched.
func (p *Pattern) Key() (term.Term, bool) { return p.Field(keyPos + 1) }

// Field gives the value that every matching row has at a position (1 is the record name); false when it is open.
func (p *Pattern) Field(pos int) (term.Term, bool) {
	if p.head.kind == isConst {
		if t, ok := p.head.value.(term.Tuple); ok && pos >= 1 && pos <= len(t) {
			return t[pos-1], true
		}
		return nil, false
	}
	if p.head.kind != isTuple {
		return nil, false
	}
	for _, part := range p.head.parts {
		if part.at == pos-1 && part.kind == isConst {
			return part.value, true
		}
	}
	return nil, false
}

// Range gives the keys of an ordered_set among which all matching rows are.
func (p *Pattern) Range() Range { return Range{p.head.keyRange()} }

// kind is what a node of a pattern asks of a value.
type kind byte

const (
	isAny   kind = iota // '_'
	isConst             // equal to value
	isBind              // the first place of a variable
	isSame              // a later place of it
	isTuple             // a tuple of size, whose parts fit
	isList              // a list of size, whose parts fit
	isMap               // a map that has the keys, whose values fit
)

// node is a part of a pattern. Parts that fit anything are left out; those that fit one value come first.
type node struct {
	kind  kind
	at    int       // index in the parent
	slot  int       // isBind, isSame
	size  int       // isTuple, isList
	value term.Term // isConst; in a map: see key
	key   term.Term // parts of isMap
	parts []node
	lead  []node // isTuple, isList: the elements before the first that is open, for keyRange
}

func (n *node) match(t term.Term, vars []term.Term) bool {
	switch n.kind {
	case isAny:
		return true
	case isConst:
		return term.Equal(n.value, t)
	case isBind:
		vars[n.slot] = t
		return true
	case isSame:
		return term.Equal(vars[n.slot], t)
	case isTuple:
		x, ok := t.(term.Tuple)
		return ok && len(x) == n.size && n.matchParts(x, vars)
	case isList:
		x, ok := t.(term.List)
		return ok && len(x) == n.size && n.matchParts(x, vars)
	}
	m, ok := t.(term.Map)
	if !ok {
		return false
	}
	for i := range n.parts {
		v, ok := m.Get(n.parts[i].key)
		if !ok || !n.parts[i].match(v, vars) {
			return false
		}
	}
	return true
}

// matchRow is match for a whole row; it does not make a Term of it where it need not, because that allocates.
func (n *node) matchRow(row term.Tuple, vars []term.Term) bool {
	switch n.kind {
	case isAny:
		return true
	case isTuple:
		return len(row) == n.size && n.matchParts(row, vars)
	}
	return n.match(row, vars)
}

func (n *node) matchParts(elems []term.Term, vars []term.Term) bool {
	for i := range n.parts {
		p := &n.parts[i]
		if !p.match(elems[p.at], vars) {
			return false
		}
	}
	return true
}

// scope numbers the variables of a clause in the order in which they are met.
type scope struct {
	slots map[term.Atom]int
	names []term.Atom
}

func (s *scope) node(t term.Term) (node, error) {
	switch x := t.(type) {
	case term.Atom:
		if x == term.Any {
			return node{kind: isAny}, nil
		}
		if _, ok := variable(x); ok {
			return s.variable(x), nil
		}
	case term.Tuple:
		return s.elements(isTuple, t, x)
	case term.List:
		return s.elements(isList, t, x)
	case term.Map:
		return s.mapping(x)
	}
	return node{kind: isConst, value: t}, nil
}

func (s *scope) variable(a term.Atom) node {
	if slot, ok := s.slots[a]; ok {
		return node{kind: isSame, slot: slot}
	}
	slot := len(s.names)
	s.slots[a] = slot
	s.names = append(s.names, a)
	return node{kind: isBind, slot: slot}
}

func (s *scope) elements(k kind, whole term.Term, elems []term.Term) (node, error) {
	n := node{kind: k, size: len(elems)}
	var fixed, open []node
	leading := true
	for i, e := range elems {
		part, err := s.node(e)
		if err != nil {
			return n, err
		}
		part.at = i
		if leading && part.kind == isConst {
			n.lead = append(n.lead, part)
		} else {
			leading = false
		}
		switch part.kind {
		case isAny:
		case isConst:
			fixed = append(fixed, part)
		default:
			open = append(open, part)
		}
	}
	if len(fixed) == len(elems) {
		return node{kind: isConst, value: whole}, nil
	}
	n.parts = append(fixed, open...)
	return n, nil
}

func (s *scope) mapping(m term.Map) (node, error) {
	n := node{kind: isMap}
	for _, p := range m {
		key, err := (&scope{slots: map[term.Atom]int{}}).node(p.Key)
		if err != nil || key.kind != isConst {
			return n, badarg("a variable in the key of a map")
		}
		part, err := s.node(p.Value)
		if err != nil {
			return n, err
		}
		part.key = p.Key
		n.parts = append(n.parts, part)
	}
	return n, nil
}

// variable gives N of an atom '$N'.
func variable(a term.Atom) (int, bool) {
	if len(a) < 2 || len(a) > 9 || a[0] != '$' {
		return 0, false
	}
	for _, c := range []byte(a[1:]) {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	n, err := strconv.Atoi(string(a[1:]))
	return n, err == nil && (a[1] != '0' || len(a) == 2)
}

// badarg is what ets answers to a specification that is no good.
func badarg(why string) error {
	return &kit.Error{Op: "compile match specification", Kind: kit.Invalid, Err: errors.New(why)}
}

// Range is the part of an ordered_set that can hold matches: scan from From while Side is 0. The zero Range
// is the whole table.
type Range struct{ spans []span }

// span is a set of neighbouring keys: those for which side is 0.
type span struct {
	from  term.Term // nil: from the first
	outer *node     // the key's pattern: a tuple or list whose lead is fixed
	above *bound
	below *bound
}

// bound is one end of a span, from a guard on the key.
type bound struct {
	value term.Term
	open  bool // the value itself is outside
}

// Empty reports whether no row can match.
func (r Range) Empty() bool { return r.spans != nil && len(r.spans) == 0 }

// From gives a term that is not above the first key of the range, to seek to; false when the range begins with
// the table's first key. The term is only good for term.Compare: a nil inside it sorts below everything.
func (r Range) From() (term.Term, bool) {
	var least term.Term
	for i, s := range r.spans {
		if s.from == nil {
			return nil, false
		}
		if i == 0 || term.Compare(s.from, least) < 0 {
			least = s.from
		}
	}
	return least, least != nil
}

// Side tells where a key lies: below 0 before the range, 0 inside, above 0 behind it and all keys after it too.
func (r Range) Side(key term.Term) int {
	if len(r.spans) == 0 {
		return 0
	}
	side := r.spans[0].side(key)
	for _, s := range r.spans[1:] {
		if s.side(key) != side {
			return 0
		}
	}
	return side
}

func (s *span) side(key term.Term) int {
	if s.outer != nil {
		if c := s.outer.leadSide(key); c != 0 {
			return c
		}
	}
	if b := s.above; b != nil {
		if c := term.Compare(key, b.value); c < 0 || c == 0 && b.open {
			return -1
		}
	}
	if b := s.below; b != nil {
		if c := term.Compare(key, b.value); c > 0 || c == 0 && b.open {
			return 1
		}
	}
	return 0
}

// leadSide compares a key with the tuples (of the pattern's size) or lists that begin with the pattern's lead.
func (n *node) leadSide(key term.Term) int {
	var elems []term.Term
	switch x := key.(type) {
	case term.Tuple:
		if n.kind != isTuple {
			return term.Compare(key, term.List{nil})
		}
		if len(x) != n.size {
			return cmp.Compare(len(x), n.size)
		}
		elems = x
	case term.List:
		if n.kind != isList {
			return term.Compare(key, term.Tuple{})
		}
		elems = x
	default:
		if n.kind == isTuple {
			return term.Compare(key, term.Tuple{})
		}
		return term.Compare(key, term.List{nil})
	}
	for i := range n.lead {
		if i >= len(elems) {
			return -1
		}
		if c := term.Compare(elems[i], n.lead[i].value); c != 0 {
			return c
		}
	}
	return 0
}

// keyRange gives the span of keys that a head allows; nil when it says nothing about the key.
func (n *node) keyRange() []span {
	if n.kind == isConst {
		t, ok := n.value.(term.Tuple)
		if !ok || len(t) <= keyPos {
			return []span{}
		}
		return []span{point(t[keyPos])}
	}
	if n.kind != isTuple {
		return nil
	}
	for i := range n.parts {
		p := &n.parts[i]
		if p.at != keyPos {
			continue
		}
		switch p.kind {
		case isConst:
			return []span{point(p.value)}
		case isTuple, isList:
			return []span{{from: p.lowest(), outer: p}}
		}
	}
	return nil
}

func point(key term.Term) span {
	b := &bound{value: key}
	return span{from: key, above: b, below: b}
}

// lowest gives a term not above any value that the node matches.
func (n *node) lowest() term.Term {
	elems := make([]term.Term, len(n.lead), n.size)
	for i := range n.lead {
		elems[i] = n.lead[i].value
	}
	if n.kind == isList {
		return term.List(append(elems, nil))
	}
	return term.Tuple(elems[:n.size])
}
