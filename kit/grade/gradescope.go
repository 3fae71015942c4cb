package grade

import (
	"fmt"
	"io"
	"strconv"
)

// maxGradescope bounds results.json; Gradescope states no limit.
const maxGradescope = 1 << 20

type gradescopeResult struct {
	Score            int              `json:"score"`
	ExecutionTime    int64            `json:"execution_time"` // seconds
	Output           string           `json:"output"`
	OutputFormat     string           `json:"output_format"`
	TestOutputFormat string           `json:"test_output_format"`
	TestNameFormat   string           `json:"test_name_format"`
	Visibility       string           `json:"visibility"`
	StdoutVisibility string           `json:"stdout_visibility"`
	ExtraData        map[string]any   `json:"extra_data"`
	Tests            []gradescopeTest `json:"tests"`
}

type gradescopeTest struct {
	Score      int            `json:"score"`
	MaxScore   int            `json:"max_score"`
	Status     string         `json:"status"`
	Name       string         `json:"name"`
	NameFormat string         `json:"name_format"`
	Number     string         `json:"number"`
	Output     string         `json:"output"`
	Format     string         `json:"output_format"`
	Visibility string         `json:"visibility"`
	ExtraData  map[string]any `json:"extra_data"`
}

// Gradescope writes results.json. A test there has passed or failed and nothing else, so an inconclusive or skipped
// task stands as failed with 0 points, its name and its output saying what it is, and extra_data holding the verdict;
// an inconclusive grade should be run again. Partial credit is the test's score, and the total is their sum.
// Everything is plain text (no HTML, Markdown or ANSI is interpreted) and visible to the student, except what
// the container printed: that is for instructors.
func Gradescope(w io.Writer, r *Result) error {
	doc, err := fit(maxGradescope, func(limit int) ([]byte, error) { return document(gradescopeOf(r, limit)) })
	if err != nil {
		return err
	}
	_, err = w.Write(doc)
	return err
}

func gradescopeOf(r *Result, limit int) gradescopeResult {
	score, _ := total(r)
	out := gradescopeResult{Score: score, ExecutionTime: max(0, r.Millis+999) / 1000, Output: headline(r), OutputFormat: "text",
		TestOutputFormat: "text", TestNameFormat: "text", Visibility: "visible", StdoutVisibility: "hidden", Tests: []gradescopeTest{},
		ExtraData: map[string]any{"verdict": r.Verdict, "seed": strconv.FormatUint(r.Seed, 10), "isolation": oneLine(r.Isolation, 300, "")}}
	if text := trouble(r, limit); text != "" {
		out.Output += "\n\n" + text
	}
	if r.Output != "" && r.Verdict != Pass {
		out.Output += "\n\nThe last that your work printed:\n" + upTo(r.Output, limit)
	}
	name := taskNames(r)
	for i, t := range r.Tasks {
		score, most := points(t)
		test := gradescopeTest{Score: score, MaxScore: most, Status: "failed", Name: name[i], NameFormat: "text", Number: strconv.Itoa(i + 1),
			Output: story(t, limit), Format: "text", Visibility: "visible", ExtraData: map[string]any{"verdict": t.Verdict}}
		switch t.Verdict {
		case Pass:
			test.Status = "passed"
		case Fail:
		default:
			test.Name += fmt.Sprintf(" (%s)", t.Verdict)
		}
		out.Tests = append(out.Tests, test)
	}
	return out
}
