package lesson

import (
	"errors"
	"fmt"

	"strings"
	"testing"
	"testing/fstest"

	"github.com/cockroachdb/datadriven"
	"golang.org/x/tools/txtar"

	"netsplit/kit"
)

// TestScripts runs testdata/*. Commands:
//
//	course [labs=(SLUG,...)]   input: a txtar archive of the lessons folder; files below quotes/ can be quoted,
//	                           labs/SLUG/README.md are briefs. Prints the lessons, or every fault.
//	page                       input: the body of one lesson in a course around it. Prints faults or "sound".
//	html LESSON, text LESSON [width=N] [color], brief LAB, list [width=N], find NAME
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		w := &scriptWorld{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			return w.run(t, d)
		})
	})
}

type scriptWorld struct{ course *Course }

// around is the course that a "page" stands in.
const around = `-- course.yaml --
title: Course
headline: Headline
summary: Summary
parts:
  - {dir: 1-one, title: One, summary: First}
-- 1-one/02-other.md --
---
title: Other
summary: Another lesson
minutes: 1
---
## Far away
`

func (w *scriptWorld) run(t *testing.T, d *datadriven.TestData) string {
	o := TextOptions{Width: 80, Color: d.HasArg("color")}
	d.MaybeScanArgs(t, "width", &o.Width)
	switch d.Cmd {
	case "course":
		return w.load(d.Input, d)
	case "page":
		return w.load(around+"-- quotes/solutions/x/x.go --\n"+quotedGo+"-- 1-one/01-this.md --\n---\ntitle: This\nsummary: This lesson\nminutes: 5\nlab: some-lab\n---\n"+d.Input+"\n", d)
	case "find":
		l, err := w.course.Lesson(d.CmdArgs[0].Key)
		if err != nil {
			return explain(err)
		}
		return l.File + "\n"
	case "list":
		return w.course.List(o)
	case "brief":
		return w.course.Brief(d.CmdArgs[0].Key).Text(o)
	}
	l, err := w.course.Lesson(d.CmdArgs[0].Key)
	if err != nil {
		return explain(err)
	}
	if d.Cmd == "text" {
		return strings.ReplaceAll(l.Text(w.course, o), "\x1b", "␛")
	}
	out, err := l.HTML(func(l Link) string { return fmt.Sprintf("%d:%s%s#%s", l.Kind, l.Name, l.URL, l.Fragment) })
	if err != nil {
		return err.Error()
	}
	return out
}

const quotedGo = `package x

// region: greet
func greet() string {
	// region: inner
	s := "hello"
	// endregion
	return s
}

// endregion: greet

// Account holds money.
type Account struct{ balance int64 }

// Deposit adds.
func (a *Account) Deposit(n int64) { a.balance += n }

// region: open ended
`

func (w *scriptWorld) load(input string, d *datadriven.TestData) string {
	src := Sources{Lessons: fstest.MapFS{}, Quotes: fstest.MapFS{}, Labs: []Lab{{Slug: "some-lab", Title: "Some lab", Kind: "script"}}}
	if arg, ok := d.Arg("labs"); ok {
		src.Labs = nil
		for _, slug := range arg.Vals {
			src.Labs = append(src.Labs, Lab{Slug: slug, Title: "Lab " + slug, Kind: "code"})
		}
	}
	for _, f := range txtar.Parse([]byte(input)).Files {
		put(src, f)
	}
	c, err := Load(src)
	if err != nil {
		return explain(err)
	}
	w.course = c
	if d.Cmd == "page" {
		return "sound\n"
	}
	var b strings.Builder
	for _, l := range c.Lessons() {
		fmt.Fprintf(&b, "%s %q part %d, %d minutes, toc %v\n", l.Name, l.Title, l.Part.Number, l.Minutes, l.TOC)
	}
	return b.String()
}

func put(src Sources, f txtar.File) {
	if name, ok := strings.CutPrefix(f.Name, "quotes/"); ok {
		src.Quotes.(fstest.MapFS)[name] = &fstest.MapFile{Data: f.Data}
		return
	}
	for i, lab := range src.Labs {
		switch f.Name {
		case "labs/" + lab.Slug + "/README.md":
			src.Labs[i].Brief = f.Data
			return
		case "labs/" + lab.Slug + "/lesson":
			src.Labs[i].Lesson = strings.TrimSpace(string(f.Data))
			return
		}
	}
	src.Lessons.(fstest.MapFS)[f.Name] = &fstest.MapFile{Data: f.Data}
}

// explain gives faults line by line, or an error with its hint.
func explain(err error) string {
	var faults Faults
	if errors.As(err, &faults) {
		return faults.Error() + "\n"
	}
	return fmt.Sprintf("%v\nhint: %s\n", err, kit.HintOf(err))
}
