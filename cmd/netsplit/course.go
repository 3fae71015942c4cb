package main

import (
	"fmt"
	"io/fs"
	"strings"

	"netsplit/kit/lab"
	"netsplit/kit/lesson"
	"netsplit/labs"
	"netsplit/lessons"
	"netsplit/solutions"
)

// loadCourse reads the lessons that this binary carries, and checks them against its labs.
func loadCourse() (*lesson.Course, error) {
	src, err := courseSources()
	if err != nil {
		return nil, err
	}
	return lesson.Load(src)
}

// courseSources is what the course is read from: lessons, what they quote, and the labs.
func courseSources() (lesson.Sources, error) {
	c, err := catalog()
	if err != nil {
		return lesson.Sources{}, err
	}
	src := lesson.Sources{Lessons: lessons.FS, Quotes: quotes{"lessons": lessons.FS, "labs": labs.FS, "solutions": solutions.FS}}
	for _, l := range c.All() {
		ref, err := lessonLab(l)
		if err != nil {
			return lesson.Sources{}, err
		}
		src.Labs = append(src.Labs, ref)
	}
	return src, nil
}

// lessonLab gives what lessons and pages show of a lab.
func lessonLab(l *lab.Lab) (lesson.Lab, error) {
	file := l.Slug + "/README.md"
	brief, err := fs.ReadFile(labs.FS, file)
	if err != nil {
		return lesson.Lab{}, err
	}
	m := l.Manifest
	out := lesson.Lab{Slug: l.Slug, Title: m.Title, About: m.About, Lesson: m.Lesson, Kind: string(m.Kind), Nodes: m.Nodes,
		Minutes: m.Minutes, Points: m.Points(), File: "labs/" + file, Brief: brief}
	for _, t := range m.Tasks {
		out.Tasks = append(out.Tasks, lesson.Task{Name: t.Name, Title: t.Title, Points: t.Points, Lesson: t.Lesson})
	}
	return out, nil
}

// quotes joins the folders that are carried apart into one tree, named as in the repository.
type quotes map[string]fs.FS

// Open finds the file in the folder that its path begins with.
func (q quotes) Open(name string) (fs.File, error) {
	top, rest, _ := strings.Cut(name, "/")
	folder, ok := q[top]
	if !ok || rest == "" {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return folder.Open(rest)
}

// labProgress says how far the student is with each lab. Progress that cannot be read is not shown: the pages are
// of use without it, and "netsplit lab list" tells what is wrong with the file.
func labProgress() map[string]string {
	b, err := book()
	if err != nil {
		return nil
	}
	p, err := b.Read()
	if err != nil {
		return nil
	}
	out := map[string]string{}
	for slug, l := range p.Labs {
		switch {
		case l.Passed:
			out[slug] = "passed"
		case l.Grades > 0:
			out[slug] = fmt.Sprintf("%d of %d", l.Best, l.Max)
		}
	}
	return out
}
