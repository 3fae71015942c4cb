package class

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"netsplit/kit"
	"netsplit/kit/lab"
)

// Limits of what is looked at.
const (
	MaxMembers = 5000 // submissions of one call
	maxEntries = 2000 // entries of a folder of a submission
	maxLevels  = 3    // how deep in a submission its work may lie
	maxFolders = 200  // folders of a submission that are looked into
)

// Found is a folder that counts as a submission.
type Found struct {
	Name   string
	Folder string
}

// Find lists the submissions below folders. A folder that is a workspace, or holds at its top what the lab grades, is one; of
// any other every sub-folder is one, hidden ones and skip (where grades are written) apart. Links to folders are not
// followed. slug may be empty: then only workspaces are told. The names are unique, and in the order of the alphabet
// within each folder.
func Find(dirs []string, l *lab.Lab, skip string) ([]Found, error) {
	var all []Found
	for _, dir := range dirs {
		some, err := below(dir, l, skip)
		if err != nil {
			return nil, err
		}
		if all = append(all, some...); len(all) > MaxMembers {
			return nil, &kit.Error{Op: "find submissions", Kind: kit.Overloaded, Err: fmt.Errorf("there are more than %d", MaxMembers)}
		}
	}
	return unique(all), nil
}

func below(dir string, l *lab.Lab, skip string) ([]Found, error) {
	bad := func(kind kit.Kind, err error, hint string) error {
		return &kit.Error{Op: "find submissions", What: dir, Kind: kind, Err: err, Hint: hint}
	}
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, bad(kit.NotFound, errors.New("there is no such folder"), "")
	case err != nil:
		return nil, bad(kit.Refused, err, "")
	case !info.IsDir():
		return nil, bad(kit.Invalid, errors.New("it is no folder"), "unpack it first")
	case isWork(dir, l):
		return []Found{{Name: baseName(dir), Folder: dir}}, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, bad(kit.Refused, err, "")
	}
	var found []Found
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") && !same(path, skip) {
			found = append(found, Found{Name: e.Name(), Folder: path})
		}
	}
	if len(found) == 0 {
		return nil, bad(kit.NotFound, errors.New("it is no submission and has no folders that could be some"),
			"name the folder that holds a folder for each submission; --lab LAB takes folders that are no workspaces")
	}
	return found, nil
}

// baseName is the last element of a path, also of "." and "..".
func baseName(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	return filepath.Base(dir)
}

func same(a, b string) bool {
	absA, errA := filepath.Abs(a)
	absB, errB := filepath.Abs(b)
	return errA == nil && errB == nil && absA == absB
}

// unique tells submissions of one name apart by their paths, and takes those named twice once.
func unique(all []Found) []Found {
	count := map[string]int{}
	var out []Found
	seen := map[string]bool{}
	for _, f := range all {
		key := f.Folder
		if abs, err := filepath.Abs(f.Folder); err == nil {
			key = abs
		}
		if !seen[key] {
			seen[key] = true
			count[f.Name]++
			out = append(out, f)
		}
	}
	for i, f := range out {
		if count[f.Name] > 1 {
			out[i].Name = filepath.ToSlash(filepath.Clean(f.Folder))
		}
	}
	return out
}

// isWork reports whether a folder is a workspace or, when the lab is known, has what it grades at its top.
func isWork(dir string, l *lab.Lab) bool {
	if _, err := lab.ReadMarker(dir); err == nil {
		return true
	}
	if l == nil {
		return false
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return !e.IsDir() && l.Grades(e.Name()) })
}

// workIn lists the folders of a submission that are its work, the shallowest only: the folder itself, or those
// found in it.
func workIn(folder string, l *lab.Lab) []string {
	level, looked := []string{folder}, 0
	for depth := 0; depth <= maxLevels && len(level) > 0; depth++ {
		var works, next []string
		for _, dir := range level {
			if looked++; looked > maxFolders {
				break
			}
			if isWork(dir, l) {
				works = append(works, dir)
				continue
			}
			entries, err := os.ReadDir(dir)
			if err != nil {
				continue
			}
			for _, e := range entries[:min(len(entries), maxEntries)] {
				if e.IsDir() && !strings.HasPrefix(e.Name(), ".") && !strings.HasPrefix(e.Name(), "_") {
					next = append(next, filepath.Join(dir, e.Name()))
				}
			}
		}
		if len(works) > 0 {
			return works
		}
		level = next
	}
	return nil
}

// Locate finds where in a folder the work on a lab lies. The error, of kind NotFound or Invalid, is the student's to
// mend.
func Locate(folder string, l *lab.Lab) (string, error) {
	bad := func(kind kit.Kind, why string) error {
		return &kit.Error{Op: "read submission", What: baseName(folder), Kind: kind, Err: errors.New(why)}
	}
	works := workIn(folder, l)
	if len(works) == 0 {
		return "", bad(kit.NotFound, fmt.Sprintf("there is no work on lab %s in it", l.Slug))
	}
	var mine []string
	other := ""
	for _, dir := range works {
		m, err := lab.ReadMarker(dir)
		if err == nil && m.Lab != l.Slug {
			other = m.Lab
			continue
		}
		mine = append(mine, dir)
	}
	switch {
	case len(mine) == 0:
		return "", bad(kit.Invalid, fmt.Sprintf("it is work on lab %s, not %s", other, l.Slug))
	case len(mine) > 1:
		return "", bad(kit.Invalid, fmt.Sprintf("work on lab %s lies in %d of its folders; which one counts is not known", l.Slug, len(mine)))
	}
	return mine[0], nil
}

// Labs lists the labs that the workspaces among the submissions are for.
func Labs(found []Found) []string {
	var slugs []string
	for _, f := range found {
		for _, dir := range workIn(f.Folder, nil) {
			if m, err := lab.ReadMarker(dir); err == nil && !slices.Contains(slugs, m.Lab) {
				slugs = append(slugs, m.Lab)
			}
		}
	}
	slices.Sort(slugs)
	return slugs
}

// Read reads every submission that was found, as far as it can be read. seed is that of the whole class; with own an
// answer lab's workspace is graded with the seed that its cluster was made from instead.
func Read(found []Found, l *lab.Lab, seed uint64, own bool) []Member {
	var out []Member
	for _, f := range found {
		out = append(out, read(f, l, seed, own))
	}
	return out
}

// read reads one submission. Whatever is in it, the others must be graded, so even a panic is a problem of its row.
func read(f Found, l *lab.Lab, seed uint64, own bool) (m Member) {
	m = Member{Name: oneLine(f.Name), Folder: f.Folder, Seed: seed}
	m.Name = cmp.Or(m.Name, "?")
	defer func() {
		if p := recover(); p != nil {
			m.Dir, m.Problem = "", fmt.Sprintf("reading it went wrong: %v", p)
		}
	}()
	dir, err := Locate(f.Folder, l)
	if err != nil {
		m.Problem = reason(err)
		return m
	}
	sub, err := l.Open(dir)
	if err == nil {
		err = sub.Refused
	}
	if err != nil {
		m.Problem = reason(err)
		return m
	}
	m.Dir, m.Digest = dir, sub.Digest()
	if own && l.Manifest.Kind == lab.Answer {
		m.Seed = sub.Seed
	}
	return m
}

// reason is an error without what the row says anyway: which submission it is.
func reason(err error) string {
	var e *kit.Error
	if errors.As(err, &e) && e.Err != nil && (e.Op == "read submission" || e.Op == "open submission") {
		return oneLine(e.Err.Error())
	}
	return oneLine(err.Error())
}

// fileName turns any name into one that every file system takes, and different names into different ones also where
// case does not count.
func fileName(name string) string {
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return '-'
	}, name)
	const most = 60
	if plain == name && len(name) <= most && name != "" {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return plain[:min(len(plain), most)] + "." + hex.EncodeToString(sum[:5])
}
