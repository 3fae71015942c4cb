package lessons_test

import (
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.starlark.net/syntax"
	"go.yaml.in/yaml/v3"

	"netsplit/kit/lesson"
	"netsplit/lessons"
	"netsplit/site"
)

// labs reads the labs' front matter from the tree, so that a lesson cannot name one that is not there. It does
// so without package lab, which brings the whole runtime with it.
func labs(t *testing.T) []lesson.Lab {
	t.Helper()
	files, err := filepath.Glob("../labs/*/README.md")
	if err != nil || len(files) == 0 {
		t.Fatalf("no labs found: %v", err)
	}
	var out []lesson.Lab
	for _, f := range files {
		src, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		front, _, _ := strings.Cut(strings.TrimPrefix(string(src), "---\n"), "\n---\n")
		var l lesson.Lab
		if err := yaml.Unmarshal([]byte(front), &l); err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		l.Slug, l.File, l.Brief = filepath.Base(filepath.Dir(f)), strings.TrimPrefix(f, "../"), src
		for _, task := range l.Tasks {
			l.Points += task.Points
		}
		out = append(out, l)
	}
	return out
}

func course(t *testing.T) *lesson.Course {
	t.Helper()
	c, err := lesson.Load(lesson.Sources{Lessons: lessons.FS, Quotes: os.DirFS(".."), Labs: labs(t)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestEveryLessonIsSound reads the whole course: links, labs, quoted code, recorded output, diagrams.
func TestEveryLessonIsSound(t *testing.T) {
	c := course(t)
	if len(c.Lessons()) < 5 {
		t.Fatalf("only %d lessons are in the binary", len(c.Lessons()))
	}
	s, err := site.New(site.Config{Course: c})
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range s.Paths() {
		page, err := s.Page(at)
		if err != nil {
			t.Errorf("%q: %v", at, err)
		}
		if strings.Contains(string(page), "raw HTML omitted") || strings.Contains(string(page), "style=") {
			t.Errorf("%q holds something that pages must not hold", at)
		}
	}
}

// TestEveryLessonFitsTheTerminal holds prose, tables and diagrams to the width they are written for; code keeps
// its own.
func TestEveryLessonFitsTheTerminal(t *testing.T) {
	c := course(t)
	for _, l := range c.Lessons() {
		for _, width := range []int{60, 80, 100} {
			text := l.Text(c, lesson.TextOptions{Width: width})
			for n, line := range strings.Split(text, "\n") {
				if strings.HasPrefix(line, "    ") || strings.HasPrefix(line, "│     ") {
					continue // code
				}
				if len([]rune(line)) > width {
					t.Errorf("%s at %d columns, line %d is too long: %s", l.Name, width, n+1, line)
				}
			}
			if strings.Contains(text, "\x1b") {
				t.Errorf("%s has escape codes without colour", l.Name)
			}
		}
	}
}

// TestEveryLessonEndsInSomethingToRun is the rule of the course.
func TestEveryLessonEndsInSomethingToRun(t *testing.T) {
	c := course(t)
	for _, l := range c.Lessons() {
		if text := l.Text(c, lesson.TextOptions{Width: 80}); !strings.Contains(text, "Do it now") {
			t.Errorf("%s asks the reader to run nothing", l.Name)
		}
		if !l.HasDiagram() {
			t.Errorf("%s has no diagram", l.Name)
		}
	}
}

// entries gives what was typed into the shell in a transcript, each entry with the lines that continue it.
func entries(transcript string) []string {
	var out []string
	for line := range strings.SplitSeq(transcript, "\n") {
		if typed, ok := strings.CutPrefix(line, ">>> "); ok {
			out = append(out, typed+"\n")
		} else if rest, ok := strings.CutPrefix(line, "..."); ok && len(out) > 0 {
			out[len(out)-1] += strings.TrimPrefix(rest, " ") + "\n"
		}
	}
	return out
}

// TestSnippetsParse keeps typing errors out of what readers copy.
func TestSnippetsParse(t *testing.T) {
	dialect := &syntax.FileOptions{Set: true, While: true, TopLevelControl: true, GlobalReassign: true, Recursion: true}
	parsed := 0
	for _, l := range course(t).Lessons() {
		for _, s := range l.Snippets() {
			var err error
			switch s.Lang {
			case "starlark":
				_, err = dialect.Parse(l.File, s.Text, 0)
			case "console":
				for _, entry := range entries(s.Text) {
					if err == nil {
						_, err = dialect.Parse(l.File, entry, 0)
					}
				}
			case "go":
				_, err = parser.ParseFile(token.NewFileSet(), l.File, "package x\n"+strings.TrimPrefix(s.Text, "package "), parser.AllErrors)
			case "json":
				if !json.Valid([]byte(s.Text)) {
					err = errors.New("this is no JSON")
				}
			default:
				continue
			}
			parsed++
			if err != nil {
				t.Errorf("%s:%d: %v", l.File, s.Line, err)
			}
		}
	}
	if parsed < 8 {
		t.Errorf("only %d snippets were looked at", parsed)
	}
}
