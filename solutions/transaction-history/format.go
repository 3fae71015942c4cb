package main

import (
	"encoding/csv"
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

var columns = []string{"number", "date", "type", "amount", "description"}

// cells are the texts of an entry, in the order of columns.
func cells(e Entry) []string {
	return []string{strconv.FormatInt(e.Number, 10), e.Date.Format(time.RFC3339Nano), e.Type, strconv.FormatInt(e.Amount, 10), e.Description}
}

// FormatTable aligns entries in columns for people, numbers to the right. A description comes from outside, so what
// could steer a terminal is replaced.
func FormatTable(entries []Entry) string {
	rows := [][]string{columns}
	for _, e := range entries {
		c := cells(e)
		c[4] = strings.Map(func(r rune) rune {
			if unicode.IsControl(r) {
				return '?'
			}
			return r
		}, c[4])
		rows = append(rows, c)
	}
	width := make([]int, len(columns))
	for _, row := range rows {
		for i, c := range row {
			width[i] = max(width[i], utf8.RuneCountInString(c))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		line := ""
		for i, c := range row {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(c))
			if columns[i] == "number" || columns[i] == "amount" {
				line += pad + c + "  "
			} else {
				line += c + pad + "  "
			}
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

// FormatJSON writes entries for programs: a list of objects, [] when there are none.
func FormatJSON(entries []Entry) (string, error) {
	if entries == nil {
		entries = []Entry{}
	}
	b, err := json.Marshal(entries)
	return string(b), err
}

// FormatCSV writes entries for spreadsheets, with a line of names first. A field that a spreadsheet would take for a formula
// gets a quote before it.
func FormatCSV(entries []Entry) (string, error) {
	var b strings.Builder
	w := csv.NewWriter(&b)
	if err := w.Write(columns); err != nil {
		return "", err
	}
	for _, e := range entries {
		c := cells(e)
		if c[4] != "" && strings.ContainsRune("=+-@\t\r", rune(c[4][0])) {
			c[4] = "'" + c[4]
		}
		if err := w.Write(c); err != nil {
			return "", err
		}
	}
	w.Flush()
	return b.String(), w.Error()
}
