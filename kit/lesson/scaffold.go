package lesson

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"text/template"

	"netsplit/kit"
)

// newLesson is a small lesson that is sound as it stands; [[ and ]] stand around what is filled in.
//
//go:embed scaffold/lesson.md.tmpl
var newLesson string

// maxNumber is the highest number that a lesson can have in its part.
const maxNumber = 99

// Scaffold gives a new lesson for its author to change, and where it belongs below the lessons folder: the next number in
// a part that course.yaml lists. A part may be named with or without its number (3-store, store). Nothing is written.
func Scaffold(lessons fs.FS, part, name string) (file string, text []byte, err error) {
	const example = "use lower-case words joined by hyphens, at most 40 letters, as in 3-store/lock-order"
	if len(name) > 40 || !lessonName.MatchString("01-"+name+".md") {
		return "", nil, &kit.Error{Op: "name a lesson", What: fmt.Sprintf("%.80q", name), Kind: kit.Invalid,
			Err: errors.New("it is no name for a lesson"), Hint: example}
	}
	dir, dirs, err := partDir(lessons, part)
	if err != nil {
		return "", nil, err
	}
	number, err := nextNumber(lessons, dir, dirs, name)
	if err != nil {
		return "", nil, err
	}
	t, err := template.New("lesson").Delims("[[", "]]").Option("missingkey=error").Parse(newLesson)
	if err != nil {
		return "", nil, err
	}
	words := strings.ReplaceAll(name, "-", " ")
	var out bytes.Buffer
	err = t.Execute(&out, map[string]string{"Title": strings.ToUpper(words[:1]) + words[1:]})
	return fmt.Sprintf("%s/%02d-%s.md", dir, number, name), out.Bytes(), err
}

// partDir finds a part in course.yaml, and lists them all.
func partDir(lessons fs.FS, part string) (dir string, dirs []string, err error) {
	src, err := fs.ReadFile(lessons, "course.yaml")
	if err != nil {
		return "", nil, &kit.Error{Op: "read lessons", Kind: kit.NotFound, Err: err, Hint: "work in a checkout of this project"}
	}
	r := &report{}
	f := readFields(r, "course.yaml", 0, src, "title", "headline", "summary", "parts")
	if node := f.get("parts"); node != nil {
		for _, p := range node.Content {
			pf := &fields{r: r, file: "course.yaml"}
			pf.use(p, []string{"dir", "title", "summary"})
			if d := pf.text("dir", 60); partName.MatchString(d) {
				dirs = append(dirs, d)
			}
		}
	}
	if faults := r.sorted(); len(faults) > 0 {
		return "", nil, &kit.Error{Op: "read lessons", Kind: kit.Invalid, Err: faults, Hint: "mend course.yaml first"}
	}
	for _, d := range dirs {
		if _, bare, _ := strings.Cut(d, "-"); d == part || bare == part {
			return d, dirs, nil
		}
	}
	hint := "the parts are " + strings.Join(dirs, ", ")
	if partName.MatchString(part) {
		hint += fmt.Sprintf("; a new one is three lines below parts in lessons/course.yaml: \"dir: %s\", title and summary", part)
	}
	return "", nil, &kit.Error{Op: "find part", What: fmt.Sprintf("%.80q", part), Kind: kit.NotFound, Err: errors.New("course.yaml does not list it"), Hint: hint}
}

// nextNumber gives the number after the part's last lesson; no lesson of the course may have the same name.
func nextNumber(lessons fs.FS, dir string, dirs []string, name string) (int, error) {
	number := 1
	for _, d := range dirs {
		entries, err := fs.ReadDir(lessons, d)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, &kit.Error{Op: "read lessons", What: d, Kind: kit.Broken, Err: err}
		}
		for _, e := range entries { // a folder that is not there yet has none
			m := lessonName.FindStringSubmatch(e.Name())
			if m == nil {
				continue
			}
			if m[2] == name {
				return 0, &kit.Error{Op: "make a lesson", What: name, Kind: kit.Exists, Err: fmt.Errorf("%s has that name", path.Join(d, e.Name())),
					Hint: "names are unique in the course, for links and labs refer to them; nothing was changed"}
			}
			if n, _ := strconv.Atoi(m[1]); d == dir { // two digits
				number = max(number, n+1)
			}
		}
	}
	if number > maxNumber {
		return 0, &kit.Error{Op: "make a lesson", What: name, Kind: kit.Invalid, Err: fmt.Errorf("the part %s has a lesson %d, the last number there is", dir, maxNumber),
			Hint: "give its lessons lower numbers"}
	}
	return number, nil
}
