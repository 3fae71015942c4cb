package grade

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"unicode/utf8"

	"netsplit/kit"
)

// What the writers for other systems share. All text that a submission can have a hand in goes through upTo.

// clipped ends a text that was too long for where it goes.
const clipped = "… (clipped)"

// maxStory bounds what is said about one task, in runes; fit may lower it.
const maxStory = 16 << 10

// upTo gives text without control characters, characters that XML forbids and direction overrides, at most limit
// runes long. It reads no more of the text than it may keep.
func upTo(text string, limit int) string {
	const utf8Max = utf8.UTFMax
	cut := len(text) > utf8Max*limit
	if cut {
		text = text[:utf8Max*limit]
	}
	text = strings.Map(func(r rune) rune {
		switch r {
		case '\u2028', '\u2029':
			return '\n'
		case '\ufeff', '\ufffe', '\uffff':
			return -1
		}
		return r
	}, Clean(text))
	if utf8.RuneCountInString(text) > limit {
		cut = true
	}
	if !cut {
		return text
	}
	runes := []rune(text)
	keep := max(0, min(len(runes), limit-utf8.RuneCountInString(clipped)))
	return string(runes[:keep]) + clipped
}

// oneLine is upTo in one line; empty text becomes other.
func oneLine(text string, limit int, other string) string {
	text = strings.Join(strings.Fields(upTo(text, limit)), " ")
	if text == "" {
		return other
	}
	return text
}

// points gives a task's score and its maximum within what every consumer takes: 0 <= score <= max.
func points(t Task) (score, most int) {
	most = max(0, t.Max)
	return min(max(0, t.Score), most), most
}

// total sums points over the tasks.
func total(r *Result) (score, most int) {
	for _, t := range r.Tasks {
		s, m := points(t)
		score, most = score+s, most+m
	}
	return score, most
}

// taskNames gives every task a name of its own in one line, in the order of the tasks: consumers count two tasks of one
// name as one.
func taskNames(r *Result) []string {
	seen := map[string]bool{}
	var out []string
	for i, t := range r.Tasks {
		base := oneLine(t.Name, 100, fmt.Sprintf("task %d", i+1))
		name := base
		for n := 2; seen[name]; n++ {
			name = fmt.Sprintf("%s (%d)", base, n)
		}
		seen[name] = true
		out = append(out, name)
	}
	return out
}

// headline says in one line how the grading went. What is not a pass or a failure says so in words, for readers
// whose system shows it as one of the two.
func headline(r *Result) string {
	score, most := total(r)
	s := fmt.Sprintf("%s: %s, %d of %d points (seed %d)", oneLine(r.Lab, 100, "lab"), r.Verdict, score, most, r.Seed)
	if r.Verdict == Inconclusive {
		s += "; " + unjudged
	}
	return s
}

// unjudged is said wherever a consumer has no word for inconclusive.
const unjudged = "nothing can be said about the work, for or against it; grade it again"

// taskLine says in one line what became of a task and why.
func taskLine(t Task) string {
	s := string(t.Verdict)
	if why := oneLine(t.Why, 300, ""); why != "" {
		s += ": " + why
	}
	if t.Verdict == Inconclusive {
		s += " (" + unjudged + ")"
	}
	return s
}

// story says all about a task that a student can act on, in at most limit runes; for a task that passed it may be
// empty.
func story(t Task, limit int) string {
	if t.Verdict == Pass {
		return upTo(strings.TrimSpace(upTo(t.Why, limit)+"\n\n"+upTo(t.Diagram, limit)), limit)
	}
	short := t
	for _, field := range []*string{&short.Title, &short.Rationale, &short.Why, &short.Expected, &short.Actual, &short.Diagram, &short.Replay} {
		*field = upTo(*field, limit)
	}
	var b strings.Builder
	writeTask(&b, short)
	_, text, _ := strings.Cut(strings.TrimPrefix(b.String(), "\n"), "\n")
	text = strings.ReplaceAll(strings.TrimPrefix(text, "  "), "\n  ", "\n")
	if t.Verdict == Inconclusive {
		text = "Inconclusive: " + unjudged + ".\n" + text
	}
	return upTo(strings.TrimRight(text, "\n"), limit)
}

// trouble says what kept the whole submission from running or to its end; empty is nothing.
func trouble(r *Result, limit int) string {
	switch {
	case r.Problem != "":
		return upTo("The submission could not be run:\n"+upTo(r.Problem, limit), limit)
	case r.Stopped != "":
		return upTo(r.Stopped, limit)
	}
	return ""
}

// fit renders with ever shorter texts until the document has at most most bytes.
func fit(most int, render func(limit int) ([]byte, error)) ([]byte, error) {
	const least = 64
	for limit := maxStory; ; limit /= 2 {
		doc, err := render(limit)
		if err != nil || len(doc) <= most {
			return doc, err
		}
		if limit <= least {
			return nil, &kit.Error{Op: "write result", Kind: kit.Overloaded,
				Err: fmt.Errorf("%d bytes are needed and the format takes %d", len(doc), most)}
		}
	}
}

// document is v as indented JSON.
func document(v any) ([]byte, error) {
	var b bytes.Buffer
	out := json.NewEncoder(&b)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	err := out.Encode(v)
	return b.Bytes(), err
}

// atHome takes the path of this machine's copy of the submission out of text: it tells the reader elsewhere nothing.
func atHome(r *Result, text string) string {
	dir := r.Submission.Dir
	if !filepath.IsAbs(dir) || len(dir) < 2 {
		return text
	}
	return strings.ReplaceAll(text, dir, "<solution-dir>")
}

// attachment is what GitLab takes for the path of a file to link to, when it stands in a test's output.
var attachment = regexp.MustCompile(`(?i)\[\[(ATTACHMENT)`)
