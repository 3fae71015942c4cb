package class

import (
	"crypto/sha256"
	_ "embed" // for the page
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"net/url"
	"strings"

	"netsplit/kit/grade"
)

var (
	//go:embed page.html
	pageText string
	//go:embed page.css
	pageStyle string
	//go:embed page.js
	pageScript string
)

var page = template.Must(template.New("grades").Funcs(template.FuncMap{
	"mark": mark, "said": State.Said, "address": address, "seconds": func(r Row) string { return fmt.Sprintf("%.1f s", r.Took.Seconds()) },
}).Parse(pageText))

// HTML writes the table as one page that needs nothing else. Whatever it shows of a submission is text; the page says
// to the browser that no script may run but its own, which sorts, and that nothing may be fetched.
func (t *Table) HTML(w io.Writer) error {
	return page.Execute(w, struct {
		*Table
		Style  template.CSS
		Script template.JS
		Policy string
		When   string
		Passed []int
	}{t, template.CSS(pageStyle), template.JS(pageScript), policy(), t.At.Format("2006-01-02 15:04"), t.passed()})
}

// policy is what the page may do, as the browser keeps it.
func policy() string {
	sum := sha256.Sum256([]byte(pageScript))
	return fmt.Sprintf("default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-%s'; base-uri 'none'; form-action 'none'",
		base64.StdEncoding.EncodeToString(sum[:]))
}

// passed counts for each task those who passed it.
func (t *Table) passed() []int {
	out := make([]int, len(t.Columns))
	for _, r := range t.Rows {
		for i, c := range r.Tasks {
			if c.Verdict == grade.Pass {
				out[i]++
			}
		}
	}
	return out
}

func mark(v grade.Verdict) string {
	return map[grade.Verdict]string{grade.Pass: "✓", grade.Fail: "✗", grade.Inconclusive: "?", grade.Skipped: "–"}[v]
}

// address is the link to a result beside the page, element by element escaped.
func address(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return strings.Join(parts, "/")
}
