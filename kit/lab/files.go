package lab

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

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
	files, total := map[string][]byte{}, 0
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
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
		if info, err := d.Info(); err != nil {
			return err
		} else if info.Size() > maxFileBytes {
			return refuse(name, fmt.Sprintf("it has %d bytes, at most %d are read", info.Size(), maxFileBytes))
		}
		src, err := fs.ReadFile(fsys, name)
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
