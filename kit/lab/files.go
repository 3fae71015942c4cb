package lab

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"netsplit/kit"
)

// ScriptFile is what a script lab grades: the student's work, to be replayed. In an answer lab it is a script that
// finds the answers by looking.
const ScriptFile = "run.star"

// Limits on what is read of a submission or a lab.
const (
	maxFiles     = 64
	maxFileBytes = 512 << 10
	maxTreeBytes = 4 << 20
	maxDepth     = 4
	maxEntries   = 10_000 // looked at, whether they are read or not
)

// anyFile accepts every file of a lab; labs are our own.
func anyFile(string) bool { return true }

// goFile accepts the files that a code submission may bring, its tests apart: Go sources only, so no assembly,
// no C, no embedded files, no module files. Names that the go command ignores are ignored too.
func goFile(name string) bool {
	return isGo(name) && !strings.HasSuffix(name, "_test.go")
}

func goTestFile(name string) bool { return isGo(name) && strings.HasSuffix(name, "_test.go") }

func isGo(name string) bool {
	base := path.Base(name)
	return strings.HasSuffix(base, ".go") && !strings.HasPrefix(base, ".") && !strings.HasPrefix(base, "_")
}

func scriptFile(name string) bool { return name == ScriptFile }

func answerFile(name string) bool { return name == AnswerFile || name == ScriptFile }

// readTree reads the files that accept names. Links are refused rather than followed, hidden folders, vendor and
// testdata are not entered, and every limit is an error that names the file.
func readTree(fsys fs.FS, accept func(name string) bool) (map[string][]byte, error) {
	files, total, seen := map[string][]byte{}, 0, 0
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return refuse(name, plainError(err))
		}
		if seen++; seen > maxEntries {
			return refuse(name, fmt.Sprintf("there are more than %d files and folders; hand in your work only", maxEntries))
		}
		if d.IsDir() {
			return enter(name, d.Name())
		}
		if !accept(name) {
			return nil
		}
		switch {
		case !d.Type().IsRegular():
			return refuse(name, "it is no ordinary file; links are not followed")
		case len(files) == maxFiles:
			return refuse(name, fmt.Sprintf("there are more than %d files", maxFiles))
		}
		src, err := readBounded(fsys, name, maxFileBytes)
		if err != nil {
			return err
		}
		if total += len(src); total > maxTreeBytes {
			return refuse(name, fmt.Sprintf("the files have more than %d bytes together", maxTreeBytes))
		}
		files[name] = src
		return nil
	})
	return files, err
}

// readBounded reads an ordinary file of at most so many bytes, also when it is not the one any more that it was a moment
// ago, or grows while it is read.
func readBounded(fsys fs.FS, name string, most int64) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, refuse(name, plainError(err))
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, refuse(name, plainError(err))
	case !info.Mode().IsRegular():
		return nil, refuse(name, "it is no ordinary file")
	case info.Size() > most:
		return nil, refuse(name, fmt.Sprintf("it has %d bytes, at most %d are read", info.Size(), most))
	}
	src, err := io.ReadAll(io.LimitReader(f, most+1))
	switch {
	case err != nil:
		return nil, refuse(name, plainError(err))
	case int64(len(src)) > most:
		return nil, refuse(name, fmt.Sprintf("it grows while it is read; at most %d bytes are", most))
	}
	return src, nil
}

// plainError is the cause of a file error without the path, which the error around it names.
func plainError(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// folder is a folder of the machine as a file system that stays inside it: a link that leads out is not followed, a pipe
// is opened without waiting for its other end, and of a folder no more entries are listed than will be looked at.
type folder struct{ root *os.Root }

// openFolder opens dir; Close releases it.
func openFolder(dir string) (folder, error) {
	root, err := os.OpenRoot(dir)
	return folder{root}, err
}

// Close releases the folder.
func (f folder) Close() error { return f.root.Close() }

// Open is fs.FS's.
func (f folder) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errors.New("its name is no text")}
	}
	return f.root.OpenFile(filepath.FromSlash(name), os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

// ReadDir is fs.ReadDirFS's.
func (f folder) ReadDir(name string) ([]fs.DirEntry, error) {
	file, err := f.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	dir, ok := file.(fs.ReadDirFile)
	if !ok {
		return nil, &fs.PathError{Op: "list", Path: name, Err: errors.New("it is no folder")}
	}
	list, err := dir.ReadDir(maxEntries + 1)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return list, err
}

func enter(name, base string) error {
	if name == "." {
		return nil
	}
	if strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "vendor" || base == "testdata" || base == "node_modules" {
		return fs.SkipDir
	}
	if strings.Count(name, "/") >= maxDepth {
		return refuse(name, fmt.Sprintf("it is nested more than %d folders deep", maxDepth))
	}
	return nil
}

func refuse(name, why string) error {
	return &kit.Error{Op: "read", What: name, Kind: kit.Invalid, Err: fmt.Errorf("%s", why)}
}

// digest names the content of a set of files.
func digest(files map[string][]byte) string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(h, "%d %s %d\n", len(name), name, len(files[name]))
		h.Write(files[name])
	}
	return hex.EncodeToString(h.Sum(nil))[:32]
}
