package class

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"
)

// CSV writes the table for spreadsheets and the scripts of a course: a line of headings, then one for each
// submission, as RFC 4180 has it. A task has two columns, its points and its verdict; without a grade they are empty,
// and so is the score. A text that a spreadsheet would take for a formula has an apostrophe before it.
func (t *Table) CSV(w io.Writer) error {
	out := csv.NewWriter(w)
	head := []string{"name", "state", "score", "max"}
	for _, c := range t.Columns {
		head = append(head, c.Name, c.Name+" verdict")
	}
	if err := out.Write(append(head, "why", "lab", "seed", "seeds", "digest", "seconds", "folder", "result")); err != nil {
		return err
	}
	for _, r := range t.Rows {
		line := []string{cell(r.Name), string(r.State), "", ""}
		if r.State.Graded() {
			line[2], line[3] = strconv.Itoa(r.Score), strconv.Itoa(r.Max)
		}
		for i := range t.Columns {
			if i >= len(r.Tasks) {
				line = append(line, "", "")
				continue
			}
			line = append(line, strconv.Itoa(r.Tasks[i].Score), string(r.Tasks[i].Verdict))
		}
		seed, seeds := "", ""
		if r.State.Graded() {
			seed, seeds = strconv.FormatUint(r.Seed, 10), strconv.Itoa(r.Seeds)
		}
		line = append(line, cell(r.Why), t.Lab, seed, seeds, r.Digest, strconv.FormatFloat(r.Took.Seconds(), 'f', 1, 64), cell(r.Folder), cell(r.Result))
		if err := out.Write(line); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// cell makes text of a submission's a text for a spreadsheet too: what begins with one of these characters, also
// behind spaces or a quotation mark, some of them evaluate.
func cell(text string) string {
	text = oneLine(text)
	begin := strings.TrimLeft(text, " \u00a0\"'")
	if begin != "" && strings.ContainsRune("=+-@|%＝＋－＠", []rune(begin)[0]) {
		return "'" + text
	}
	return text
}
