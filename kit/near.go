package kit

import (
	"slices"
	"strings"
)

// Near gives the names that word may be a misspelling of, nearest first, at most three.
func Near(word string, names []string) []string {
	type scored struct {
		name string
		far  int
	}
	const most = 64 // longer words are no names of ours, and distance is quadratic
	if len(word) == 0 || len(word) > most {
		return nil
	}
	word = strings.ToLower(word)
	var near []scored
	for _, n := range names {
		far := distance(word, strings.ToLower(n))
		switch {
		case strings.HasPrefix(n, word) || len(word) > 3 && strings.Contains(n, word):
			far = 1
		case far > 1+len(n)/4:
			continue
		}
		near = append(near, scored{n, far})
	}
	slices.SortStableFunc(near, func(a, b scored) int { return a.far - b.far })
	var out []string
	for _, s := range near[:min(3, len(near))] {
		out = append(out, s.name)
	}
	return out
}

// distance is the number of letters to insert, delete, replace or swap with their neighbour to turn a into b
// (optimal string alignment).
func distance(a, b string) int {
	before, last, row := []int(nil), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row = make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return row[len(b)]
}
