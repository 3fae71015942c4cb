package grade

import (
	"bytes"
	"fmt"
	"html"
	"io"
	"strings"
)

// The limits of GitHub Actions: what is beyond them is dropped without a word.
const (
	maxAnnotations = 10        // of each kind in a step
	maxAnnotation  = 2000      // runes of one message; the rest is in the summary
	maxSummary     = 512 << 10 // bytes; a step has 1 MiB, shared with whoever else writes to it
)

// Annotations writes workflow commands that a GitHub Actions step prints on standard output: an error for a task
// that failed, a warning for an inconclusive one, a notice for a skipped one, and a notice with the points. Of each
// kind there are ten at most, the last of them saying how many more the summary has. Nothing of the submission
// stands in a line of its own: every line is one command, in which line breaks are escaped, so no output of a
// student's can be read as a command.
func Annotations(w io.Writer, r *Result) error {
	var b bytes.Buffer
	name := taskNames(r)
	lab := oneLine(r.Lab, 100, "lab")
	kinds := []struct {
		command string
		verdict Verdict
		room    int
	}{{"error", Fail, maxAnnotations}, {"warning", Inconclusive, maxAnnotations}, {"notice", Skipped, maxAnnotations - 1}}
	if text := trouble(r, maxAnnotation); text != "" {
		kinds[0].room--
		command(&b, "error", lab, text)
	}
	for _, k := range kinds {
		var which []int
		for i, t := range r.Tasks {
			if t.Verdict == k.verdict {
				which = append(which, i)
			}
		}
		shown := len(which)
		if shown > k.room {
			shown = k.room - 1
		}
		for _, i := range which[:shown] {
			t := r.Tasks[i]
			score, most := points(t)
			command(&b, k.command, fmt.Sprintf("%s: %s %s (%d/%d)", lab, name[i], t.Verdict, score, most), annotation(t))
		}
		if more := len(which) - shown; more > 0 {
			command(&b, k.command, lab, fmt.Sprintf("and %d more %s; the job summary has them all", more, k.verdict))
		}
	}
	command(&b, "notice", lab, headline(r))
	_, err := w.Write(b.Bytes())
	return err
}

// annotation is what can be said of a task where there is no room for a diagram.
func annotation(t Task) string {
	t.Diagram, t.SVG, t.Excerpt = "", "", nil
	return story(t, maxAnnotation)
}

var (
	escapeData     = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	escapeProperty = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

// command writes one workflow command. The runner also knows an older form, "##[", which it finds anywhere in a
// line that is no command of the newer form; Clean has taken that out.
func command(b *bytes.Buffer, name, title, message string) {
	fmt.Fprintf(b, "::%s title=%s::%s\n", name, escapeProperty.Replace(title), escapeData.Replace(message))
}

// JobSummary writes the whole grade as the Markdown that GitHub shows on the page of a run: a table of the tasks and
// what is to be learnt from each. Texts stand in HTML's pre and code with <, > and & escaped, where neither
// Markdown nor HTML, mentions or links are looked for.
func JobSummary(w io.Writer, r *Result) error {
	doc, err := fit(maxSummary, func(limit int) ([]byte, error) { return summary(r, limit), nil })
	if err != nil {
		return err
	}
	_, err = w.Write(doc)
	return err
}

func summary(r *Result, limit int) []byte {
	var b bytes.Buffer
	name := taskNames(r)
	score, most := total(r)
	fmt.Fprintf(&b, "## %s %s: %s, %d of %d points\n\n", marks[r.Verdict], code(oneLine(r.Lab, 100, "lab")), r.Verdict, score, most)
	if r.Verdict == Inconclusive {
		fmt.Fprintf(&b, "Inconclusive: %s.\n\n", unjudged)
	}
	fmt.Fprintf(&b, "Seed %d%s; isolation: %s\n\n", r.Seed, seedsText(r.Seeds), code(oneLine(r.Isolation, 300, "not stated")))
	b.WriteString("| | Task | Verdict | Points | |\n|---|---|---|---:|---|\n")
	for i, t := range r.Tasks {
		score, most := points(t)
		fmt.Fprintf(&b, "| %s | %s | %s | %d/%d | %s |\n", marks[t.Verdict], code(name[i]), t.Verdict, score, most, code(oneLine(t.Title, 300, "-")))
	}
	b.WriteString("\n")
	if text := trouble(r, limit); text != "" {
		pre(&b, text)
	}
	for i, t := range r.Tasks {
		if text := story(t, limit); text != "" {
			fmt.Fprintf(&b, "%s %s: %s\n\n", marks[t.Verdict], code(name[i]), t.Verdict)
			pre(&b, text)
		}
	}
	if r.Output != "" && r.Verdict != Pass {
		b.WriteString("The last that the work printed:\n\n")
		pre(&b, upTo(r.Output, limit))
	}
	return b.Bytes()
}

// pre writes a block that ends only at the tag that it writes itself.
func pre(b *bytes.Buffer, text string) { fmt.Fprintf(b, "<pre>%s</pre>\n\n", html.EscapeString(text)) }

// code is for text within a line of Markdown. HTML's tags do not keep Markdown out of there, so every mark of
// punctuation is a character reference, which Markdown takes for text; "-" within a line is nothing special.
func code(text string) string {
	var b strings.Builder
	b.WriteString("<code>")
	for _, r := range text {
		if r < 0x80 && strings.ContainsRune("!\"#$%&'()*+,./:;<=>?@[\\]^_`{|}~", r) {
			fmt.Fprintf(&b, "&#%d;", r)
			continue
		}
		b.WriteRune(r)
	}
	b.WriteString("</code>")
	return b.String()
}
