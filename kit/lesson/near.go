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

// distance is the number of letters to insert, delete, change or swap with their neighbour (optimal string
// alignment); texts over 64 bytes are far away.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j-1]+cost, rows[i-1][j]+1, rows[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
