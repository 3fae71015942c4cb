package main

import "errors"

// Part C.

// FormatTable aligns entries in columns for people: a line of headings (number, date, type, amount, description), then a
// line an entry; number and amount to the right. A description comes from outside: nothing in it may steer a
// terminal.
//
// To do.
func FormatTable(entries []Entry) string {
	return ""
}

// FormatJSON writes entries for programs: a list of objects, [] when there are none.
//
// To do.
func FormatJSON(entries []Entry) (string, error) {
	return "", errors.New("there is no JSON yet")
}

// FormatCSV writes entries for spreadsheets: a line of names (number, date, type, amount, description), then a line an
// entry. A description that begins with = + - or @ would be taken for a formula; it gets a ' before it.
//
// To do.
func FormatCSV(entries []Entry) (string, error) {
	return "", errors.New("there is no CSV yet")
}
