package grade

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"strconv"
)

// maxJUnit bounds a report. GitLab takes 30 MB a file and 100 MB a job; people have to read it.
const maxJUnit = 4 << 20

type junitSuites struct {
	XMLName xml.Name   `xml:"testsuites"`
	Suite   junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name       string          `xml:"name,attr"`
	Tests      int             `xml:"tests,attr"`
	Failures   int             `xml:"failures,attr"`
	Errors     int             `xml:"errors,attr"`
	Skipped    int             `xml:"skipped,attr"`
	Time       string          `xml:"time,attr"`
	Properties []junitProperty `xml:"properties>property"`
	Cases      []junitCase     `xml:"testcase"`
	Out        string          `xml:"system-out,omitempty"`
	Err        string          `xml:"system-err,omitempty"`
}

type junitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitCase struct {
	Class      string          `xml:"classname,attr"`
	Name       string          `xml:"name,attr"`
	Time       string          `xml:"time,attr"`
	Properties []junitProperty `xml:"properties>property"`
	Failure    *junitOutcome   `xml:"failure"`
	Error      *junitOutcome   `xml:"error"`
	Skipped    *junitOutcome   `xml:"skipped"`
	Out        string          `xml:"system-out,omitempty"`
}

type junitOutcome struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Body    string `xml:",chardata"`
}

// JUnit writes a report in JUnit's XML: one suite, a test case for each task, the lab as its class. A task that
// failed is a failure, with its points as properties, because JUnit knows no partial credit; an inconclusive one is
// an error, JUnit's word for a test that could not be carried out; a skipped one is skipped. Tasks have no times of
// their own and are all given 0; the suite has that of the whole grading. The explanation stands in the body, since
// some readers leave out the message. A consumer shows the report and does not fail by it: the exit status does that.
func JUnit(w io.Writer, r *Result) error {
	doc, err := fit(maxJUnit, func(limit int) ([]byte, error) { return junitDocument(r, limit) })
	if err != nil {
		return err
	}
	_, err = w.Write(doc)
	return err
}

func junitDocument(r *Result, limit int) ([]byte, error) {
	score, most := total(r)
	lab := oneLine(r.Lab, 100, "lab")
	suite := junitSuite{Name: lab, Tests: len(r.Tasks), Time: fmt.Sprintf("%.3f", float64(max(0, r.Millis))/1000),
		Properties: []junitProperty{{"verdict", string(r.Verdict)}, {"score", strconv.Itoa(score)}, {"max", strconv.Itoa(most)},
			{"seed", strconv.FormatUint(r.Seed, 10)}, {"isolation", oneLine(r.Isolation, 300, "")}},
		Out: unlinked(upTo(r.Output, limit)), Err: unlinked(trouble(r, limit))}
	name := taskNames(r)
	for i, t := range r.Tasks {
		score, most := points(t)
		c := junitCase{Class: lab, Name: name[i], Time: "0",
			Properties: []junitProperty{{"score", strconv.Itoa(score)}, {"max", strconv.Itoa(most)}, {"title", oneLine(t.Title, 300, "")}}}
		outcome := &junitOutcome{Message: unlinked(taskLine(t)), Type: string(t.Verdict), Body: unlinked(story(t, limit))}
		switch t.Verdict {
		case Pass:
			c.Out = outcome.Body
		case Fail:
			c.Failure = outcome
			suite.Failures++
		case Skipped:
			outcome.Type = ""
			c.Skipped = outcome
			suite.Skipped++
		default:
			c.Error = outcome
			suite.Errors++
		}
		suite.Cases = append(suite.Cases, c)
	}
	doc, err := xml.MarshalIndent(junitSuites{Suite: suite}, "", "  ")
	if err != nil {
		return nil, err
	}
	// Attributes here have one line, so every line break and tab that was escaped belongs to a body, where it may stand
	// for itself and be read by people.
	doc = bytes.ReplaceAll(doc, []byte("&#xA;"), []byte("\n"))
	doc = bytes.ReplaceAll(doc, []byte("&#x9;"), []byte("\t"))
	return append(append([]byte(xml.Header), doc...), '\n'), nil
}

// unlinked breaks what GitLab would take for a link to a file of the machine.
func unlinked(text string) string { return attachment.ReplaceAllString(text, "[ [$1") }
