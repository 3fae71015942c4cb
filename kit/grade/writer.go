package grade

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"netsplit/kit"
)

// Setting is what a writer may know of the place it writes for, beside the result.
type Setting struct {
	Getenv func(string) string
	Now    time.Time
}

// Writer writes a result in one format. Write is a function of its arguments alone.
type Writer struct {
	Name  string
	About string
	Write func(w io.Writer, r *Result, s Setting) error
	// Ready, where there is one, says before anything is graded that Write would fail in this setting.
	Ready func(s Setting) error
	// Summary, where there is one, is a second document beside what Write writes.
	Summary func(w io.Writer, r *Result) error
	// Status gives the process status that the consumer expects after Write; nil is Verdict.ExitCode.
	Status func(v Verdict) int
}

// Writers lists the formats, the default first. A new one is a line here.
func Writers() []Writer {
	return []Writer{
		{Name: "text", About: "for people", Write: alone(Text)},
		{Name: "json", About: "the whole result, which netsplit replay reads; kit/grade/result.schema.json describes it", Write: alone(JSON)},
		{Name: "junit", About: "JUnit XML for GitLab, Jenkins and others", Write: alone(JUnit)},
		{Name: "github", About: "annotations for a GitHub Actions step, and its job summary", Write: alone(Annotations), Summary: JobSummary},
		{Name: "gradescope", About: "Gradescope's results.json", Write: alone(Gradescope), Status: ran},
		{Name: "exercism", About: "results.json (version 3) of an Exercism test runner", Write: alone(Exercism), Status: ran},
		{Name: "classroom50", About: "result.json (result/v1) of a Classroom 50 autograder", Write: Classroom50, Ready: classroom50Ready,
			Status: conclusive},
	}
}

// alone is for a writer that needs the result only.
func alone(write func(io.Writer, *Result) error) func(io.Writer, *Result, Setting) error {
	return func(w io.Writer, r *Result, _ Setting) error { return write(w, r) }
}

// ran is the status for a consumer that reads the verdict from the file and takes any other status for a grader
// that broke.
func ran(Verdict) int { return ExitPass }

// conclusive is the same, for a consumer whose file has no place for an inconclusive verdict: there the broken
// grader is the only honest answer.
func conclusive(v Verdict) int {
	if v == Pass || v == Fail {
		return ExitPass
	}
	return v.ExitCode()
}

// Format finds a writer by name. When there is none the error names those that exist.
func Format(name string) (Writer, error) {
	var names []string
	for _, w := range Writers() {
		if w.Name == name {
			return w, nil
		}
		names = append(names, w.Name)
	}
	return Writer{}, &kit.Error{Op: "find format", What: fmt.Sprintf("%q", name), Kind: kit.NotFound,
		Err: fmt.Errorf("there is no such format"), Hint: "there are " + strings.Join(names, ", ")}
}

// JSON writes the whole result, indented.
func JSON(w io.Writer, r *Result) error {
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	return out.Encode(r)
}

// maxResult bounds a result file that is read back.
const maxResult = 64 << 20

// ReadJSON reads what JSON wrote. Anything else is an error of kind Invalid or Corrupt.
func ReadJSON(src io.Reader) (*Result, error) {
	var r Result
	raw, err := io.ReadAll(io.LimitReader(src, maxResult+1))
	if err != nil {
		return nil, err
	}
	bad := func(kind kit.Kind, err error) error {
		return &kit.Error{Op: "read result", Kind: kind, Err: err, Hint: `a result is what "netsplit grade --format json" writes`}
	}
	if len(raw) > maxResult {
		return nil, bad(kit.Invalid, fmt.Errorf("it has more than %d bytes", maxResult))
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, bad(kit.Corrupt, err)
	}
	if r.Lab == "" || !r.Verdict.Valid() || len(r.Tasks) == 0 {
		return nil, bad(kit.Invalid, fmt.Errorf("it has no lab, verdict or tasks"))
	}
	return &r, nil
}

var marks = map[Verdict]string{Pass: "✓", Fail: "✗", Inconclusive: "?", Skipped: "–"}

// Text writes the result for a person: the tasks with their points, then what is to be learnt from those that did
// not pass.
func Text(w io.Writer, r *Result) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s  %d/%d points\n", r.Lab, strings.ToUpper(string(r.Verdict)), r.Score, r.Max)
	fmt.Fprintf(&b, "seed %d%s, %s\n\n", r.Seed, seedsText(r.Seeds), r.Isolation)
	width := 0
	for _, t := range r.Tasks {
		width = max(width, len(t.Name))
	}
	for _, t := range r.Tasks {
		fmt.Fprintf(&b, "  %s %-*s %3d/%-3d %s\n", marks[t.Verdict], width, t.Name, t.Score, t.Max, t.Title)
	}
	if r.Problem != "" {
		fmt.Fprintf(&b, "\nThe submission could not be run:\n%s", indent(Clean(r.Problem), "  "))
	}
	if r.Stopped != "" {
		fmt.Fprintf(&b, "\n%s", indent(Clean(r.Stopped), "  "))
	}
	explained := false
	for _, t := range r.Tasks {
		if r.Problem != "" || t.Verdict == Pass && t.Diagram == "" {
			continue
		}
		writeTask(&b, t)
		explained = explained || t.Verdict == Fail
	}
	if r.Output != "" && r.Verdict != Pass {
		fmt.Fprintf(&b, "\nThe last that your work printed:\n%s", indent(Clean(r.Output), "  | "))
	}
	for _, t := range r.Tasks {
		if t.Verdict == Fail && explained {
			fmt.Fprintf(&b, "\nStuck? netsplit hint %s %s\n", r.Lab, t.Name)
			break
		}
	}
	if r.Standing != "" && r.Verdict != Pass && r.Problem == "" {
		fmt.Fprintf(&b, "\nOn record: %s.\n", r.Standing)
	}
	_, err := io.WriteString(w, inert(Clean(b.String())))
	return err
}

// commandStart is the start of a line that GitHub's runner takes for a command: it ignores space of any kind.
var commandStart = regexp.MustCompile(`(?m)^([\t\v\f\p{Z}]*)::`)

// inert keeps a text that a step of a job prints from commanding the runner, whatever the submission put into it.
func inert(text string) string { return commandStart.ReplaceAllString(text, "$1| ::") }

func seedsText(n int) string {
	if n <= 1 {
		return ""
	}
	return fmt.Sprintf(" and the %d after it", n-1)
}

func writeTask(b *strings.Builder, t Task) {
	fmt.Fprintf(b, "\n%s %s: %s\n", marks[t.Verdict], t.Name, t.Verdict)
	if t.Verdict == Skipped {
		fmt.Fprintf(b, "  %s\n", t.Why)
		return
	}
	field := func(name, text string) {
		if text != "" {
			fmt.Fprintf(b, "  %-9s %s\n", name, strings.ReplaceAll(strings.TrimRight(Clean(text), "\n"), "\n", "\n            "))
		}
	}
	if t.Verdict == Pass {
		field("seen", t.Why)
		fmt.Fprintf(b, "\n%s", indent(t.Diagram, "    "))
		return
	}
	field("asked", t.Rationale)
	field("happened", t.Why)
	field("expected", t.Expected)
	field("actual", t.Actual)
	for _, r := range t.Receipts {
		bit := "bit"
		if !r.Bit {
			bit = "did not bite"
		}
		field("fault", fmt.Sprintf("%s: %s; %s", r.Fault, bit, r.Evidence))
	}
	if t.Diagram != "" {
		fmt.Fprintf(b, "\n%s\n", indent(t.Diagram, "    "))
	} else if len(t.Excerpt) > 0 {
		fmt.Fprintf(b, "\n%s\n", indent(strings.Join(t.Excerpt, "\n"), "    "))
	}
	if t.Shrunk != nil {
		field("shown", t.Shrunk.Story())
	}
	if t.Unshrunk != nil {
		field("shown", t.Unshrunk.Story())
	}
	field("read", lessonText(t.Lesson))
	field("replay", t.Replay)
}

func lessonText(slug string) string {
	if slug == "" {
		return ""
	}
	return fmt.Sprintf("lesson %s (netsplit read %s)", slug, slug)
}

// indent puts a prefix before every line and ends the last one.
func indent(text, prefix string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return prefix + strings.Join(lines, "\n"+prefix) + "\n"
}
