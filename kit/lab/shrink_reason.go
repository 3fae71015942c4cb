package lab

import (
	"regexp"
	"strings"

	"netsplit/kit/grade"
	"netsplit/kit/history"
)

// Two runs fail in the same way when the same task fails and what is said of it differs in nothing but names and numbers.

var (
	quoted = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|<<.*?>>|\{[^{}]*\}`)
	words  = regexp.MustCompile(`[\pL\pN_]+(?:[-.:][\pL\pN_]+)*`) // also 1.5s, ada-12 and 10:30
	digit  = regexp.MustCompile(`\pN`)
	listed = regexp.MustCompile(`§(?:(?:, | and | or | )§)+`)
)

// reasonOf takes from a finding's text what may differ from run to run: quoted text, words with a digit in them, the names of nodes
// and clients, and how many of them stand in a row.
func reasonOf(f grade.Finding, names map[string]bool) string {
	const blank = "§"
	text := quoted.ReplaceAllString(f.Why, blank)
	text = words.ReplaceAllStringFunc(text, func(w string) string {
		if names[w] || digit.MatchString(w) {
			return blank
		}
		return w
	})
	return strings.Join(strings.Fields(listed.ReplaceAllString(text, blank)), " ")
}

// namesIn are those of the nodes and clients of a run.
func namesIn(h *history.History) map[string]bool {
	names := map[string]bool{}
	for _, o := range h.Ops {
		names[o.Client], names[string(o.Node)] = true, true
	}
	return names
}
