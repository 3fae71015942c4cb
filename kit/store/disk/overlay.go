package disk

import (
	"slices"

	"github.com/tidwall/btree"

	"netsplit/kit/term"
)

// overlay holds the changes of a disc_only_copies table that wait in the log, by key, for reading. A dump takes the
// place of all of it.
type overlay struct {
	cleared LSN // of the last Clear: what was there before does not count
	keys    btree.Map[string, []pending]
}

func (o *overlay) add(typ Type, p pending) {
	if p.Op == Clear {
		o.cleared = p.lsn
		o.keys.Clear()
		return
	}
	k := string(p.rowKey(typ))
	var before []pending
	if p.Op == DeleteObject || p.Op == Put && typ == Bag { // the others leave nothing of what was there
		before, _ = o.keys.Get(k)
	}
	o.keys.Set(k, append(slices.Clip(before), p))
}

// onto puts a newer overlay on top of an older one, which is not changed.
func (o *overlay) onto(typ Type, older *overlay) *overlay {
	if older == nil || o.cleared > 0 {
		return o
	}
	sum := &overlay{cleared: older.cleared}
	for _, part := range []*overlay{older, o} {
		part.keys.Scan(func(_ string, ps []pending) bool {
			for _, p := range ps {
				sum.add(typ, p)
			}
			return true
		})
	}
	return sum
}

// waitingFor gives the changes of a key that wait, oldest first, and whether the image counts. It is called with
// Disk.mu held.
func (t *table) waitingFor(key string) (changes []Change, cleared bool) {
	for _, o := range []*overlay{t.older, t.fresh} {
		if o == nil {
			continue
		}
		if o.cleared > 0 {
			changes, cleared = nil, true
		}
		ps, _ := o.keys.Get(key)
		for i := range ps {
			changes = append(changes, ps[i].Change)
		}
	}
	return changes, cleared
}

// waitingAfter gives the first key behind one for which something waits.
func (t *table) waitingAfter(key string) (next string, found bool) {
	for _, o := range []*overlay{t.older, t.fresh} {
		if o == nil {
			continue
		}
		if o == t.older && t.fresh.cleared > 0 {
			continue
		}
		o.keys.Ascend(key, func(k string, _ []pending) bool {
			if k == key {
				return true
			}
			if !found || k < next {
				next, found = k, true
			}
			return false
		})
	}
	return next, found
}

// after gives what is left of an overlay without the batches up to one. An image that has the content up to there may see
// a change twice: that does no harm, since changes are absolute.
func (o *overlay) after(typ Type, lsn LSN) *overlay {
	rest := &overlay{}
	if o.cleared > lsn {
		rest.cleared = o.cleared
	}
	o.keys.Scan(func(_ string, ps []pending) bool {
		for _, p := range ps {
			if p.lsn > lsn {
				rest.add(typ, p)
			}
		}
		return true
	})
	return rest
}

// foldPending is fold for changes that wait.
func foldPending(typ Type, rows []term.Tuple, ps []pending) []term.Tuple {
	changes := make([]Change, len(ps))
	for i := range ps {
		changes[i] = ps[i].Change
	}
	return fold(typ, rows, changes)
}
