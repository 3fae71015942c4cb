package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"netsplit/kit"
	"netsplit/kit/grade"
)

// Progress is what the state folder remembers of a student's work on the labs.
type Progress struct {
	Labs map[string]*LabProgress `json:"labs"`
}

// LabProgress is the best grade of one lab and the hints that were looked at.
type LabProgress struct {
	Best    int            `json:"best"`
	Max     int            `json:"max"`
	Passed  bool           `json:"passed"`
	Grades  int            `json:"grades"` // how often it was graded
	LastAt  time.Time      `json:"last_at,omitzero"`
	LastDir string         `json:"last_dir,omitempty"`
	Hints   map[string]int `json:"hints,omitempty"` // by task: how many were shown
}

// Book keeps a student's progress in a file of the state folder.
type Book struct{ path string }

// OpenBook gives the book in a state folder; nothing is read or written yet.
func OpenBook(home string) Book { return Book{path: filepath.Join(home, "progress.json")} }

// maxProgress bounds the file, which anyone may have edited.
const maxProgress = 1 << 20

// Read gives what is remembered. A damaged file is an error of kind Corrupt that says where it lies.
func (b Book) Read() (Progress, error) {
	p := Progress{Labs: map[string]*LabProgress{}}
	f, err := os.Open(b.path)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return p, &kit.Error{Op: "read progress", Kind: kit.Refused, Err: err}
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Size() > maxProgress {
		return p, b.corrupt(fmt.Errorf("it has more than %d bytes", maxProgress))
	}
	if err := json.NewDecoder(f).Decode(&p); err != nil {
		return p, b.corrupt(err)
	}
	if p.Labs == nil {
		p.Labs = map[string]*LabProgress{}
	}
	for slug, l := range p.Labs {
		if l == nil {
			p.Labs[slug] = &LabProgress{}
		}
	}
	return p, nil
}

func (b Book) corrupt(err error) error {
	return &kit.Error{Op: "read progress", What: b.path, Kind: kit.Corrupt, Err: err, Hint: "move the file away to begin anew"}
}

// change reads, lets f edit, and writes back in one step that other processes see whole or not at all.
func (b Book) change(slug string, f func(*LabProgress)) error {
	p, err := b.Read()
	if err != nil {
		return err
	}
	l := p.Labs[slug]
	if l == nil {
		l = &LabProgress{}
		p.Labs[slug] = l
	}
	f(l)
	src, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(b.path), 0o700); err != nil {
		return &kit.Error{Op: "write progress", Kind: kit.Refused, Err: err}
	}
	tmp := fmt.Sprintf("%s.%d", b.path, os.Getpid())
	if err := os.WriteFile(tmp, src, 0o600); err != nil {
		return &kit.Error{Op: "write progress", Kind: kit.Refused, Err: err}
	}
	if err := os.Rename(tmp, b.path); err != nil {
		return &kit.Error{Op: "write progress", Kind: kit.Refused, Err: errors.Join(err, os.Remove(tmp))}
	}
	return nil
}

// Graded remembers a grade of the student's own work; solutions and mutants do not count.
func (b Book) Graded(r *grade.Result, at time.Time) error {
	if r.Submission.Dir == "" {
		return nil
	}
	return b.change(r.Lab, func(l *LabProgress) {
		l.Grades++
		l.Best, l.Max = max(l.Best, r.Score), r.Max
		l.Passed = l.Passed || r.Verdict == grade.Pass
		l.LastAt, l.LastDir = at, r.Submission.Dir
	})
}

// Hint gives the hints of a task from the first to the next one not yet seen, and remembers it. With reset it
// begins again at the first.
func (b Book) Hint(l *Lab, task Task, reset bool) (shown []string, more int, err error) {
	if len(task.Hints) == 0 {
		return nil, 0, nil
	}
	level := 0
	err = b.change(l.Slug, func(p *LabProgress) {
		if p.Hints == nil {
			p.Hints = map[string]int{}
		}
		level = min(p.Hints[task.Name]+1, len(task.Hints))
		if reset {
			level = 1
		}
		p.Hints[task.Name] = level
	})
	if err != nil {
		return nil, 0, err
	}
	level = max(level, 1)
	return task.Hints[:level], len(task.Hints) - level, nil
}
