package grade

import (
	"io"
	"strings"
)

// The limits of Exercism's test runner interface.
const (
	maxExercism        = 500_000 // bytes of results.json
	maxExercismMessage = 65_535  // bytes of the message at the top
	maxExercismOutput  = 500     // characters of a test's output
)

type exercismResult struct {
	Version int            `json:"version"`
	Status  string         `json:"status"`
	Message string         `json:"message,omitempty"`
	Tests   []exercismTest `json:"tests"`
}

type exercismTest struct {
	Name    string `json:"name"`
	Status  string `json:"status"`
	Message string `json:"message,omitempty"`
	Output  string `json:"output,omitempty"`
	Code    string `json:"test_code"`
	Task    int    `json:"task_id"`
}

// Exercism writes results.json of version 3: a test for each task, in the lab's order, numbered by task_id. A task
// that failed fails, without partial credit, which is not known there; one that is inconclusive or skipped is an
// error. A submission that could not be run is status error with the reason as message. So is an inconclusive
// grade: Exercism has "error" for a run in which no test was carried out, and the message then says what became of
// each task, with no tests in the list, rather than that the work failed. The code of a test is what the task asks
// for, in words: a student cannot paste the checker's.
func Exercism(w io.Writer, r *Result) error {
	doc, err := fit(maxExercism, func(limit int) ([]byte, error) { return document(exercismOf(r, limit)) })
	if err != nil {
		return err
	}
	_, err = w.Write(doc)
	return err
}

func exercismOf(r *Result, limit int) exercismResult {
	out := exercismResult{Version: 3, Status: "error", Tests: []exercismTest{}}
	name := taskNames(r)
	switch {
	case r.Problem != "":
		out.Message = atMost(maxExercismMessage, trouble(&Result{Problem: atHome(r, r.Problem)}, limit))
		return out
	case r.Verdict == Pass:
		out.Status = "pass"
	case r.Verdict == Fail:
		out.Status = "fail"
	default:
		message := []string{headline(r)}
		for i, t := range r.Tasks {
			message = append(message, name[i]+": "+taskLine(t))
		}
		out.Message = atMost(maxExercismMessage, upTo(atHome(r, strings.Join(message, "\n")), limit))
		return out
	}
	printed := atHome(r, strings.TrimSpace(trouble(r, maxExercismOutput)+"\n"+upTo(r.Output, limit)))
	for i, t := range r.Tasks {
		t.Replay = "" // a command of this machine
		asked := t.Rationale
		if asked == "" {
			asked = t.Title
		}
		test := exercismTest{Name: name[i], Task: i + 1, Code: oneLine(asked, 1000, name[i])}
		switch t.Verdict {
		case Pass:
			test.Status = "pass"
		case Fail:
			test.Status = "fail"
		default:
			test.Status = "error"
		}
		if t.Verdict != Pass {
			if test.Message = upTo(atHome(r, story(t, limit)), limit); test.Message == "" {
				test.Message = taskLine(t)
			}
			// What was printed belongs to the whole run; the first test that did not pass is the one that is shown.
			test.Output, printed = upTo(printed, maxExercismOutput), ""
		}
		out.Tests = append(out.Tests, test)
	}
	return out
}

// atMost clips text to most bytes, whatever its characters take.
func atMost(most int, text string) string {
	for limit := most; len(text) > most; limit /= 2 {
		text = upTo(text, limit/2)
	}
	return text
}
