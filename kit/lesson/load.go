package lesson

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"netsplit/kit"
)

var (
	partName   = regexp.MustCompile(`^([0-9]{1,2})-[a-z0-9]+(-[a-z0-9]+)*$`)
	lessonName = regexp.MustCompile(`^([0-9]{2})-([a-z0-9]+(-[a-z0-9]+)*)\.md$`)
)

// Load reads and checks a whole course. When anything is wrong the error is a *kit.Error that wraps Faults,
// which lists every fault with file and line; the course is then nil.
func Load(src Sources) (*Course, error) {
	ld := &loader{src: src, r: &report{}, course: &Course{Labs: slices.Clone(src.Labs), briefs: map[string]*Page{}}}
	ld.readCourse()
	ld.readBriefs()
	ld.order()
	ld.checkLinks()
	ld.checkLabs()
	if faults := ld.r.sorted(); len(faults) > 0 {
		return nil, &kit.Error{Op: "read lessons", Kind: kit.Invalid, Err: faults,
			Hint: "mend the lines named above; kit/lesson's package comment lists what a lesson may hold"}
	}
	return ld.course, nil
}

type loader struct {
	src    Sources
	r      *report
	course *Course
}

// readCourse reads course.yaml and every part it lists.
func (ld *loader) readCourse() {
	const file = "course.yaml"
	src, err := fs.ReadFile(ld.src.Lessons, file)
	if err != nil {
		ld.r.add(file, 0, "cannot be read: %v", err)
		return
	}
	f := readFields(ld.r, file, 0, src, "title", "headline", "summary", "parts")
	ld.course.Title = f.text("title", 100)
	ld.course.Headline = f.text("headline", 100)
	ld.course.Summary = f.text("summary", 400)
	parts := f.get("parts")
	if parts == nil || len(parts.Content) == 0 {
		f.fault(parts, "parts must list the folders of the course: dir, title, summary")
		return
	}
	for _, node := range parts.Content {
		pf := &fields{r: ld.r, file: file}
		pf.use(node, []string{"dir", "title", "summary"})
		p := &Part{Dir: pf.text("dir", 60), Title: pf.text("title", 60), Summary: pf.text("summary", 300)}
		m := partName.FindStringSubmatch(p.Dir)
		if m == nil {
			pf.fault(node, "dir must look like 3-store")
			continue
		}
		p.Number, _ = strconv.Atoi(m[1]) // at most two digits
		ld.course.Parts = append(ld.course.Parts, p)
		ld.readPart(p, pf.line("dir"))
	}
	ld.checkFolders()
}

// checkFolders finds folders and Markdown files that no part lists.
func (ld *loader) checkFolders() {
	entries, err := fs.ReadDir(ld.src.Lessons, ".")
	if err != nil {
		ld.r.add(".", 0, "cannot be read: %v", err)
		return
	}
	for _, e := range entries {
		listed := slices.ContainsFunc(ld.course.Parts, func(p *Part) bool { return p.Dir == e.Name() })
		switch {
		case e.IsDir() && partName.MatchString(e.Name()) && !listed:
			ld.r.add(e.Name(), 0, "no part in course.yaml lists this folder")
		case strings.HasSuffix(e.Name(), ".md"):
			ld.r.add(e.Name(), 0, "a lesson stands in the folder of its part")
		}
	}
}

func (ld *loader) readPart(p *Part, line int) {
	entries, err := fs.ReadDir(ld.src.Lessons, p.Dir)
	if err != nil {
		ld.r.add("course.yaml", line, "there is no folder %s", p.Dir)
		return
	}
	for _, e := range entries {
		if e.IsDir() || !strings.HasSuffix(e.Name(), ".md") {
			continue
		}
		file := path.Join(p.Dir, e.Name())
		m := lessonName.FindStringSubmatch(e.Name())
		switch {
		case m == nil:
			ld.r.add(file, 0, "a lesson's file must look like 02-its-name.md")
		case len(ld.course.lessons) >= MaxLessons:
			ld.r.add(file, 0, "more than %d lessons", MaxLessons)
			return
		default:
			if l := ld.readLesson(p, file, m[1], m[2]); l != nil {
				p.Lessons = append(p.Lessons, l)
			}
		}
	}
	if len(p.Lessons) == 0 {
		ld.r.add("course.yaml", line, "the folder %s holds no lesson", p.Dir)
	}
}

func (ld *loader) readLesson(p *Part, file, number, name string) *Lesson {
	src, ok := readMarkdown(ld.r, ld.src.Lessons, file, file)
	if !ok {
		return nil
	}
	front, body, first, err := splitFront(src)
	if err != nil {
		ld.r.add(file, 1, "%v", err)
		return nil
	}
	f := readFields(ld.r, file, 1, front, "title", "summary", "minutes", "lab")
	l := &Lesson{Name: name, File: file, Part: p,
		Title: f.text("title", 80), Summary: f.text("summary", 240), Minutes: f.number("minutes", 1, 240), Lab: f.optional("lab", 60)}
	l.order, _ = strconv.Atoi(number) // two digits
	if _, known := ld.course.LabOf(l.Lab); l.Lab != "" && !known {
		ld.r.add(file, f.line("lab"), "there is no lab %q; %s", l.Lab, ld.labHint(l.Lab))
	}
	for _, other := range ld.course.lessons {
		switch {
		case other.Name == l.Name:
			ld.r.add(file, 0, "%s has the same name; names are unique in the course", other.File)
		case other.Part == p && other.order == l.order:
			ld.r.add(file, 0, "%s has the same number", other.File)
		}
	}
	l.Page = ld.parse(file, first, body)
	ld.course.lessons = append(ld.course.lessons, l)
	return l
}

func (ld *loader) labHint(slug string) string {
	var slugs []string
	for _, lab := range ld.src.Labs {
		slugs = append(slugs, lab.Slug)
	}
	if n := kit.Near(slug, slugs); len(n) > 0 {
		return "did you mean " + n[0] + "?"
	}
	if len(slugs) == 0 {
		return "there are no labs"
	}
	return "known are " + strings.Join(slugs, ", ")
}

// readMarkdown reads a text file within limits; name is what faults call it.
func readMarkdown(r *report, fsys fs.FS, file, name string) ([]byte, bool) {
	src, err := fs.ReadFile(fsys, file)
	if err != nil {
		r.add(name, 0, "cannot be read: %v", err)
		return nil, false
	}
	return checkText(r, name, src)
}

func checkText(r *report, name string, src []byte) ([]byte, bool) {
	switch {
	case len(src) > MaxFile:
		r.add(name, 0, "is larger than %d KiB", MaxFile>>10)
		return nil, false
	case !utf8.Valid(src):
		r.add(name, 0, "is not UTF-8 text")
		return nil, false
	}
	return bytes.ReplaceAll(src, []byte("\r\n"), []byte("\n")), true
}

func (ld *loader) readBriefs() {
	for _, lab := range ld.src.Labs {
		if lab.Brief == nil {
			continue
		}
		name := lab.File
		if name == "" {
			name = fmt.Sprintf("labs/%s/README.md", lab.Slug)
		}
		src, ok := checkText(ld.r, name, lab.Brief)
		if !ok {
			continue
		}
		_, body, first, err := splitFront(src)
		if err != nil {
			ld.r.add(name, 1, "%v", err)
			continue
		}
		ld.course.briefs[lab.Slug] = ld.parse(name, first, body)
	}
}

// order links the lessons to their neighbours.
func (ld *loader) order() {
	all := ld.course.lessons
	for i, l := range all {
		if i > 0 {
			l.Prev = all[i-1]
		}
		if i+1 < len(all) {
			l.Next = all[i+1]
		}
	}
}

// checkLabs finds labs that send their reader to a lesson that is not there.
func (ld *loader) checkLabs() {
	for _, lab := range ld.src.Labs {
		refs := []string{lab.Lesson}
		for _, t := range lab.Tasks {
			refs = append(refs, t.Lesson)
		}
		slices.Sort(refs)
		for _, ref := range slices.Compact(refs) {
			if ref == "" {
				continue
			}
			if _, _, err := ld.course.Ref(ref); err != nil {
				ld.r.add(fmt.Sprintf("labs/%s/README.md", lab.Slug), 1, "the lesson %q is not there: %v", ref, errors.Unwrap(err))
			}
		}
	}
}
