// Package source carries the kit's own sources inside the binary: the packages that a student's program is built
// from, with the module files, so that a workspace builds against the very kit that the binary was built from.
package source

import (
	"crypto/sha256"
	_ "embed" // for the copies of go.mod and go.sum
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/mnesia"
	"netsplit/kit/node"
	"netsplit/kit/peer"
	"netsplit/kit/proc"
	"netsplit/kit/simlink"
	"netsplit/kit/store"
	"netsplit/kit/store/commit"
	"netsplit/kit/store/disk"
	"netsplit/kit/store/lock"
	"netsplit/kit/store/match"
	"netsplit/kit/store/split"
	"netsplit/kit/term"
	"netsplit/kit/wire"
)

// Copies of the module's own files: go:embed cannot look above its folder. A test keeps them equal.
var (
	//go:embed go.mod.txt
	goMod string
	//go:embed go.sum.txt
	goSum string
)

// packages lists what a student's program may be built from. A test compares it with what kit/node needs.
func packages() map[string]fs.FS {
	return map[string]fs.FS{
		"kit": kit.Sources, "kit/term": term.Sources, "kit/door": door.Sources, "kit/wire": wire.Sources,
		"kit/peer": peer.Sources, "kit/proc": proc.Sources, "kit/store": store.Sources, "kit/store/match": match.Sources,
		"kit/store/lock": lock.Sources, "kit/store/commit": commit.Sources, "kit/store/disk": disk.Sources,
		"kit/store/split": split.Sources,
		"kit/mnesia":      mnesia.Sources, "kit/node": node.Sources, "kit/simlink": simlink.Sources,
	}
}

// Tree is the kit as a module: files by their slash-separated names.
type Tree map[string][]byte

// Kit gives the kit's sources, tests left out, with go.mod and go.sum.
func Kit() (Tree, error) {
	t := Tree{"go.mod": []byte(withoutTools(goMod)), "go.sum": []byte(goSum)}
	for dir, fsys := range packages() {
		entries, err := fs.ReadDir(fsys, ".")
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), "_test.go") {
				continue
			}
			src, err := fs.ReadFile(fsys, e.Name())
			if err != nil {
				return nil, err
			}
			t[path.Join(dir, e.Name())] = src
		}
	}
	return t, nil
}

// Hash names the content of a tree.
func (t Tree) Hash() string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(t)) {
		fmt.Fprintf(h, "%s %d\n", name, len(t[name]))
		h.Write(t[name])
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// Module gives go.mod and go.sum of a module of the given path that is built against a kit unpacked at dir
// (relative to the module, or absolute). It names every module that the kit's does, at the same versions, so that
// nothing has to be looked up.
func Module(modPath, dir string) (mod, sum []byte) {
	text := moduleLine.ReplaceAllString(withoutTools(goMod), "module "+modPath)
	if dir = filepath.ToSlash(dir); !filepath.IsAbs(dir) && !strings.HasPrefix(dir, "../") {
		dir = "./" + strings.TrimPrefix(dir, "./")
	}
	text += fmt.Sprintf("\nrequire netsplit v0.0.0\n\nreplace netsplit => %s\n", modString(dir))
	return []byte(text), []byte(goSum)
}

var (
	moduleLine = regexp.MustCompile(`(?m)^module .*$`)
	toolLines  = regexp.MustCompile(`(?m)^tool (\([^)]*\)|[^\n]*)\n`)
)

// withoutTools drops the linters, which a workspace does not build with.
func withoutTools(mod string) string { return toolLines.ReplaceAllString(mod, "") }

// modString quotes a path for go.mod when it must be.
func modString(s string) string {
	if strings.ContainsAny(s, " \t\"'`()[]{},;") {
		return fmt.Sprintf("%q", s)
	}
	return s
}
