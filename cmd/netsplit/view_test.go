package main

import (
	"bytes"
	"strings"
	"testing"
)

// onScreen is what a terminal shows of text: what is written after a carriage return stands over what was there.
func onScreen(text string) []string {
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		var shown []rune
		at := 0
		for _, r := range line {
			if r == '\r' {
				at = 0
				continue
			}
			for len(shown) <= at {
				shown = append(shown, ' ')
			}
			shown[at] = r
			at++
		}
		lines = append(lines, strings.TrimRight(string(shown), " "))
	}
	return lines
}

func TestNewsStayAndProgressDoesNot(t *testing.T) {
	var b bytes.Buffer
	v := &view{w: &b, columns: func() int { return 30 }}
	v.progress()("a first line that is much longer than the terminal is wide")
	if got := onScreen(b.String()); len(got) != 1 || got[0] != "a first line that is much lo…" {
		t.Errorf("%q", got)
	}
	v.news()("count\nfailed\x1b[2J with seed 3")
	v.progress()("two")
	v.news()("also this failed, for a reason that is long")
	v.progress()("three")
	if got := onScreen(b.String()); strings.Join(got, "|") != "count failed␛[2J with seed 3|also this failed, for a reas…|three" {
		t.Errorf("%q", got)
	}
	v.clear()
	v.clear()
	if got := onScreen(b.String()); len(got) != 3 || got[2] != "" {
		t.Errorf("%q", got)
	}
	if v := viewOn(&b); v.progress() != nil || v.news() != nil {
		t.Error("what is no terminal is told what goes on")
	} else {
		v.clear()
	}
}
