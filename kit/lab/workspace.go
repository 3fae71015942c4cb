package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"netsplit/kit"
	"netsplit/kit/source"
)

// Names inside a workspace.
const (
	metaDir    = ".netsplit"
	markerFile = metaDir + "/lab.json"
	kitDir     = metaDir + "/kit"
)

// Marker says which lab a workspace is for; it lies in .netsplit/lab.json.
type Marker struct {
	Lab     string `json:"lab"`
	Version string `json:"version"` // of the netsplit that made it
	Kit     string `json:"kit,omitempty"`
	// Seed of an answer lab: what "lab up" plants in this student's cluster and "grade" asks about follows from it.
	// Whoever has the workspace can edit it. A grader that must not rely on that passes the seed it gave out.
	Seed uint64 `json:"seed,omitempty"`
}

// maxMarker bounds the marker, in bytes: it comes with the work of others.
const maxMarker = 64 << 10

// Start makes a workspace in dir: the brief, the starter's files and, for a code lab, a Go module that builds
// against the kit unpacked beside it, without a network once the module cache is warm. Nothing that exists is
// overwritten: if anything is in the way, nothing is written at all. The seed is kept in an answer lab's workspace
// (0 is none, an error of kind Invalid); other labs do not use it.
func (l *Lab) Start(dir string, seed uint64) error {
	if l.Manifest.Kind == Answer && seed == 0 {
		return &kit.Error{Op: "make workspace", What: dir, Kind: kit.Invalid, Err: errors.New("a lab of kind answer needs a seed, and 0 is none")}
	}
	files, err := l.Workspace(seed)
	if err != nil {
		return err
	}
	if err := vacant(dir, files); err != nil {
		return err
	}
	for name, src := range files {
		if err := writeNew(dir, name, src); err != nil {
			return err
		}
	}
	return nil
}

// Workspace gives all files of a new workspace by name, as Start makes it.
func (l *Lab) Workspace(seed uint64) (map[string][]byte, error) {
	files, err := readTree(l.Starter(), anyFile)
	if err != nil {
		return nil, err
	}
	rewriteImports(files, "netsplit/labs/"+l.Slug+"/starter", l.Slug)
	marker := Marker{Lab: l.Slug, Version: Version()}
	if l.Manifest.Kind == Answer {
		marker.Seed = seed
	}
	files["README.md"] = []byte(l.Brief())
	if l.Manifest.Kind == Code {
		tree, err := source.Kit()
		if err != nil {
			return nil, err
		}
		marker.Kit = tree.Hash()
		for name, src := range tree {
			files[kitDir+"/"+name] = src
		}
		files["go.mod"], files["go.sum"] = source.Module(l.Slug, kitDir)
	}
	files[markerFile], err = json.MarshalIndent(marker, "", "  ")
	return files, err
}

// vacant makes sure that no file of the workspace exists and that dir is no workspace of another lab.
func vacant(dir string, files map[string][]byte) error {
	exists := func(what string, err error) error {
		return &kit.Error{Op: "make workspace", What: what, Kind: kit.Exists, Err: err,
			Hint: "nothing was changed; name another folder, or move yours away first"}
	}
	if m, err := ReadMarker(dir); err == nil {
		return exists(dir, fmt.Errorf("it is a workspace of lab %s already", m.Lab))
	}
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return exists(dir, errors.New("there is a file of that name"))
	}
	for _, name := range names(files) {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if _, err := os.Lstat(path); err == nil {
			return exists(path, errors.New("it is there already"))
		} else if !errors.Is(err, fs.ErrNotExist) {
			return &kit.Error{Op: "make workspace", What: path, Kind: kit.Refused, Err: err}
		}
	}
	return nil
}

// writeNew makes one file and its folders, and never replaces one.
func writeNew(dir, name string, src []byte) error {
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return &kit.Error{Op: "make folder", What: filepath.Dir(path), Kind: kit.Refused, Err: err}
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err == nil {
		_, err = f.Write(src)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return &kit.Error{Op: "write", What: path, Kind: kit.Refused, Err: err}
	}
	return nil
}

// ReadMarker reads which lab a folder is a workspace of. An error of kind NotFound means that it is none.
func ReadMarker(dir string) (Marker, error) {
	none := &kit.Error{Op: "find workspace", What: dir, Kind: kit.NotFound, Err: errors.New("it is no workspace"),
		Hint: "\"netsplit lab start LAB DIR\" makes one"}
	root, err := openFolder(dir)
	if err != nil {
		return Marker{}, none
	}
	defer root.Close()
	path := filepath.Join(dir, filepath.FromSlash(markerFile))
	if _, err := root.root.Lstat(filepath.FromSlash(markerFile)); errors.Is(err, fs.ErrNotExist) {
		return Marker{}, none
	}
	src, err := readBounded(root, markerFile, maxMarker)
	if err != nil {
		return Marker{}, &kit.Error{Op: "read", What: path, Kind: kit.Refused, Err: err}
	}
	var m Marker
	err = json.Unmarshal(src, &m)
	if err == nil && !validSlug(m.Lab) {
		err = errors.New("it names no lab")
	}
	if err != nil {
		return Marker{}, &kit.Error{Op: "read", What: path, Kind: kit.Corrupt, Err: err, Hint: `it should hold {"lab": "the-lab's-name"}`}
	}
	return m, nil
}

// FindWorkspace looks for a workspace in dir and the folders above it.
func FindWorkspace(dir string) (root string, m Marker, err error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", m, err
	}
	for at := abs; ; at = filepath.Dir(at) {
		m, err := ReadMarker(at)
		if err == nil || kit.KindOf(err) != kit.NotFound {
			return at, m, err
		}
		if filepath.Dir(at) == at {
			return "", m, &kit.Error{Op: "find workspace", What: dir, Kind: kit.NotFound,
				Err:  errors.New("neither it nor a folder above it is a workspace"),
				Hint: "go to the folder that \"netsplit lab start\" made, or name it"}
		}
	}
}

// Version names this build: the module's version, or the commit it was built from.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	rev, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12:
			rev = s.Value[:12]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+"
		}
	}
	if rev != "" {
		return rev + dirty
	}
	return strings.Trim(info.Main.Version, "()")
}
