package grade

import (
	"fmt"
	"io"
	"strings"
	"time"

	"netsplit/kit"
)

// maxClassroom50 bounds result.json; Classroom 50 takes 10 MiB.
const maxClassroom50 = 1 << 20

type classroom50Result struct {
	Schema         string            `json:"schema"`
	Classroom      string            `json:"classroom"`
	Assignment     string            `json:"assignment"`
	AssignmentType string            `json:"assignment_type"`
	Owner          string            `json:"owner"`
	Submission     string            `json:"submission"`
	Commit         string            `json:"commit"`
	Release        string            `json:"release"`
	Review         string            `json:"review"`
	Datetime       string            `json:"datetime"`
	GradedAt       string            `json:"graded_at"`
	Score          int               `json:"score"`
	MaxScore       int               `json:"max-score"`
	Tests          []classroom50Test `json:"tests"`
}

type classroom50Test struct {
	Name     string `json:"test-name"`
	Passed   bool   `json:"passed"`
	Score    int    `json:"score"`
	MaxScore int    `json:"max-score"`
	// What follows is ours; Classroom 50 keeps it as it is.
	Verdict Verdict `json:"verdict"`
	Why     string  `json:"why,omitempty"`
}

// Classroom50 writes result.json of classroom50/result/v1. Who handed in what comes from the environment that
// Classroom 50's runner gives its autograder; without it there can be no result. datetime is the time of grading,
// as in the templates of Classroom 50, whose runner knows the time of the commit. A test there has passed or not:
// an inconclusive or skipped task has not, with 0 points, its name saying what it is and its verdict beside. For a
// grade that is inconclusive as a whole "netsplit grade" ends with status 2, by which the runner records an error
// in place of the score.
func Classroom50(w io.Writer, r *Result, s Setting) error {
	out, err := classroom50Identity(s)
	if err != nil {
		return err
	}
	doc, err := fit(maxClassroom50, func(limit int) ([]byte, error) {
		out.Score, out.MaxScore = total(r)
		out.Tests = []classroom50Test{}
		name := taskNames(r)
		for i, t := range r.Tasks {
			test := classroom50Test{Name: name[i], Passed: t.Verdict == Pass, Verdict: t.Verdict, Why: story(t, limit)}
			test.Score, test.MaxScore = points(t)
			if t.Verdict != Pass && t.Verdict != Fail {
				test.Name += fmt.Sprintf(" (%s)", t.Verdict)
			}
			// The runner puts the name into a table of the release's page with nothing but | escaped.
			test.Name = plainMarkdown.Replace(test.Name)
			out.Tests = append(out.Tests, test)
		}
		return document(out)
	})
	if err != nil {
		return err
	}
	_, err = w.Write(doc)
	return err
}

// plainMarkdown takes what could form a tag, a link or a mention.
var plainMarkdown = strings.NewReplacer("<", "(", ">", ")", "[", "(", "]", ")", "`", "'", "@", "at ", "://", " ", "&", "+", "\\", "/", "*", "-",
	"!", ".", "|", "/")

func classroom50Ready(s Setting) error {
	_, err := classroom50Identity(s)
	return err
}

// classroom50Identity says whose work this is, from the environment.
func classroom50Identity(s Setting) (classroom50Result, error) {
	var missing []string
	get := func(keys ...string) string {
		for _, key := range keys {
			if v := oneLine(s.Getenv(key), 1000, ""); v != "" {
				return v
			}
		}
		missing = append(missing, keys[0])
		return ""
	}
	now := s.Now.UTC().Format(time.RFC3339)
	out := classroom50Result{Schema: "classroom50/result/v1", Classroom: get("CLASSROOM"), Assignment: get("ASSIGNMENT"),
		AssignmentType: oneLine(s.Getenv("ASSIGNMENT_TYPE"), 100, "individual"), Owner: get("OWNER", "USERNAME"),
		Submission: get("SUBMISSION_TAG"), Commit: get("COMMIT_URL"), Release: get("RELEASE_URL"), Review: get("REVIEW_URL", "COMMIT_URL"),
		Datetime: now, GradedAt: now}
	bad := func(err error) error {
		return &kit.Error{Op: "write result", Kind: kit.Invalid, Err: err,
			Hint: "this format is for an autograder that Classroom 50 runs; its environment says whose work it is"}
	}
	switch {
	case len(missing) > 0:
		return out, bad(fmt.Errorf("the environment lacks %s", strings.Join(missing, ", ")))
	case !strings.HasPrefix(out.Submission, "submit/"):
		return out, bad(fmt.Errorf("SUBMISSION_TAG %q does not start with submit/", out.Submission))
	}
	return out, nil
}
