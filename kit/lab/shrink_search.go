package lab

import (
	"slices"
	"strings"
)

// search looks for a small part of things that still has a property: here, of the requests, faults and nodes of a run that
// fails. It is pure: what it does follows from the answers of test alone, whatever the number of jobs. The property needs not
// be monotone; what is found is small, not always the smallest.
type search struct {
	// test says of several sets whether each has the property. It is asked for up to jobs sets at a time and may be asked for
	// some whose answer is not needed in the end.
	test func(sets []set) []bool
	jobs int // at least 1
	runs int // sets that may be looked at; those of which only test knows do not count

	best  set             // the smallest set found, to begin with the whole
	tried int             // sets looked at
	known map[string]bool // what test has said
	seen  map[string]bool // sets that count
}

// set holds for each thing whether it is in.
type set []bool

func (s set) key() string {
	var b strings.Builder
	for _, in := range s {
		if in {
			b.WriteByte('1')
		} else {
			b.WriteByte('0')
		}
	}
	return b.String()
}

func (s set) size() int {
	n := 0
	for _, in := range s {
		if in {
			n++
		}
	}
	return n
}

// without takes things out.
func (s set) without(units ...[]int) set {
	less := slices.Clone(s)
	for _, u := range units {
		for _, i := range u {
			less[i] = false
		}
	}
	return less
}

// newSearch begins with the whole of n things, which has the property.
func newSearch(n, jobs, runs int, test func([]set) []bool) *search {
	whole := make(set, n)
	for i := range whole {
		whole[i] = true
	}
	return &search{test: test, jobs: max(1, jobs), runs: runs, best: whole, known: map[string]bool{}, seen: map[string]bool{}}
}

// spent reports whether the search may look at no further set.
func (s *search) spent() bool { return s.tried >= s.runs }

// halt ends the search. It may be called by test, whose answer then counts for nothing.
func (s *search) halt() {
	s.tried--
	s.runs = s.tried
}

// first gives the first set that has the property, or -1. Those behind it may have been tested; they do not count.
func (s *search) first(sets []set) int {
	for i := range sets {
		key := sets[i].key()
		if !s.seen[key] {
			if s.spent() {
				return -1
			}
			s.seen[key] = true
			s.tried++
		}
		if _, told := s.known[key]; !told {
			s.ask(sets[i:])
		}
		if s.known[key] {
			return i
		}
	}
	return -1
}

// ask tests the next sets of which nothing is known, as many as there are jobs and as may still count.
func (s *search) ask(sets []set) {
	var batch []set
	left := s.runs - s.tried + 1 // the first one counts already
	for _, x := range sets {
		if len(batch) == min(s.jobs, left) {
			break
		}
		key := x.key()
		if _, told := s.known[key]; !told && !slices.ContainsFunc(batch, func(b set) bool { return b.key() == key }) {
			batch = append(batch, x)
		}
	}
	for i, has := range s.test(batch) {
		s.known[batch[i].key()] = has
	}
}

// guess takes the first of some sets that has the property and is smaller than the best.
func (s *search) guess(sets ...set) bool {
	sets = slices.DeleteFunc(sets, func(x set) bool { return x.size() >= s.best.size() })
	i := s.first(sets)
	if i >= 0 {
		s.best = sets[i]
	}
	return i >= 0
}

// drop takes as many units of things out of the best set as it can: all at once, then runs of half as many, and so on to
// single ones, the last first. Single ones are tried again until none can go: the result is 1-minimal in units when the
// search was not cut short.
func (s *search) drop(units [][]int) {
	units = slices.DeleteFunc(slices.Clone(units), func(u []int) bool {
		return !slices.ContainsFunc(u, func(i int) bool { return s.best[i] })
	})
	for size := len(units); size > 0 && len(units) > 0; {
		before := len(units)
		units = s.sweep(units, min(size, len(units)))
		if s.spent() {
			return
		}
		if size > 1 || len(units) == before {
			size /= 2
		}
	}
}

// sweep goes through the units from the last to the first and takes out runs of a size, where that can be done. It gives the units that
// are left.
func (s *search) sweep(units [][]int, size int) [][]int {
	for end := len(units); end > 0; {
		var sets []set
		var starts []int
		for to := end; to > 0; to -= size {
			from := max(0, to-size)
			sets, starts = append(sets, s.best.without(units[from:to]...)), append(starts, from)
		}
		i := s.first(sets)
		if i < 0 {
			return units
		}
		s.best = sets[i]
		from := starts[i]
		units = slices.Delete(slices.Clone(units), from, min(from+size, end-i*size))
		end = from
	}
	return units
}
