package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"netsplit/kit"
	"netsplit/kit/source"
)

// module writes a program as a module of our own making: the submission's Go files beside our go.mod and go.sum,
// built against the kit that this binary carries. What a submission says about modules is never read.
func module(src Source) (dir string, cleanup func(), err error) {
	kitAt, err := unpackKit()
	if err != nil {
		return "", nil, err
	}
	dir, err = os.MkdirTemp("", "netsplit-build-")
	if err != nil {
		return "", nil, &kit.Error{Op: "make build folder", Kind: kit.Broken, Err: err}
	}
	cleanup = func() { _ = os.RemoveAll(dir) } // in the temporary folder; nothing depends on it
	files := map[string][]byte{}
	for name, text := range src.Files {
		files[name] = text
	}
	for name, text := range src.Tests {
		files[name] = text
	}
	files["go.mod"], files["go.sum"] = source.Module(src.Module, kitAt)
	for name, text := range files {
		if err := writeNew(dir, name, text); err != nil {
			cleanup()
			return "", nil, err
		}
	}
	return dir, cleanup, nil
}

// unpackKit puts the kit's sources into the user's cache, once for each version of them, and gives the folder.
func unpackKit() (string, error) {
	tree, err := source.Kit()
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", &kit.Error{Op: "find cache folder", Kind: kit.Unavailable, Err: err, Hint: "set XDG_CACHE_HOME or HOME"}
	}
	base := filepath.Join(cache, "netsplit", "kit")
	at := filepath.Join(base, tree.Hash())
	if whole(at, tree) {
		return at, nil
	}
	if err := os.MkdirAll(base, 0o755); err != nil {
		return "", &kit.Error{Op: "make cache folder", Kind: kit.Unavailable, Err: err, Hint: "set XDG_CACHE_HOME to a folder that can be written"}
	}
	tmp, err := os.MkdirTemp(base, "new-")
	if err != nil {
		return "", &kit.Error{Op: "make cache folder", Kind: kit.Unavailable, Err: err}
	}
	defer os.RemoveAll(tmp)
	for name, text := range tree {
		if err := writeNew(tmp, name, text); err != nil {
			return "", err
		}
	}
	err = os.Rename(tmp, at)
	if err != nil && whole(at, tree) {
		return at, nil // another process was faster
	}
	if err != nil { // a damaged one is in the way
		err = errors.Join(os.RemoveAll(at), os.Rename(tmp, at))
	}
	if err != nil {
		return "", &kit.Error{Op: "unpack the kit", What: at, Kind: kit.Broken, Err: err}
	}
	return at, nil
}

// whole reports whether a folder holds the tree, byte for byte: the cache may have been edited.
func whole(dir string, tree source.Tree) bool {
	for name, want := range tree {
		got, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil || string(got) != string(want) {
			return false
		}
	}
	return true
}

// build compiles a program, or its tests, for the simulator.
func (s *System) build(ctx context.Context, src Source) (Program, error) {
	dir, cleanup, err := module(src)
	if err != nil {
		return nil, err
	}
	defer cleanup()
	return compile(ctx, dir, src.Tests != nil)
}

// stub until the builder is there
func compile(ctx context.Context, dir string, tests bool) (Program, error) {
	return nil, fmt.Errorf("build %s", dir)
}

func (s *System) test(ctx context.Context, p Program, seed uint64) (TestReport, error) {
	return TestReport{}, errors.New("test")
}
