// Package bundle makes what a course needs to have a lab graded by another system: Gradescope, Classroom 50 or GitHub
// Actions. A bundle is a set of files that carries the grader itself, scripts that run it there, the starter for
// students, and a page for the instructor.
package bundle

import (
	"bytes"
	"compress/gzip"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"text/template"

	"netsplit/kit"
	"netsplit/kit/lab"
)

// The Go toolchain that the scripts install where a code lab is compiled and there is none, and its checksum as
// go.dev/dl lists it. MinGo is the oldest minor version of Go 1 that will do: that of go.mod.
const (
	GoVersion = "1.26.8"
	GoSHA256  = "d0f743b33e8d8945e6b1f432edd15785c70507121d6e2a723b21285eddf8b57b"
	MinGo     = 26
)

// Spec says what a bundle is for.
type Spec struct {
	Lab  *lab.Lab
	Seed uint64 // to grade everybody with; 0 draws one for each submission
	// NoShrink explains failures with the run that failed: graders that have little time need not look for a shorter one.
	NoShrink bool
	Program  []byte // the netsplit that grades there
	Version  string
}

// File is one file of a bundle. Its name is relative, with slashes.
type File struct {
	Name string
	Mode fs.FileMode // 0o644 or 0o755
	Data []byte
}

// System is one that bundles are made for.
type System struct {
	Name    string
	About   string
	Zip     bool // it takes a zip, so that is the default form
	Drawn   bool // there students can read the seed, so none is fixed unless it is asked for
	starter string
	program string // where the grader goes; one that ends in .gz is compressed
	files   map[string]string
}

// Systems lists what can be exported for. A new one is an entry here, and its files in files/.
func Systems() []System {
	return []System{
		{Name: "gradescope", About: "a zip to upload as the autograder of a programming assignment", Zip: true, starter: "starter/", program: "netsplit",
			files: map[string]string{"setup.sh": "gradescope/setup.sh", "run_autograder": "gradescope/run_autograder", "grader.sh": "gradescope/grader.sh",
				"netsplit.conf": "common/netsplit.conf", "get-go.sh": "common/get-go.sh", "README.md": "gradescope/README.md"}},
		{Name: "classroom50", About: "an autograder for an assignment of Classroom 50, and its template", starter: "template/",
			program: "autograders/LAB/netsplit.gz",
			files: map[string]string{"autograders/LAB/autograder.py": "classroom50/autograder.py", "autograders/LAB/grade.sh": "common/grade.sh",
				"autograders/LAB/netsplit.conf": "common/netsplit.conf", "autograders/LAB/get-go.sh": "common/get-go.sh",
				"runtime.json": "classroom50/runtime.json", "README.md": "classroom50/README.md"}},
		{Name: "github", About: "a template repository whose pushes GitHub Actions grades", Drawn: true, starter: "template/",
			program: "template/.netsplit/grader/netsplit.gz",
			files: map[string]string{"template/.github/workflows/grade.yml": "github/grade.yml", "template/.netsplit/grader/grade.sh": "common/grade.sh",
				"template/.netsplit/grader/netsplit.conf": "common/netsplit.conf", "template/.netsplit/grader/get-go.sh": "common/get-go.sh",
				"README.md": "github/README.md"}},
	}
}

// Find gives the system of a name. When there is none the error names those that there are.
func Find(name string) (System, error) {
	var names []string
	for _, s := range Systems() {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return System{}, &kit.Error{Op: "find system", What: fmt.Sprintf("%q", name), Kind: kit.NotFound, Err: errors.New("nothing can be exported for it"),
		Hint: "there are " + strings.Join(names, ", ")}
}

//go:embed files
var files embed.FS

// page is what the files of a bundle are filled in with.
type page struct {
	Lab, Title, Version, GoVersion, GoSHA256, System string
	Kind                                             lab.Kind
	Code, Answer, NoShrink                           bool
	MinGo, Timeout, Points                           int
	Seed                                             uint64
	HandIn                                           string
}

// timeout is how many seconds the grader may take: within the ten minutes that Gradescope gives by default, with time left
// to say so.
const timeout = 540

// Make makes the bundle of a lab for the system.
func (s System) Make(spec Spec) ([]File, error) {
	m := spec.Lab.Manifest
	p := page{Lab: spec.Lab.Slug, Title: m.Title, Version: spec.Version, GoVersion: GoVersion, GoSHA256: GoSHA256, System: s.Name, Kind: m.Kind,
		Code: m.Kind == lab.Code, Answer: m.Kind == lab.Answer, NoShrink: spec.NoShrink, MinGo: MinGo, Timeout: timeout, Points: m.Points(), Seed: spec.Seed, HandIn: lab.ScriptFile}
	switch m.Kind {
	case lab.Code:
		p.HandIn = "the Go files"
	case lab.Answer:
		p.HandIn = lab.AnswerFile
	}
	if p.Answer && spec.Seed == 0 {
		return nil, &kit.Error{Op: "export lab", What: spec.Lab.Slug, Kind: kit.Invalid, Err: errors.New("a lab of kind answer needs a seed, and 0 is none")}
	}
	out, err := s.fill(p)
	if err != nil {
		return nil, err
	}
	starter, err := spec.Lab.Workspace(spec.Seed)
	if err != nil {
		return nil, err
	}
	for name, src := range starter {
		out = append(out, File{s.starter + name, 0o644, src})
	}
	program, err := s.pack(spec.Program)
	if err != nil {
		return nil, err
	}
	out = append(out, File{strings.ReplaceAll(s.program, "LAB", p.Lab), 0o755, program})
	slices.SortFunc(out, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// fill fills in the files of the system.
func (s System) fill(p page) ([]File, error) {
	var out []File
	for name, from := range s.files {
		if path.Base(name) == "get-go.sh" && !p.Code {
			continue
		}
		src, err := files.ReadFile("files/" + from)
		if err != nil {
			return nil, err
		}
		t, err := template.New(from).Delims("[[", "]]").Option("missingkey=error").Parse(string(src))
		if err != nil {
			return nil, err
		}
		var b bytes.Buffer
		if err := t.Execute(&b, p); err != nil {
			return nil, err
		}
		f := File{Name: strings.ReplaceAll(name, "LAB", p.Lab), Mode: 0o644, Data: b.Bytes()}
		if base := path.Base(name); strings.HasSuffix(base, ".sh") || base == "run_autograder" {
			f.Mode = 0o755
		}
		out = append(out, f)
	}
	return out, nil
}

// pack compresses the program where it is to lie in a repository.
func (s System) pack(program []byte) ([]byte, error) {
	if !strings.HasSuffix(s.program, ".gz") {
		return program, nil
	}
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	_, err = w.Write(program)
	err = errors.Join(err, w.Close())
	return b.Bytes(), err
}
