package lab

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"netsplit/kit"
)

// Submission is a student's work as read: bytes only, nothing of it was run.
type Submission struct {
	Name  string            // what to call it: a folder, "solution", "mutant lost-write"
	Dir   string            // where it was read from; empty for what the binary carries
	Files map[string][]byte // run.star, answers.yaml, or the program's Go files
	Tests map[string][]byte // the student's test files, for labs that grade them
	// Refused says what in the folder no grader reads: a link, a pipe, too much of something. It is graded as a failure.
	Refused error
	Seed    uint64 // of an answer lab's workspace: what its cluster was set up with; 0 when not known
}

// Digest names the submission's content.
func (s Submission) Digest() string {
	all := map[string][]byte{}
	for name, src := range s.Files {
		all[name] = src
	}
	for name, src := range s.Tests {
		all[name] = src
	}
	return digest(all)
}

// Open reads a submission from a folder. Only what is graded is read; the error says what is missing and what to do
// about it. What is there and cannot be graded is no error but Submission.Refused.
func (l *Lab) Open(dir string) (Submission, error) {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Submission{}, &kit.Error{Op: "open submission", What: dir, Kind: kit.NotFound, Err: errors.New("there is no such folder"),
			Hint: fmt.Sprintf("\"netsplit lab start %s\" makes a workspace", l.Slug)}
	case err != nil:
		return Submission{}, &kit.Error{Op: "open submission", What: dir, Kind: kit.NotFound, Err: err}
	case !info.IsDir():
		return Submission{}, &kit.Error{Op: "open submission", What: dir, Kind: kit.Invalid, Err: errors.New("it is no folder")}
	}
	root, err := openFolder(dir)
	if err != nil {
		return Submission{}, &kit.Error{Op: "open submission", What: dir, Kind: kit.NotFound, Err: err}
	}
	defer root.Close()
	s, err := l.submission(root, "")
	s.Name, s.Dir = dir, dir
	if abs, err := filepath.Abs(dir); err == nil {
		s.Dir = abs
	}
	switch {
	case err != nil && kit.KindOf(err) == kit.Invalid:
		s.Files, s.Tests, s.Refused, err = nil, nil, err, nil
	case err == nil && len(s.Files) == 0:
		err = l.nothingThere(dir)
	}
	if m, merr := ReadMarker(dir); merr == nil && m.Lab == l.Slug {
		s.Seed = m.Seed
	}
	return s, err
}

// Grades reports whether a file of this name, relative to the folder of a submission, is part of what is graded.
func (l *Lab) Grades(name string) bool {
	switch l.Manifest.Kind {
	case Script:
		return scriptFile(name)
	case Answer:
		return answerFile(name)
	}
	return goFile(name)
}

func (l *Lab) nothingThere(dir string) error {
	e := &kit.Error{Op: "open submission", What: dir, Kind: kit.NotFound, Err: errors.New("it has no Go file"),
		Hint: fmt.Sprintf("name the folder of your workspace, or make one with \"netsplit lab start %s\"", l.Slug)}
	switch l.Manifest.Kind {
	case Answer:
		e.Err = fmt.Errorf("it has neither %s nor %s", AnswerFile, ScriptFile)
	case Script:
		e.Err = fmt.Errorf("it has no %s", ScriptFile)
		e.Hint = fmt.Sprintf("\"netsplit lab export\" writes what you did in the shell to %s; or write it by hand", ScriptFile)
	}
	return e
}

// submission reads what is graded; ours is the import path that the files have inside this module, to be
// rewritten to the workspace's.
func (l *Lab) submission(fsys fs.FS, ours string) (Submission, error) {
	switch l.Manifest.Kind {
	case Script:
		files, err := readTree(fsys, scriptFile)
		return Submission{Files: files}, err
	case Answer:
		files, err := readTree(fsys, answerFile)
		return Submission{Files: files}, err
	}
	files, err := readTree(fsys, goFile)
	if err != nil {
		return Submission{}, err
	}
	tests, err := readTree(fsys, goTestFile)
	if err != nil {
		return Submission{}, err
	}
	rewriteImports(files, ours, l.Slug)
	rewriteImports(tests, ours, l.Slug)
	return Submission{Files: files, Tests: tests}, nil
}

// rewriteImports moves imports of a lab's own subpackages from their place in this module to a workspace.
func rewriteImports(files map[string][]byte, ours, slug string) {
	if ours == "" {
		return
	}
	for name, src := range files {
		files[name] = bytes.ReplaceAll(src, []byte(`"`+ours+`/`), []byte(`"`+slug+`/`))
	}
}

// Reference is the solution as a submission.
func (l *Lab) Reference() (Submission, error) {
	s, err := l.submission(l.solution, "netsplit/solutions/"+l.Slug)
	s.Name = "solution"
	return s, err
}

// Unsolved is the starter as a submission.
func (l *Lab) Unsolved() (Submission, error) {
	s, err := l.submission(l.Starter(), "netsplit/labs/"+l.Slug+"/starter")
	s.Name = "starter"
	return s, err
}

// Mutated is a mutant as a submission. It keeps the solution's tests.
func (l *Lab) Mutated(m Mutant) (Submission, error) {
	ref, err := l.Reference()
	if err != nil {
		return ref, err
	}
	all, err := m.apply(l.solution)
	if err != nil {
		return ref, err
	}
	s := Submission{Name: mutantPrefix + m.Name, Files: map[string][]byte{}, Tests: map[string][]byte{}}
	for name, src := range all {
		switch {
		case l.Manifest.Kind.live() && scriptFile(name), l.Manifest.Kind == Code && goFile(name):
			s.Files[name] = src
		case l.Manifest.Kind == Code && goTestFile(name):
			s.Tests[name] = src
		}
	}
	rewriteImports(s.Files, "netsplit/solutions/"+l.Slug, l.Slug)
	rewriteImports(s.Tests, "netsplit/solutions/"+l.Slug, l.Slug)
	return s, nil
}

// forbidden finds what no submission may contain, although the sandbox would hold it: embedded files could tell
// a test which program it is compiled with.
func (s Submission) forbidden() error {
	for _, files := range []map[string][]byte{s.Files, s.Tests} {
		for name, src := range files {
			for i, line := range strings.Split(string(src), "\n") {
				text := strings.TrimSpace(line)
				for _, mark := range []string{"//go:embed", "//go:linkname", "//go:wasmimport", "//go:wasmexport", "//line ", `import "C"`} {
					if strings.HasPrefix(text, mark) {
						return refuse(fmt.Sprintf("%s:%d", name, i+1), fmt.Sprintf("%s has no place in a submission", strings.TrimSpace(mark)))
					}
				}
			}
		}
	}
	return nil
}

// names lists the files, sorted.
func names(files map[string][]byte) []string {
	var all []string
	for name := range files {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}
