package history

import (
	"fmt"
	"slices"
)

// look finds what needs no cycle: values from nowhere, aborted and intermediate reads, doubled and lost writes.
func (c *checker) look() {
	told := map[string]bool{} // one source of trouble is told once
	once := func(what AnomalyKind, key, value string, tell func()) {
		if id := string(what) + "\x00" + key + "\x00" + value; !told[id] {
			told[id] = true
			tell()
		}
	}
	for i := range c.txns {
		for _, r := range c.reads[i] {
			c.lookAtRead(i, r, once)
		}
	}
	for i, t := range c.txns {
		if t.Final && c.counted[i] {
			c.lookForLost(i, once)
		}
	}
}

func (c *checker) lookAtRead(i int, r read, once func(AnomalyKind, string, string, func())) {
	k := c.keys[r.key]
	have := map[string]bool{}
	for at, v := range r.seen {
		w, ok := k.writes[v]
		switch {
		case have[v]:
			once(DoubleWrite, r.key, v, func() {
				c.tell(DoubleWrite, []string{r.key}, []int{i}, fmt.Sprintf("%s, which has %s twice; it was appended once.", c.saw(i, r), v))
			})
		case !ok:
			once(GarbageRead, r.key, v, func() {
				c.tell(GarbageRead, []string{r.key}, []int{i}, fmt.Sprintf("%s; nobody wrote %s.", c.saw(i, r), v))
			})
		case c.txns[w.txn].Took == No:
			once(AbortedRead, r.key, v, func() {
				saw := c.saw(i, r) + ", with " + v + " in it."
				if k.register {
					saw = c.saw(i, r) + "."
				}
				c.tell(AbortedRead, []string{r.key}, []int{w.txn, i}, c.intro(w.txn)+" wrote "+v+" to "+r.key+" and did not happen: it was aborted or refused.", saw)
			})
		case !w.last && at == len(r.seen)-1 && w.txn != i:
			once(IntermediateRead, r.key, v, func() {
				c.tell(IntermediateRead, []string{r.key}, []int{w.txn, i}, fmt.Sprintf("%s wrote %s to %s, and more to it later.", c.intro(w.txn), v, r.key),
					fmt.Sprintf("%s: a state in the middle of %s.", c.saw(i, r), c.txns[w.txn].Name))
			})
		}
		have[v] = true
	}
}

// lookForLost finds acknowledged writes that are not in what is left. Of a register the values that led to the last one
// count as being in it. A write without an answer hides what it was written on, so that as many ends of chains
// may be missing as there are such writes.
func (c *checker) lookForLost(i int, once func(AnomalyKind, string, string, func())) {
	for _, r := range c.reads[i] {
		k := c.keys[r.key]
		if k.register {
			c.lostFromRegister(k, i, r, once)
			continue
		}
		for _, v := range k.written {
			w := k.writes[v]
			if c.txns[w.txn].Took == Yes && !slices.Contains(r.seen, v) {
				once(LostWrite, r.key, v, func() { c.lost(k, v, i, r) })
			}
		}
	}
}

func (c *checker) lostFromRegister(k *keyHistory, i int, r read, once func(AnomalyKind, string, string, func())) {
	hidden := 0
	var ends []string
	for _, v := range k.written {
		w := k.writes[v]
		if _, ok := k.before[v]; !ok && c.counted[w.txn] {
			hidden++
		}
		if c.txns[w.txn].Took == Yes && w.last && len(k.after[v]) == 0 && v != r.version {
			ends = append(ends, v)
		}
	}
	if len(ends) <= hidden {
		return
	}
	for _, v := range ends {
		once(LostWrite, k.name, v, func() { c.lost(k, v, i, r) })
	}
}

func (c *checker) lost(k *keyHistory, v string, i int, r read) {
	w := k.writes[v]
	k.unread = slices.DeleteFunc(k.unread, func(u string) bool { return u == v }) // it stands nowhere
	story := []string{fmt.Sprintf("%s wrote %s to %s, and was told that it is committed.", c.intro(w.txn), v, k.name), fmt.Sprintf("%s: %s is not in it.", c.saw(i, r), v)}
	if !k.register && len(r.seen) > 0 {
		story = append(story, c.sayBase(k, w.txn, v)...)
	}
	c.tell(LostWrite, []string{k.name}, []int{w.txn, i}, story...)
}

// sayBase says what a lost append was built on, and who went on from there instead.
func (c *checker) sayBase(k *keyHistory, txn int, v string) []string {
	for _, r := range c.reads[txn] {
		if r.key != k.name {
			continue
		}
		for _, next := range k.after[r.version] {
			if w, ok := k.writes[next]; ok && w.txn != txn {
				return []string{fmt.Sprintf("%s appended %s to %s; %s, which is in what is left, appended %s to the same list.", c.txns[txn].Name, v, list(r.seen), c.txns[w.txn].Name, next)}
			}
		}
	}
	return nil
}

// diverged tells of a reading that is no beginning of the longest one. When the two values at the fork were written
// by transactions that had both read what lies before it, it is a lost update.
func (c *checker) diverged(k *keyHistory, i int, r read, by int) {
	at := 0
	for at < len(r.seen) && at < len(k.order) && r.seen[at] == k.order[at] {
		at++
	}
	main := read{key: k.name, seen: k.order}
	story := []string{c.saw(i, r) + ".", c.saw(by, main) + "."}
	if at < len(r.seen) && at < len(k.order) {
		x, okX := k.writes[r.seen[at]]
		y, okY := k.writes[k.order[at]]
		if okX && okY && x.txn != y.txn && c.txns[x.txn].Took != No && c.txns[y.txn].Took != No && c.hasRead(x.txn, k.name, at) && c.hasRead(y.txn, k.name, at) {
			c.tell(LostUpdate, []string{k.name}, []int{x.txn, y.txn},
				fmt.Sprintf("%s read %s = %s and appended %s.", c.intro(x.txn), k.name, list(k.order[:at]), r.seen[at]),
				fmt.Sprintf("%s read %s = %s as well and appended %s.", c.intro(y.txn), k.name, list(k.order[:at]), k.order[at]),
				story[0], story[1], "Each has only one of the two: one update was lost.")
			return
		}
	}
	c.tell(DivergedReads, []string{k.name}, []int{i, by}, append(story, "Neither is the beginning of the other, although elements are only ever appended.")...)
}

// hasRead reports whether a transaction read the first n elements of a list.
func (c *checker) hasRead(txn int, key string, n int) bool {
	return slices.ContainsFunc(c.reads[txn], func(r read) bool {
		return r.key == key && len(r.seen) == n && slices.Equal(r.seen, c.keys[key].order[:n])
	})
}
