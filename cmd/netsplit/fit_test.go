package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"netsplit/kit/lesson"
)

const resultText = `some-lab: FAIL  20/40 points
seed 7 and the 39 after it, a sandbox: no files, no network, no clock and no environment of this machine

  ✓ one  20/20  The first
  ✗ two   0/20  The second

✗ two: fail
  asked     Who has said yes must be able to commit after a crash
  happened  the transfer ada-1 is twice in the account ann on a, which was killed in the middle of it

        1.066 s   ●───────▶│     transfer("ada-1", [{a,"ann",-66},{b,"bob",66}])
        1.087 s   │        ✕     kill a
                  │        │
  read      lesson two-phase-commit#lost-and-late (netsplit read two-phase-commit#lost-and-late)
  replay    netsplit grade /home/somebody/a/long/path/to/the/work --seed 356412 --seeds 1

The last that your work printed:
  | happened  something that is a good deal longer than the terminal is wide, on one line
`

// TestResultFitsTheTerminal breaks prose at blanks and leaves commands and foreign output alone.
func TestResultFitsTheTerminal(t *testing.T) {
	s := screen{text: lesson.TextOptions{Width: 60}}
	got := s.fit(resultText)
	for l := range strings.SplitSeq(got, "\n") {
		free := strings.HasPrefix(l, "  replay") || strings.HasPrefix(l, "  | ")
		if !free && utf8.RuneCountInString(strings.TrimRight(l, " ")) > 60 {
			t.Errorf("too wide: %q", l)
		}
		if free && !strings.Contains(resultText, l+"\n") {
			t.Errorf("changed: %q", l)
		}
	}
	for _, want := range []string{
		"\n            on a, which was killed in the middle of it\n",
		"●───────▶│     transfer(\"ada-1\", [{a,\n                  │        │     \"ann\",-66},{b,\"bob\",66}])\n",
		"\n  read      lesson two-phase-commit#lost-and-late\n            (netsplit read two-phase-commit#lost-and-late)\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "\x1b") {
		t.Error("colours that nobody asked for")
	}
}

// TestResultColors colours verdicts and nothing else.
func TestResultColors(t *testing.T) {
	s := screen{text: lesson.TextOptions{Width: 200, Color: true}}
	got := s.fit(resultText)
	for _, want := range []string{"\x1b[31mFAIL\x1b[0m", "  \x1b[32m✓\x1b[0m one", "\n\x1b[31m✗\x1b[0m two: fail"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if n := strings.Count(got, "\x1b"); n != 11 {
		t.Errorf("%d escape codes", n)
	}
}
