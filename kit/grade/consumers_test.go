package grade

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"html"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// every are the results that each consumer has to be able to read.
func every() map[string]*Result {
	return map[string]*Result{"sample": sample(), "unclear": unclear(), "unrun": unrun(), "hostile": hostile()}
}

// TestJUnitAsReadersReadIt decodes what GitLab, Jenkins and others take from a report.
func TestJUnitAsReadersReadIt(t *testing.T) {
	type outcome struct {
		Message string `xml:"message,attr"`
		Body    string `xml:",chardata"`
		Inner   []struct {
			XMLName xml.Name
		} `xml:",any"`
	}
	type report struct {
		Suites []struct {
			Name     string  `xml:"name,attr"`
			Tests    int     `xml:"tests,attr"`
			Failures int     `xml:"failures,attr"`
			Errors   int     `xml:"errors,attr"`
			Skipped  int     `xml:"skipped,attr"`
			Time     float64 `xml:"time,attr"`
			Cases    []struct {
				Class   string   `xml:"classname,attr"`
				Name    string   `xml:"name,attr"`
				Time    float64  `xml:"time,attr"`
				Failure *outcome `xml:"failure"`
				Error   *outcome `xml:"error"`
				Skipped *outcome `xml:"skipped"`
				Out     string   `xml:"system-out"`
			} `xml:"testcase"`
			Out string `xml:"system-out"`
		} `xml:"testsuite"`
	}
	for name, r := range every() {
		var got report
		doc := written(t, "junit", r)
		if err := strictXML(doc, &got); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(got.Suites) != 1 || got.Suites[0].Tests != len(r.Tasks) || len(got.Suites[0].Cases) != len(r.Tasks) {
			t.Fatalf("%s: %d suites, or not %d tests", name, len(got.Suites), len(r.Tasks))
		}
		suite := got.Suites[0]
		count := map[Verdict]int{}
		seen := map[string]bool{}
		for i, c := range suite.Cases {
			verdict := Pass
			var o outcome
			for v, p := range map[Verdict]*outcome{Fail: c.Failure, Inconclusive: c.Error, Skipped: c.Skipped} {
				if p != nil {
					verdict, o = v, *p
				}
			}
			count[verdict]++
			if verdict != r.Tasks[i].Verdict || verdict != Pass && (o.Message == "" || strings.TrimSpace(o.Body) == "" || len(o.Inner) > 0) {
				t.Errorf("%s %s: %s, %q", name, c.Name, verdict, o.Message)
			}
			if key := c.Class + "\n" + c.Name; c.Class == "" || c.Name == "" || seen[key] || strings.Count(key, "\n") != 1 {
				t.Errorf("%s: %q is empty, has lines or is there twice", name, key)
			} else {
				seen[key] = true
			}
			if attachments := regexp.MustCompile(`(?i)\[\[ATTACHMENT\|`); attachments.MatchString(c.Out + o.Body + suite.Out) {
				t.Errorf("%s %s links to a file of this machine", name, c.Name)
			}
		}
		if suite.Failures != count[Fail] || suite.Errors != count[Inconclusive] || suite.Skipped != count[Skipped] || suite.Time < 0 {
			t.Errorf("%s: the suite counts %d, %d, %d; the cases %v", name, suite.Failures, suite.Errors, suite.Skipped, count)
		}
	}
}

// strictXML decodes one document and nothing behind it.
func strictXML(doc []byte, into any) error {
	dec := xml.NewDecoder(bytes.NewReader(doc))
	if err := dec.Decode(into); err != nil {
		return err
	}
	if tok, err := dec.Token(); err != io.EOF {
		if text, ok := tok.(xml.CharData); !ok || strings.TrimSpace(string(text)) != "" {
			return fmt.Errorf("%v follows the document", tok)
		}
	}
	return nil
}

// workflowCommand is what GitHub's runner reads from a line that a step printed.
type workflowCommand struct {
	name, data string
	properties map[string]string
}

// readCommand follows the runner: leading space of any kind is ignored, then "::name k=v,k=v::data"; failing that,
// "##[name ...]" anywhere in the line.
func readCommand(text string) (workflowCommand, bool) {
	trimmed := strings.TrimLeftFunc(text, unicode.IsSpace)
	if rest, ok := strings.CutPrefix(trimmed, "::"); ok {
		if info, data, ok := strings.Cut(rest, "::"); ok {
			name, list, _ := strings.Cut(info, " ")
			c := workflowCommand{name: name, properties: map[string]string{}}
			for _, pair := range strings.Split(list, ",") {
				if k, v, ok := strings.Cut(pair, "="); ok {
					for _, e := range [][2]string{{"%0D", "\r"}, {"%0A", "\n"}, {"%3A", ":"}, {"%2C", ","}, {"%25", "%"}} {
						v = strings.ReplaceAll(v, e[0], e[1])
					}
					c.properties[k] = v
				}
			}
			for _, e := range [][2]string{{"%0D", "\r"}, {"%0A", "\n"}, {"%25", "%"}} {
				data = strings.ReplaceAll(data, e[0], e[1])
			}
			c.data = data
			return c, true
		}
	}
	if _, rest, ok := strings.Cut(text, "##["); ok {
		name, _, _ := strings.Cut(rest, "]")
		return workflowCommand{name: "old " + name}, true
	}
	return workflowCommand{}, false
}

func TestAnnotationsAsTheRunnerReadsThem(t *testing.T) {
	for name, r := range every() {
		count := map[string]int{}
		for _, text := range regexp.MustCompile("\r\n|\r|\n").Split(strings.TrimSuffix(string(written(t, "github", r)), "\n"), -1) {
			c, ok := readCommand(text)
			if !ok || !slices.Contains([]string{"error", "warning", "notice"}, c.name) || len(c.properties) != 1 || c.properties["title"] == "" || c.data == "" {
				t.Fatalf("%s: the runner reads %q from %.200q", name, c, text)
			}
			if n := utf8.RuneCountInString(c.data); n > maxAnnotation || strings.Contains(c.properties["title"], "\n") {
				t.Errorf("%s: %d runes, title %q", name, n, c.properties["title"])
			}
			count[c.name]++
		}
		for kind, n := range count {
			if n > 10 {
				t.Errorf("%s: %d of kind %s; GitHub shows 10", name, n, kind)
			}
		}
	}
	var back []string
	for text := range strings.Lines(string(written(t, "github", unrun()))) {
		c, _ := readCommand(strings.TrimSuffix(text, "\n"))
		back = append(back, c.data)
	}
	if want := "/home/ada/work/main.go:3: undefined: x\n::error::forged"; !strings.HasSuffix(back[0], want) {
		t.Errorf("%q came back as %q", want, back[0])
	}
	many := &Result{Lab: "many", Verdict: Fail}
	for range 30 {
		many.Tasks = append(many.Tasks, Task{Name: "t", Max: 1, Verdict: Fail, Why: "w"})
	}
	if doc := string(written(t, "github", many)); strings.Count(doc, "::error ") != 10 || !strings.Contains(doc, "and 21 more fail; the job summary") {
		t.Errorf("%s", doc)
	}
}

// TestTextCommandsNobody: the text for people may be printed by a job's step as well.
func TestTextCommandsNobody(t *testing.T) {
	for name, r := range map[string]*Result{"sample": sample(), "unrun": unrun(), "hostile": hostileOf(10)} {
		for _, text := range regexp.MustCompile("\r\n|\r|\n").Split(string(written(t, "text", r)), -1) {
			if c, ok := readCommand(text); ok {
				t.Errorf("%s: the runner reads %q from %.100q", name, c, text)
			}
		}
	}
}

// TestSummaryHoldsNoMarkup takes the blocks out of a summary and wants nothing but our own Markdown and tags.
func TestSummaryHoldsNoMarkup(t *testing.T) {
	block := regexp.MustCompile(`(?s)<pre>([^<>]*)</pre>`)
	span := regexp.MustCompile("<code>(?:[^<>&!\"#$%'()*+,./:;=?@\\[\\\\\\]^_`{|}~\n]|&#[0-9]+;)*</code>")
	ours := regexp.MustCompile(`^(|## [✓✗?] C: \w+, \d+ of \d+ points|Inconclusive: [a-z,; ]+\.|Seed \d+( and the \d+ after it)?; isolation: C|` +
		`\| \| Task \| Verdict \| Points \| \||\|---\|---\|---\|---:\|---\||\| [✓✗?–] \| C \| \w+ \| \d+/\d+ \| C \||[✓✗?–] C: \w+|` +
		`The last that the work printed:|B)$`)
	for name, r := range every() {
		var b bytes.Buffer
		if err := JobSummary(&b, r); err != nil {
			t.Fatal(err)
		}
		if b.Len() > 1<<20 {
			t.Errorf("%s: %d bytes", name, b.Len())
		}
		rest := span.ReplaceAllString(block.ReplaceAllString(b.String(), "B"), "C")
		for _, text := range strings.Split(rest, "\n") {
			if !ours.MatchString(text) {
				t.Errorf("%s: %.200q is not ours", name, text)
			}
		}
		if got := block.FindStringSubmatch(b.String()); name == "unrun" && !strings.Contains(html.UnescapeString(got[1]), "undefined: x\n::error::forged") {
			t.Errorf("the block reads %q", got[1])
		}
	}
}

// strictJSON decodes one value, with no field beyond those of into.
func strictJSON(t *testing.T, doc []byte, into any) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		t.Fatal(err)
	}
	if _, err := dec.Token(); err != io.EOF {
		t.Fatalf("something follows: %v", err)
	}
}

func TestGradescopeRules(t *testing.T) {
	visible := []string{"hidden", "after_due_date", "after_published", "visible"}
	formats := []string{"text", "html", "simple_format", "md", "ansi"}
	for name, r := range every() {
		var got gradescopeResult
		strictJSON(t, written(t, "gradescope", r), &got)
		sum := 0
		if !slices.Contains(visible, got.Visibility) || !slices.Contains(visible, got.StdoutVisibility) || got.ExecutionTime < 0 || len(got.Tests) != len(r.Tasks) {
			t.Errorf("%s: %q, %q, %d, %d tests", name, got.Visibility, got.StdoutVisibility, got.ExecutionTime, len(got.Tests))
		}
		for i, test := range got.Tests {
			sum += test.Score
			if test.Score < 0 || test.Score > test.MaxScore || test.Name == "" || !slices.Contains(visible, test.Visibility) {
				t.Errorf("%s: %d of %d, name %q", name, test.Score, test.MaxScore, test.Name)
			}
			v := r.Tasks[i].Verdict
			if (test.Status == "passed") != (v == Pass) || test.Status != "passed" && test.Status != "failed" {
				t.Errorf("%s: %s is %s", name, v, test.Status)
			}
			if (v == Inconclusive || v == Skipped) && !strings.HasSuffix(test.Name, "("+string(v)+")") {
				t.Errorf("%s: %q does not say %s", name, test.Name, v)
			}
			// Only plain text is never interpreted.
			for _, f := range []string{test.Format, test.NameFormat, got.OutputFormat, got.TestNameFormat, got.TestOutputFormat} {
				if !slices.Contains(formats, f) || f != "text" {
					t.Errorf("%s: format %q", name, f)
				}
			}
		}
		if sum != got.Score {
			t.Errorf("%s: the tests have %d points, the whole %d", name, sum, got.Score)
		}
	}
	var got gradescopeResult
	strictJSON(t, written(t, "gradescope", sample()), &got)
	if got.Score != 35 || got.Tests[2].Score != 15 {
		t.Errorf("partial credit: %d, %d", got.Score, got.Tests[2].Score)
	}
}

func TestExercismRules(t *testing.T) {
	for name, r := range every() {
		var got exercismResult
		doc := written(t, "exercism", r)
		strictJSON(t, doc, &got)
		if got.Version != 3 || len(doc) > 500_000 || len(got.Message) > 65_535 || got.Tests == nil {
			t.Errorf("%s: version %d, %d bytes, message of %d", name, got.Version, len(doc), len(got.Message))
		}
		if (got.Status == "error") != (len(got.Tests) == 0) || (got.Status == "error") != (got.Message != "") {
			t.Errorf("%s: status %s with %d tests, message %q", name, got.Status, len(got.Tests), got.Message)
		}
		all := "pass"
		for i, test := range got.Tests {
			if !slices.Contains([]string{"pass", "fail", "error"}, test.Status) || test.Name == "" || test.Code == "" || test.Task != i+1 {
				t.Errorf("%s: %+v", name, test)
			}
			if utf8.RuneCountInString(test.Output) > 500 || (test.Status != "pass") != (test.Message != "") {
				t.Errorf("%s: output of %d, message %q", name, utf8.RuneCountInString(test.Output), test.Message)
			}
			if test.Status != "pass" {
				all = "fail"
			}
			if v := r.Tasks[i].Verdict; (v == Inconclusive || v == Skipped) != (test.Status == "error") {
				t.Errorf("%s: %s became %s", name, v, test.Status)
			}
		}
		if len(got.Tests) > 0 && got.Status != all {
			t.Errorf("%s: status %s of tests that %s", name, got.Status, all)
		}
		if bytes.Contains(doc, []byte("/home/ada")) {
			t.Errorf("%s shows a path of this machine", name)
		}
	}
	long := &Result{Lab: "x", Verdict: Fail, Problem: strings.Repeat("é世", 1<<20), Tasks: []Task{{Name: "t", Verdict: Fail}}}
	var got exercismResult
	if strictJSON(t, written(t, "exercism", long), &got); len(got.Message) > 65_535 || !strings.HasSuffix(got.Message, clipped) {
		t.Errorf("a message of %d bytes", len(got.Message))
	}
}

// TestClassroom50Rules checks what the runner and the collector of scores check.
func TestClassroom50Rules(t *testing.T) {
	for name, r := range every() {
		var got classroom50Result
		doc := written(t, "classroom50", r)
		strictJSON(t, doc, &got)
		if got.Schema != "classroom50/result/v1" || got.Classroom != "cs" || got.Assignment != "dirty-reads" || got.Owner != "ada" ||
			got.AssignmentType != "individual" || !strings.HasPrefix(got.Submission, "submit/") || len(doc) > 10<<20 {
			t.Errorf("%s: %.300s", name, doc)
		}
		for _, v := range []string{got.Commit, got.Release, got.Review} {
			if !strings.HasPrefix(v, "https://") {
				t.Errorf("%s: address %q", name, v)
			}
		}
		if got.Datetime != "2026-06-01T14:33:11Z" || got.Score < 0 || got.Score > got.MaxScore || len(got.Tests) != len(r.Tasks) {
			t.Errorf("%s: %s, %d of %d, %d tests", name, got.Datetime, got.Score, got.MaxScore, len(got.Tests))
		}
		score, most := 0, 0
		for i, test := range got.Tests {
			score, most = score+test.Score, most+test.MaxScore
			if test.Name == "" || test.Score < 0 || test.Score > test.MaxScore || test.Passed != (r.Tasks[i].Verdict == Pass) {
				t.Errorf("%s: %+v", name, test)
			}
			if strings.ContainsAny(test.Name, "\n<>[]`|@*\\") {
				t.Errorf("%s: the release's page would show more than the text of %q", name, test.Name)
			}
		}
		if score != got.Score || most != got.MaxScore {
			t.Errorf("%s: %d of %d, the tests have %d of %d", name, got.Score, got.MaxScore, score, most)
		}
	}
}
