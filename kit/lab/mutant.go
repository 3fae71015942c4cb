package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"netsplit/kit/grade"
)

// Mutant is a wrong answer made from a real misconception: the lab's solution with a few edits. It stands in
// labs/<slug>/mutants/<name>/verdict.yaml.
type Mutant struct {
	Name string `yaml:"-"`
	// About says the mistake in one line.
	About string `yaml:"about"`
	// Tasks pins the verdict of the tasks that do not pass. A task that builds on a failed one is skipped and need
	// not be named; all others must pass.
	Tasks map[string]grade.Verdict `yaml:"tasks"`
	// Edits turn the solution into the mutant; each Old must occur exactly once.
	Edits []Edit `yaml:"edits"`
	// Files replace whole files of the solution, or add some.
	Files map[string]string `yaml:"files"`
	// Tests says that this mutant is one of the wrong programs that a student's tests are tried on, instead of a
	// submission that is graded. Tasks must then be empty.
	Tests bool `yaml:"tests"`
	// Clue says to whose tests do not catch it where such a mutant goes wrong, and not how: "what a refused withdrawal
	// leaves behind".
	Clue string `yaml:"clue"`
}

// Edit replaces one piece of one file.
type Edit struct {
	File string `yaml:"file"`
	Old  string `yaml:"old"`
	New  string `yaml:"new"`
}

const (
	verdictFile = "verdict.yaml"
	maxMutants  = 40
	// mutantPrefix stands before a mutant's name in that of its submission.
	mutantPrefix = "mutant "
)

func loadMutants(l *Lab) ([]Mutant, error) {
	dirs, err := fs.ReadDir(l.files, "mutants")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if len(dirs) > maxMutants {
		return nil, fmt.Errorf("it has %d mutants, at most %d", len(dirs), maxMutants)
	}
	var all []Mutant
	for _, d := range dirs {
		if !d.IsDir() {
			continue
		}
		m, err := loadMutant(l, d.Name())
		if err != nil {
			return nil, fmt.Errorf("mutant %s: %w", d.Name(), err)
		}
		all = append(all, m)
	}
	return all, nil
}

func loadMutant(l *Lab, name string) (Mutant, error) {
	var m Mutant
	src, err := fs.ReadFile(l.files, path.Join("mutants", name, verdictFile))
	if err != nil {
		return m, err
	}
	if err := strictYAML(src, &m); err != nil {
		return m, err
	}
	m.Name = name
	if !validSlug(name) {
		return m, fmt.Errorf("the name must be lower-case words joined by hyphens")
	}
	if strings.TrimSpace(m.About) == "" {
		return m, fmt.Errorf("about is missing: say the mistake in one line")
	}
	if m.Tests != (len(m.Tasks) == 0) {
		return m, fmt.Errorf("pin the verdict of a task, or say tests: true")
	}
	if m.Tests != (strings.TrimSpace(m.Clue) != "") {
		return m, fmt.Errorf("a mutant with tests: true has a clue, and no other has: where it goes wrong, not how")
	}
	for task, v := range m.Tasks {
		if _, ok := l.Manifest.Task(task); !ok {
			return m, fmt.Errorf("there is no task %q", task)
		}
		if !v.Valid() || v == grade.Pass {
			return m, fmt.Errorf("task %s: %q is no verdict to pin", task, v)
		}
	}
	_, err = m.apply(l.solution)
	return m, err
}

// Want gives the verdict that m must get for every task of the lab.
func (m Mutant) Want(l *Lab) map[string]grade.Verdict {
	want := map[string]grade.Verdict{}
	for _, t := range l.Manifest.Tasks {
		want[t.Name] = grade.Pass
		for _, a := range t.After {
			if want[a] != grade.Pass {
				want[t.Name] = grade.Skipped
			}
		}
		if v, ok := m.Tasks[t.Name]; ok {
			want[t.Name] = v
		}
	}
	return want
}

// apply gives the mutant's files, all of them.
func (m Mutant) apply(solution fs.FS) (map[string][]byte, error) {
	files, err := readTree(solution, anyFile)
	if err != nil {
		return nil, err
	}
	for name, text := range m.Files {
		if !fs.ValidPath(name) {
			return nil, fmt.Errorf("%q is no file name", name)
		}
		files[name] = []byte(text)
	}
	for i, e := range m.Edits {
		src, ok := files[e.File]
		if !ok {
			return nil, fmt.Errorf("edit %d: the solution has no file %q", i+1, e.File)
		}
		if n := strings.Count(string(src), e.Old); n != 1 || e.Old == "" {
			return nil, fmt.Errorf("edit %d: the old text occurs %d times in %s, not once", i+1, n, e.File)
		}
		files[e.File] = []byte(strings.Replace(string(src), e.Old, e.New, 1))
	}
	return files, nil
}
