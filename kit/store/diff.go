package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"iter"
	"maps"
	"slices"

	"netsplit/kit"
	"netsplit/kit/store/disk"
	"netsplit/kit/store/split"
	"netsplit/kit/term"
)

// Comparing two copies of a table. Each node sums up the digests of its rows in 1024 buckets, by a hash of the key. Of
// buckets whose sums differ the digests of the keys are compared, and of keys that differ the rows. So two equal tables
// cost 20 KiB of traffic whatever their size, and one row that differs in a million costs another 100 KiB or so.

// Limits of a comparison.
const (
	diffBuckets = 1 << diffBits
	diffBits    = 10
	diffBatch   = 1 << 17 // keys of each side that are compared at a time
	diffAnswer  = 8 << 20 // bytes of one answer, about
	diffRows    = 1024    // keys whose rows are asked for at a time
)

// What a node did to a row since the split, as Difference says it.
const (
	DidNothing = "unchanged"
	DidInsert  = "inserted"
	DidUpdate  = "updated"
	DidDelete  = "deleted"
	DidUnknown = "unknown" // no split journal tells: there is none, it was cut short, or the change is older than it
)

// Difference is a key whose rows differ on two nodes, and what their split journals know of it.
type Difference struct {
	Key         term.Term
	Here, There []term.Tuple
	HereDid     string // what this node did to the rows since it lost the other
	ThereDid    string // and the other since it lost this one
	// Before are the rows as both had them at the split. They are known if either did something.
	Before []term.Tuple
}

// Diff compares the own copy of a table with another node's and gives the keys whose rows differ. The link to the node
// must be up; the two stores need not be of one cluster, so it works after a heal, before either is restarted. Nothing is
// locked: while others write, it gives what differs at the moment of looking. Where both copies are equal, the split
// journals of the table for these two nodes begin anew.
func (s *Store) Diff(ctx context.Context, table string, with kit.NodeName) iter.Seq2[Difference, error] {
	return func(yield func(Difference, error) bool) {
		d := &differ{s: s, ctx: ctx, table: table, with: with, batch: diffBatch, yield: yield}
		if err := d.run(); err != nil && !d.over {
			yield(Difference{}, err)
		}
	}
}

// differ is one comparison.
type differ struct {
	s     *Store
	ctx   context.Context
	table string
	with  kit.NodeName
	batch int // keys compared at a time
	yield func(Difference, error) bool
	over  bool // the caller has seen enough
}

// sum adds up digests; the order of the rows does not matter.
type sum struct{ lo, hi uint64 }

func (a *sum) add(row term.Tuple, room []byte) []byte {
	room = term.Append(room[:0], row)
	h := sha256.Sum256(room)
	a.lo += binary.LittleEndian.Uint64(h[:])
	a.hi += binary.LittleEndian.Uint64(h[8:])
	return room
}

// bucketSum is what is known of a bucket at first.
type bucketSum struct {
	sum
	rows uint32
}

type bucketSums [diffBuckets]bucketSum

const bucketBytes = 20

// keyHash places a key of a table in a bucket: the first bits of the hash.
func keyHash(id []byte) uint64 {
	x := uint64(14695981039346656037) // FNV-1a, and a finish that spreads it over all bits
	for _, c := range id {
		x = (x ^ uint64(c)) * 1099511628211
	}
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

func keyID(typ string, key term.Term) string { return string(disk.KeyID(diskType(typ), key)) }

// ownCopy finds the loaded copy of a table.
func (s *Store) ownCopy(table string) (*data, error) {
	t := s.upTable(table)
	switch {
	case t == nil:
		return nil, failed("no_exists", term.Atom(table))
	case t.data == nil:
		return nil, failed("not_active_local", term.Atom(table))
	}
	return t.data, nil
}

// digests sums up a copy.
func (d *data) digests() *bucketSums {
	var out bucketSums
	var room []byte
	typ := diskType(d.typ)
	for _, row := range d.all() {
		b := &out[keyHash(disk.KeyID(typ, row[1]))>>(64-diffBits)]
		room = b.add(row, room)
		b.rows++
	}
	return &out
}

// prefix names the keys whose hash begins with some bits.
type prefix struct {
	value uint64 // at the upper end
	bits  int
	rows  int // about how many
}

func (p prefix) has(h uint64) bool { return (h^p.value)>>(64-p.bits) == 0 }

// halves splits a prefix.
func (p prefix) halves() [2]prefix {
	q := prefix{p.value, p.bits + 1, p.rows / 2}
	r := q
	r.value |= 1 << (63 - p.bits)
	return [2]prefix{q, r}
}

// keySum is the digest of the rows of one key.
type keySum struct {
	key term.Term
	sum sum
}

// keySums gives the keys of some prefixes with their digests.
func (d *data) keySums(ps []prefix) map[string]keySum {
	byBucket := map[uint64][]prefix{}
	for _, p := range ps {
		byBucket[p.value>>(64-diffBits)] = append(byBucket[p.value>>(64-diffBits)], p)
	}
	out := map[string]keySum{}
	var room []byte
	typ := diskType(d.typ)
	for _, row := range d.all() {
		id := disk.KeyID(typ, row[1])
		h := keyHash(id)
		if !slices.ContainsFunc(byBucket[h>>(64-diffBits)], func(p prefix) bool { return p.has(h) }) {
			continue
		}
		k := out[string(id)]
		k.key = row[1]
		room = k.sum.add(row, room)
		out[string(id)] = k
	}
	return out
}

func (d *differ) ask(method string, arg term.Term) (term.Term, error) {
	return d.s.call(d.ctx, d.with, method, arg)
}

func (d *differ) broken() error { return broken("compare copies", "malformed answer from %s", d.with) }

func (d *differ) run() error {
	own, err := d.s.ownCopy(d.table)
	if err != nil {
		return err
	}
	if d.with == d.s.self {
		return nil
	}
	count := d.s.cp.split.Count(d.table)
	v, err := d.ask("diff_digests", term.Atom(d.table))
	if err != nil {
		return err
	}
	a, ok := v.(term.Tuple)
	if !ok || len(a) != 3 || a[0] != term.Term(term.Atom(own.typ)) {
		return d.broken()
	}
	theirs, ok := a[1].(term.Bin)
	if !ok || len(theirs) != diffBuckets*bucketBytes {
		return d.broken()
	}
	todo := own.digests().unlike([]byte(theirs))
	if len(todo) == 0 {
		return d.equal(count, a[2])
	}
	for len(todo) > 0 && !d.over {
		batch, rest := nextBatch(todo, d.batch)
		todo = rest
		if err := d.compare(own, batch); err != nil {
			return err
		}
	}
	return nil
}

// unlike gives the buckets that differ from another node's.
func (mine *bucketSums) unlike(theirs []byte) []prefix {
	var out []prefix
	for i := range mine {
		b := theirs[i*bucketBytes:]
		their := bucketSum{sum{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}, binary.LittleEndian.Uint32(b[16:])}
		if their != mine[i] {
			out = append(out, prefix{uint64(i) << (64 - diffBits), diffBits, int(max(their.rows, mine[i].rows))})
		}
	}
	return out
}

// nextBatch takes as many prefixes as are compared at once, cutting those that are too large themselves.
func nextBatch(todo []prefix, most int) (batch, rest []prefix) {
	rows := 0
	for len(todo) > 0 {
		p := todo[0]
		if p.rows > most && p.bits < 48 {
			h := p.halves()
			todo = append(h[:], todo[1:]...)
			continue
		}
		if rows += p.rows; rows > most && len(batch) > 0 {
			break
		}
		batch, todo = append(batch, p), todo[1:]
	}
	return batch, todo
}

// equal begins both journals anew: at the moment when the other's sums were made, both copies were the same, if nothing
// has changed here since before and nothing there since then.
func (d *differ) equal(count uint64, there term.Term) error {
	done, err := d.s.cp.split.Restart(d.table, d.with, count)
	if err != nil || !done {
		return err
	}
	_, err = d.ask("diff_equal", term.T(term.Atom(d.table), there))
	return err
}

// compare compares the keys of some prefixes.
func (d *differ) compare(own *data, batch []prefix) error {
	theirs, err := d.theirKeys(own.typ, batch)
	if kit.KindOf(err) == kit.Overloaded {
		return d.divide(own, batch, err)
	}
	if err != nil {
		return err
	}
	mine := own.keySums(batch)
	var keys []term.Term
	for _, id := range slices.Sorted(maps.Keys(mine)) {
		if t, ok := theirs[id]; !ok || t.sum != mine[id].sum {
			keys = append(keys, mine[id].key)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(theirs)) {
		if _, ok := mine[id]; !ok {
			keys = append(keys, theirs[id].key)
		}
	}
	for part := range slices.Chunk(keys, diffRows) {
		if err := d.compareRows(own, part); err != nil || d.over {
			return err
		}
	}
	return nil
}

// divide compares in smaller parts what was too much for one answer.
func (d *differ) divide(own *data, batch []prefix, err error) error {
	if len(batch) == 1 {
		if batch[0].bits >= 48 {
			return err
		}
		h := batch[0].halves()
		batch = h[:]
	}
	half := len(batch) / 2
	for _, part := range [][]prefix{batch[:half], batch[half:]} {
		if err := d.compare(own, part); err != nil || d.over {
			return err
		}
	}
	return nil
}

func (d *differ) theirKeys(typ string, batch []prefix) (map[string]keySum, error) {
	ps := term.List{}
	for _, p := range batch {
		ps = append(ps, term.T(term.Bin(binary.BigEndian.AppendUint64(nil, p.value)), term.Int(p.bits)))
	}
	v, err := d.ask("diff_keys", term.T(term.Atom(d.table), ps))
	if err != nil {
		return nil, err
	}
	l, ok := v.(term.List)
	if !ok {
		return nil, d.broken()
	}
	out := make(map[string]keySum, len(l))
	for _, e := range l {
		p, ok := e.(term.Tuple)
		if !ok || len(p) != 2 {
			return nil, d.broken()
		}
		b, ok := p[1].(term.Bin)
		if !ok || len(b) != 16 {
			return nil, d.broken()
		}
		out[keyID(typ, p[0])] = keySum{p[0], sum{binary.LittleEndian.Uint64([]byte(b[:8])), binary.LittleEndian.Uint64([]byte(b[8:]))}}
	}
	return out, nil
}

// copied is what a node says of one key: its rows now, and what its split journal knows.
type copied struct {
	rows   []term.Tuple
	did    string
	before []term.Tuple
}

// compareRows compares the rows of some keys, as they are now.
func (d *differ) compareRows(own *data, keys []term.Term) error {
	mine, err := d.s.copiedRows(own, d.table, d.with, keys)
	if err != nil {
		return err
	}
	for len(keys) > 0 {
		v, err := d.ask("diff_rows", term.T(term.Atom(d.table), term.List(keys)))
		if err != nil {
			return err
		}
		l, ok := v.(term.List)
		if !ok || len(l) == 0 || len(l) > len(keys) {
			return d.broken()
		}
		for i, e := range l {
			there, ok := copiedOf(e)
			if !ok {
				return d.broken()
			}
			if diff, differs := difference(keys[i], mine[i], there); differs && !d.yield(diff, nil) {
				d.over = true
				return nil
			}
		}
		keys, mine = keys[len(l):], mine[len(l):]
	}
	return nil
}

// difference says how two copies of a key differ.
func difference(key term.Term, here, there copied) (Difference, bool) {
	d := Difference{Key: key, Here: here.rows, There: there.rows, HereDid: here.did, ThereDid: there.did}
	if sameRows(here.rows, there.rows) {
		return d, false
	}
	if d.HereDid == DidNothing && d.ThereDid == DidNothing {
		d.HereDid, d.ThereDid = DidUnknown, DidUnknown // it happened before the loss was noticed
	}
	did := func(what string) bool { return what != DidNothing && what != DidUnknown }
	switch {
	case did(d.HereDid):
		d.Before = here.before
	case did(d.ThereDid):
		d.Before = there.before
	}
	return d, true
}

// sameRows compares the rows of a key; those of a bag have no order.
func sameRows(a, b []term.Tuple) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(r term.Tuple) bool {
		return !slices.ContainsFunc(b, func(x term.Tuple) bool { return term.Equal(r, x) })
	})
}

// copiedRows gives the rows of keys, with what the journal for a peer knows of them.
func (s *Store) copiedRows(d *data, table string, peer kit.NodeName, keys []term.Term) ([]copied, error) {
	wanted := map[string]split.Change{}
	for _, k := range keys {
		wanted[keyID(d.typ, k)] = split.Change{}
	}
	st, err := s.splitOf(table, peer)
	sure := err == nil && st.Truncated == "" && st.CopiedFrom == ""
	for c, err := range s.cp.split.Changes(table, peer) {
		if err != nil {
			return nil, err
		}
		if _, ok := wanted[c.ID]; ok {
			wanted[c.ID] = c
		}
	}
	out := make([]copied, len(keys))
	for i, k := range keys {
		c := wanted[keyID(d.typ, k)]
		rows := d.get(k)
		out[i] = copied{rows: rows, before: c.Before}
		switch {
		case c.First == 0 && sure, c.First != 0 && sameRows(rows, c.Before):
			out[i].did = DidNothing
		case c.First == 0:
			out[i].did = DidUnknown
		case len(c.Before) == 0:
			out[i].did = DidInsert
		case len(rows) == 0:
			out[i].did = DidDelete
		default:
			out[i].did = DidUpdate
		}
	}
	return out, nil
}

func (c copied) term() term.Term {
	return term.T(rowList(c.rows), term.Atom(c.did), rowList(c.before))
}

func copiedOf(t term.Term) (copied, bool) {
	p, ok := t.(term.Tuple)
	if !ok || len(p) != 3 {
		return copied{}, false
	}
	rows, ok1 := rowsFrom(p[0])
	did, ok2 := p[1].(term.Atom)
	before, ok3 := rowsFrom(p[2])
	return copied{rows, string(did), before}, ok1 && ok2 && ok3
}

func rowList(rows []term.Tuple) term.List {
	l := make(term.List, len(rows))
	for i, r := range rows {
		l[i] = r
	}
	return l
}

func rowsFrom(t term.Term) ([]term.Tuple, bool) {
	l, ok := t.(term.List)
	var out []term.Tuple
	for _, e := range l {
		r, isRow := e.(term.Tuple)
		if !isRow || len(r) < 2 {
			return nil, false
		}
		out = append(out, r)
	}
	return out, ok
}

// The other side.

func serveDigests(s *Store, _ kit.NodeName, arg term.Term) (term.Term, error) {
	table, _ := arg.(term.Atom)
	d, err := s.ownCopy(string(table))
	if err != nil {
		return nil, err
	}
	count := s.cp.split.Count(string(table))
	var b []byte
	for _, x := range d.digests() {
		b = binary.LittleEndian.AppendUint64(b, x.lo)
		b = binary.LittleEndian.AppendUint64(b, x.hi)
		b = binary.LittleEndian.AppendUint32(b, x.rows)
	}
	return term.T(term.Atom(d.typ), term.Bin(b), term.Int(count)), nil
}

func serveDiffEqual(s *Store, from kit.NodeName, arg term.Term) (term.Term, error) {
	a, ok := arg.(term.Tuple)
	if !ok || len(a) != 2 {
		return nil, failed("badarg", arg)
	}
	table, ok1 := a[0].(term.Atom)
	count, ok2 := a[1].(term.Int)
	if !ok1 || !ok2 {
		return nil, failed("badarg", arg)
	}
	_, err := s.cp.split.Restart(string(table), from, uint64(count))
	return nil, err
}

func serveDiffKeys(s *Store, _ kit.NodeName, arg term.Term) (term.Term, error) {
	table, l, ok := tableAnd(arg)
	if !ok || len(l) > diffBatch {
		return nil, failed("badarg", arg)
	}
	var ps []prefix
	for _, e := range l {
		p, ok := e.(term.Tuple)
		if !ok || len(p) != 2 {
			return nil, failed("badarg", e)
		}
		v, ok1 := p[0].(term.Bin)
		bits, ok2 := p[1].(term.Int)
		if !ok1 || !ok2 || len(v) != 8 || bits < diffBits || bits > 64 {
			return nil, failed("badarg", e)
		}
		ps = append(ps, prefix{value: binary.BigEndian.Uint64([]byte(v)), bits: int(bits)})
	}
	d, err := s.ownCopy(table)
	if err != nil {
		return nil, err
	}
	sums := d.keySums(ps)
	out, size := make(term.List, 0, len(sums)), 0
	for _, id := range slices.Sorted(maps.Keys(sums)) {
		k := sums[id]
		b := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, k.sum.lo), k.sum.hi)
		if size += weight(k.key) + 32; size > diffAnswer {
			return nil, tooLarge()
		}
		out = append(out, term.T(k.key, term.Bin(b)))
	}
	return out, nil
}

func serveDiffRows(s *Store, from kit.NodeName, arg term.Term) (term.Term, error) {
	table, keys, ok := tableAnd(arg)
	if !ok || len(keys) > diffRows {
		return nil, failed("badarg", arg)
	}
	d, err := s.ownCopy(table)
	if err != nil {
		return nil, err
	}
	all, err := s.copiedRows(d, table, from, keys)
	if err != nil {
		return nil, err
	}
	out, size := term.List{}, 0
	for _, c := range all {
		t := c.term()
		if size += weight(t); size > diffAnswer && len(out) > 0 {
			break // the rest is asked for again
		}
		out = append(out, t)
	}
	return out, nil
}

func tableAnd(arg term.Term) (string, term.List, bool) {
	a, ok := arg.(term.Tuple)
	if !ok || len(a) != 2 {
		return "", nil, false
	}
	table, ok1 := a[0].(term.Atom)
	l, ok2 := a[1].(term.List)
	return string(table), l, ok1 && ok2
}
