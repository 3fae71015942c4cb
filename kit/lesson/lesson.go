// Package lesson reads the course: Markdown files with front matter become typed lessons, checked down to the
// last link, and are written as HTML for the site and as text for a terminal.
//
// A lesson is lessons/<n-part>/<nn-name>.md; its part and its place follow from its path. "netsplit new lesson PART/NAME"
// writes one to begin with. Beyond CommonMark
// and GitHub's tables, task lists and footnotes a lesson may hold:
//
//	> [!NOTE] Title           a callout: NOTE, TIP, IMPORTANT, WARNING, CAUTION, TRY, PREDICT, ANSWER;
//	                          an ANSWER is folded away on a page and stands at the end in a terminal
//	```erlang tab="Erlang"    neighbouring blocks with a tab become one set of tabs
//	```mermaid title="..."    a diagram, drawn by kit/diagram
//	{{code "FILE" "REGION"}}  a region of a file that is compiled or run by a test, or a Go declaration in it
//	{{output "NAME"}}         what a recorded run printed
//
// Raw HTML, images and headings of level 1 are faults: the title comes from the front matter.
package lesson

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"netsplit/kit"
)

// Limits of what is read; a lesson is input from outside once instructors write their own.
const (
	MaxFile    = 256 << 10 // bytes of one Markdown file
	MaxLessons = 500
	maxQuote   = 150 // lines of one quoted region
	maxFaults  = 200 // faults reported at once
)

// Sources is where a course comes from.
type Sources struct {
	Lessons fs.FS // course.yaml, <n-part>/<nn-name>.md, output/<name>.txt
	Quotes  fs.FS // the files that lessons may quote, by their path in the repository; nil when there are none
	Labs    []Lab // every lab there is, in the course's order
}

// Lab is what lessons and their pages need to know of a lab.
type Lab struct {
	Slug    string
	Title   string
	About   string // one line; may be empty
	Lesson  string // "part/lesson" or "part/lesson#heading" to read for it; may be empty
	Kind    string // "script", "code", "tests" or "answer"
	Nodes   int
	Minutes int
	Points  int
	Tasks   []Task
	File    string // where Brief comes from, for faults: "labs/<slug>/README.md"
	Brief   []byte // its Markdown, front matter included; may be nil
}

// Task is one graded step of a lab.
type Task struct {
	Name   string
	Title  string
	Points int
	Lesson string // as Lab.Lesson
}

// Course is all lessons in their order. It does not change once it is loaded.
type Course struct {
	Title    string
	Headline string // what the start page opens with
	Summary  string
	Parts    []*Part
	Labs     []Lab
	lessons  []*Lesson
	briefs   map[string]*Page
}

// Part is a folder of lessons.
type Part struct {
	Dir     string
	Number  int
	Title   string
	Summary string
	Lessons []*Lesson
}

// Lesson is one page of the course. Prev and Next cross the borders of parts and are nil at the ends.
type Lesson struct {
	*Page
	Name    string // from the file name without its number; unique in the course
	File    string // path below the lessons folder
	Title   string
	Summary string
	Minutes int    // a fair guess of the time it takes, lab not included
	Lab     string // slug of the lab it leads to; may be empty
	Part    *Part
	Prev    *Lesson
	Next    *Lesson
	order   int
}

// Lessons gives all lessons in the course's order.
func (c *Course) Lessons() []*Lesson { return slices.Clone(c.lessons) }

// Lesson finds a lesson by its name or the only beginning of one, by "part/name" with or without the part's
// number, or by its file's path.
// A name that fits no lesson, or several, is an error whose hint says which ones are near.
func (c *Course) Lesson(name string) (*Lesson, error) {
	want := strings.TrimSuffix(strings.Trim(strings.ToLower(name), "/"), ".md")
	for _, l := range c.lessons {
		_, part, _ := strings.Cut(l.Part.Dir, "-")
		if want == l.Name || want == strings.TrimSuffix(l.File, ".md") || want == l.Part.Dir+"/"+l.Name || want == part+"/"+l.Name {
			return l, nil
		}
	}
	if l := c.only(want); l != nil {
		return l, nil
	}
	return nil, &kit.Error{Op: "find lesson", What: fmt.Sprintf("%q", name), Kind: kit.NotFound,
		Err: fmt.Errorf("there is no such lesson"), Hint: c.nearHint(want)}
}

// Ref resolves how labs name what to read: "lesson", "part/lesson" or either with "#heading". The error is of
// kind NotFound.
func (c *Course) Ref(ref string) (*Lesson, Heading, error) {
	name, id, deep := strings.Cut(ref, "#")
	l, err := c.Lesson(name)
	if err != nil || !deep {
		return l, Heading{}, err
	}
	for _, h := range l.TOC {
		if h.ID == id {
			return l, h, nil
		}
	}
	return nil, Heading{}, &kit.Error{Op: "find lesson", What: ref, Kind: kit.NotFound,
		Err: fmt.Errorf("%s has no heading with the id %q", l.Name, id), Hint: l.headingsHint()}
}

// headingsHint lists the sections of a lesson.
func (l *Lesson) headingsHint() string {
	ids := make([]string, len(l.TOC))
	for i, h := range l.TOC {
		ids[i] = h.ID
	}
	return "it has " + strings.Join(ids, ", ")
}

// only gives the one lesson whose name begins with prefix; nil when there is none or more than one.
func (c *Course) only(prefix string) *Lesson {
	var found *Lesson
	for _, l := range c.lessons {
		if prefix != "" && strings.HasPrefix(l.Name, prefix) {
			if found != nil {
				return nil
			}
			found = l
		}
	}
	return found
}

func (c *Course) nearHint(want string) string {
	var names []string
	for _, l := range c.Near(want) {
		names = append(names, l.Name)
	}
	if len(names) == 0 {
		return `"netsplit read" lists the lessons`
	}
	return "did you mean " + strings.Join(names, " or ") + `? "netsplit read" lists the lessons`
}

// Near gives the lessons that a mistyped name may mean, and those that lead to a lab of that name.
func (c *Course) Near(want string) []*Lesson {
	var names []string
	var out []*Lesson
	for _, l := range c.lessons {
		names = append(names, l.Name)
		if l.Lab == want && want != "" {
			out = append(out, l)
		}
	}
	for _, n := range kit.Near(want, names) {
		i := slices.Index(names, n)
		if !slices.Contains(out, c.lessons[i]) {
			out = append(out, c.lessons[i])
		}
	}
	return out
}

// Brief gives a lab's brief as a page; nil when the lab has none.
func (c *Course) Brief(slug string) *Page { return c.briefs[slug] }

// LabOf finds a lab by its slug.
func (c *Course) LabOf(slug string) (Lab, bool) {
	i := slices.IndexFunc(c.Labs, func(l Lab) bool { return l.Slug == slug })
	if i < 0 {
		return Lab{}, false
	}
	return c.Labs[i], true
}

// LessonsOf gives the lessons that lead to a lab.
func (c *Course) LessonsOf(slug string) []*Lesson {
	var out []*Lesson
	for _, l := range c.lessons {
		if l.Lab == slug {
			out = append(out, l)
		}
	}
	return out
}

// Step is a command that a lab's reader types, with what it is for.
type Step struct {
	Command string
	Does    string
}

// Steps gives the way through a lab, for the foot of its lesson.
func (l Lab) Steps() []Step {
	start := Step{"netsplit lab start " + l.Slug, "makes the folder " + l.Slug + " with the brief and the starter"}
	if l.Kind == "code" || l.Kind == "tests" {
		return []Step{start, {"cd " + l.Slug, "edit the starter there"}, {"netsplit grade", "builds your program, runs it in the simulator and grades it"}}
	}
	if l.Kind == "answer" {
		return []Step{
			start,
			{"cd " + l.Slug, "the commands below work on the lab of this folder"},
			{"netsplit lab up .", "starts its cluster: yours is like nobody else's"},
			{"netsplit sh", "opens the shell on it: look around"},
			{"netsplit grade", "compares answers.yaml, which you fill in, with a fresh cluster that was set up like yours"},
			{"netsplit lab down", "ends the cluster"},
		}
	}
	return []Step{
		start,
		{"cd " + l.Slug, "the commands below work on the lab of this folder"},
		{"netsplit lab up .", "starts its cluster"},
		{"netsplit sh", "opens the shell on it"},
		{"netsplit lab export", "writes what you typed to run.star"},
		{"netsplit grade", "replays run.star on a fresh cluster and grades it"},
		{"netsplit lab down", "ends the cluster"},
	}
}
