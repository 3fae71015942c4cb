package lesson

import (
	"slices"
	"strings"
)

// near gives at most three of names that someone who typed want may have meant, the nearest first: names that
// contain it, and names at most a third of its letters away.
func near(want string, names []string) []string {
	type scored struct {
		name string
		dist int
	}
	var found []scored
	for _, n := range names {
		d := distance(want, n)
		switch {
		case len(want) >= 3 && strings.Contains(n, want):
			found = append(found, scored{n, 0})
		case d <= max(1, len(want)/3):
			found = append(found, scored{n, d})
		}
	}
	slices.SortStableFunc(found, func(a, b scored) int { return a.dist - b.dist })
	var out []string
	for i := range min(3, len(found)) {
		out = append(out, found[i].name)
	}
	return out
}

// distance is the number of letters to insert, delete or change (Levenshtein); texts over 64 bytes are far away.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
