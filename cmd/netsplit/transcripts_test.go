package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"netsplit/kit/cluster"
	"netsplit/lessons"
)

// transcripts are the recorded runs that lessons show: for each session, on a state folder of its own, the files
// of lessons/output in the order in which they follow on each other.
var transcripts = []struct {
	name  string
	lab   string // whose cluster it needs
	files []string
}{
	{"first cluster", "master-recovery", []string{"lab-up", "first-table", "first-cut", "first-heal"}},
	{"nodes and connections", "hello-cluster", []string{"connect", "spawn", "inspect"}},
	{"disconnection", "node-disconnection", []string{"parted", "rejoined"}},
	{"reasons", "node-disconnection", []string{"reasons"}},
	{"messages", "message-partition", []string{"two-is-lost"}},
	{"monitor", "message-partition", []string{"noconnection"}},
	{"silence", "message-partition", []string{"silent-cut"}},
	{"seeing the system", "playground", []string{"at-a-glance", "full-mailbox", "copies-seen", "slow-link", "two-names"}},
	{"names", "global-registry", []string{"registered", "released", "two-holders", "conflict-told"}},
	{"remote processes", "remote-processes", []string{"spawned", "remote-reasons", "remote-noconnection"}},
	{"shared counter", "master-recovery", []string{"shared-counter", "own-table"}},
	{"supervisors", "master-recovery", []string{"supervised", "spread-children"}},
	{"dirty operations", "dirty-reads", []string{"lost-update", "no-lost-update"}},
	{"splits", "master-recovery", []string{"split", "still-split", "masters"}},
	{"transfers", "master-recovery", []string{"three-branches", "half-a-transfer", "branch-away"}},
	{"two-phase commit", "master-recovery", []string{"all-or-nothing"}},
	{"bank", "master-recovery", []string{"notified"}},
}

// TestTranscripts plays what the lessons show with the real program and compares. Numbers that differ from run to
// run (times, ports, process ids, pids) may differ. With -update the files are written anew.
func TestTranscripts(t *testing.T) {
	played := []string{}
	for _, session := range transcripts {
		for _, name := range session.files {
			if slices.Contains(played, name) {
				t.Errorf("two sessions play lessons/output/%s.txt", name)
			}
			played = append(played, name)
		}
		t.Run(session.name, func(t *testing.T) {
			p := player{home: t.TempDir()}
			defer p.end(t)
			if session.files[0] != "lab-up" {
				if said := p.run(t, "", []string{"netsplit", "lab", "up", session.lab}); !strings.Contains(said, "is up") {
					t.Fatal(said)
				}
			}
			for _, name := range session.files {
				p.play(t, name)
			}
		})
	}
	all, err := fs.Glob(lessons.FS, "output/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range all {
		if !slices.Contains(played, strings.TrimSuffix(filepath.Base(file), ".txt")) {
			t.Errorf("no session plays lessons/%s", file)
		}
	}
}

type player struct{ home string }

func (p player) end(t *testing.T) {
	labs, err := cluster.List(p.home)
	if err != nil {
		t.Error(err)
	}
	for _, l := range labs {
		if _, err := cluster.Down(p.home, l.Name); err != nil {
			t.Error(err)
		}
	}
}

func (p player) play(t *testing.T, name string) {
	t.Helper()
	file := filepath.Join("..", "..", "lessons", "output", name+".txt")
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, block := range blocksOf(string(want)) {
		if command, ok := strings.CutPrefix(block[0], "$ "); ok {
			got.WriteString(block[0] + "\n" + p.run(t, "", strings.Fields(command)))
			continue
		}
		late := ""
		if processLine.MatchString(string(want)) {
			late = "a.output(wait=300)\n" // what a process wrote too late for the entry that it belongs to
		}
		got.WriteString(p.shell(t, block, late))
	}
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if steady(got.String()) != steady(string(want)) {
		t.Errorf("lessons/output/%s.txt does not show what happens now; look at the difference, then run with -update\n%s", name, got.String())
	}
}

// blocksOf takes what was typed out of a transcript: a command alone, or the expressions typed in a row.
func blocksOf(text string) [][]string {
	var blocks [][]string
	inShell := false
	for line := range strings.SplitSeq(text, "\n") {
		switch {
		case strings.HasPrefix(line, "$ "):
			blocks, inShell = append(blocks, []string{line}), false
		case strings.HasPrefix(line, ">>> ") && !inShell:
			blocks, inShell = append(blocks, []string{line}), true
		case strings.HasPrefix(line, ">>> "), strings.HasPrefix(line, "..."):
			blocks[len(blocks)-1] = append(blocks[len(blocks)-1], line)
		}
	}
	return blocks
}

// shell types expressions into one "netsplit sh" and puts each one's output below it, and that of what is typed last at the end.
func (p player) shell(t *testing.T, typed []string, last string) string {
	t.Helper()
	const mark = "=====8<====="
	var in strings.Builder
	var entries []string
	for i, line := range typed {
		bare := line
		for _, prompt := range []string{">>> ", "... ", "..."} {
			if rest, ok := strings.CutPrefix(line, prompt); ok {
				bare = rest
				break
			}
		}
		in.WriteString(bare + "\n")
		if strings.HasPrefix(line, "...") {
			entries[len(entries)-1] += "\n" + line
		} else {
			entries = append(entries, line)
		}
		if i+1 == len(typed) || !strings.HasPrefix(typed[i+1], "...") {
			fmt.Fprintf(&in, "print(%q)\n", mark)
		}
	}
	in.WriteString(last)
	parts := strings.Split(p.run(t, in.String(), []string{"netsplit", "sh"}), mark+"\n")
	if len(parts) != len(entries)+1 {
		t.Fatalf("%d entries gave %d outputs: %q", len(entries), len(parts)-1, parts)
	}
	var out strings.Builder
	for i, e := range entries {
		out.WriteString(e + "\n" + parts[i])
	}
	out.WriteString(parts[len(entries)])
	return out.String()
}

func (p player) run(t *testing.T, in string, words []string) string {
	t.Helper()
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Dir = p.home
	cmd.Env = append(os.Environ(), "NETSPLIT_HOME="+p.home, "NO_COLOR=1")
	cmd.Stdin = strings.NewReader(in)
	var both bytes.Buffer
	cmd.Stdout, cmd.Stderr = &both, &both
	if err := cmd.Run(); err != nil && both.Len() == 0 {
		t.Fatalf("%s: %v", strings.Join(words, " "), err)
	}
	return both.String()
}

var (
	someNumber = regexp.MustCompile(`\b\d+(\.\d+)? ?(ms|µs|us|s|MB)\b|\b\d{3,}\b`)
	somePid    = regexp.MustCompile(`<([a-z]+)\.\d+>`)
	someBlanks = regexp.MustCompile(`[ \t]+`)

	processLine = regexp.MustCompile(`(?m)^<[a-z]+\.\d+> .*\n`)
)

// steady takes out what differs from run to run: numbers, and where among the entries a line stands that a process wrote,
// which the shell shows when it arrives.
func steady(s string) string {
	s = processLine.ReplaceAllString(s, "") + strings.Join(processLine.FindAllString(s, -1), "")
	return someBlanks.ReplaceAllString(someNumber.ReplaceAllString(somePid.ReplaceAllString(s, "<$1.N>"), "N"), " ")
}
