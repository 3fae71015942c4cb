package lab

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"netsplit/kit"
	"netsplit/kit/sim"
	"netsplit/kit/source"
)

// module writes a program as a module of our own making: the submission's Go files beside our go.mod and go.sum,
// built against the kit that this binary carries. What a submission says about modules is never read. The
// folder's name follows from the content, so that the same program is compiled once.
func module(src Source) (dir string, files source.Tree, err error) {
	kitAt, err := unpackKit()
	if err != nil {
		return "", nil, err
	}
	files = source.Tree{}
	for name, text := range src.Files {
		files[name] = text
	}
	for name, text := range src.Tests {
		files[name] = text
	}
	files["go.mod"], files["go.sum"] = source.Module(src.Module, kitAt)
	dir, err = unpack("work", src.Module+"-"+files.Hash(), files)
	return dir, files, err
}

// unpackKit puts the kit's sources into the user's cache, once for each version of them, and gives the folder.
func unpackKit() (string, error) {
	tree, err := source.Kit()
	if err != nil {
		return "", err
	}
	return unpack("kit", tree.Hash(), tree)
}

// unpack makes a folder of the user's cache that holds exactly a tree, in one step that other processes see whole
// or not at all.
func unpack(kind, name string, tree source.Tree) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", &kit.Error{Op: "find cache folder", Kind: kit.Unavailable, Err: err, Hint: "set XDG_CACHE_HOME or HOME"}
	}
	base := filepath.Join(cache, "netsplit", kind)
	at := filepath.Join(base, name)
	now := time.Now()
	_ = os.Chtimes(at, now, now) // it is used: prune spares it. When it is not there it is made below.
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
		return "", &kit.Error{Op: "unpack", What: at, Kind: kit.Broken, Err: err}
	}
	return at, nil
}

// whole reports whether a folder holds the tree, byte for byte, and no other Go file: the cache may have been edited.
func whole(dir string, tree source.Tree) bool {
	for name, want := range tree {
		got, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil || string(got) != string(want) {
			return false
		}
	}
	files := 0
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files++
		}
		return err
	})
	return err == nil && files == len(tree)
}

// prune keeps the cache of builds below a bound: what was not used for longest goes first.
func prune(now time.Time) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return
	}
	const work, machine = 32 << 20, 1 << 30 // bytes
	removeOldest(workspaces(filepath.Join(cache, "netsplit", "work")), work, now.Add(-2*buildWall))
	removeOldest(filesBelow(filepath.Join(cache, "netsplit", "sim")), machine, now)
}

// cached is a folder or a file of the cache.
type cached struct {
	path string
	size int64
	used time.Time
}

// workspaces lists the folders in which programs are compiled. A build marks its folder as used when it begins.
func workspaces(dir string) []cached {
	var all []cached
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue
		}
		one := cached{path: filepath.Join(dir, e.Name()), used: info.ModTime()}
		for _, f := range filesBelow(one.path) {
			one.size += f.size
		}
		all = append(all, one)
	}
	return all
}

func filesBelow(dir string) []cached {
	var all []cached
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			all = append(all, cached{path, info.Size(), info.ModTime()})
		}
		return nil
	})
	return all
}

// removeOldest removes from the cache until the rest has at most so many bytes, but nothing that was used since spared. What it
// cannot remove stays; the cache is there to save time only.
func removeOldest(all []cached, most int64, spared time.Time) {
	sum := int64(0)
	for _, c := range all {
		sum += c.size
	}
	slices.SortFunc(all, func(a, b cached) int { return a.used.Compare(b.used) })
	for _, c := range all {
		if sum <= most || c.used.After(spared) {
			return
		}
		if os.RemoveAll(c.path) == nil {
			sum -= c.size
		}
	}
}

// build compiles a program, or its tests, for the simulator.
func (s *System) build(ctx context.Context, src Source) (Program, error) {
	s.tidy.Do(func() { prune(time.Now()) })
	return buildWhole(src, func(dir string) (Program, error) { return compile(ctx, dir, src.Tests != nil) })
}

// buildWhole compiles in a folder that is made for it. What was compiled while somebody changed that folder, or cleaned the cache, is
// not what was handed in: it is compiled once more.
func buildWhole(src Source, compile func(dir string) (Program, error)) (Program, error) {
	for tries := 1; ; tries++ {
		dir, files, err := module(src)
		if err != nil {
			return nil, err
		}
		p, err := compile(dir)
		if whole(dir, files) {
			return p, err
		}
		if tries == 3 {
			return nil, &kit.Error{Op: "build program", What: dir, Kind: kit.Unavailable, Err: errors.New("its files change while it is compiled"),
				Hint: "find what else writes into the cache folder, or set XDG_CACHE_HOME to another"}
		}
	}
}

// compile compiles the program of a folder, or its tests.
func compile(ctx context.Context, dir string, tests bool) (Program, error) {
	late := &Exhausted{"compiling", buildWall}
	ctx, cancel := context.WithTimeoutCause(ctx, buildWall, late)
	defer cancel()
	build := sim.Build
	if tests {
		build = sim.BuildTest
	}
	p, err := build(ctx, dir, ".")
	var e *kit.Error
	if errors.As(err, &e) && (e.Kind == kit.Invalid || e.Kind == kit.Overloaded) {
		return nil, &CompileError{Text: compilerText(e), Hint: e.Hint}
	}
	if err != nil && errors.Is(context.Cause(ctx), late) {
		return nil, late
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// buildWall is how long the compiler may take; the first build on an empty cache takes half a minute.
const buildWall = 5 * time.Minute

// compilerText drops what a student has no use for: the "# package" lines.
func compilerText(e *kit.Error) string {
	var lines []string
	for line := range strings.SplitSeq(e.Err.Error(), "\n") {
		if !strings.HasPrefix(line, "# ") {
			lines = append(lines, strings.TrimPrefix(line, "./"))
		}
	}
	return strings.Join(lines, "\n")
}

// testCPU is how much a student's tests may compute, in the simulator's time.
const testCPU = 20 * time.Second

// test runs a test binary in a simulator of its own, which is given up at once: many programs are tested in one grade, and
// each takes nearly a hundred megabytes while it is loaded.
func (s *System) test(ctx context.Context, p Program, seeds ...uint64) (reports []TestReport, err error) {
	program := p.(*sim.Program)
	engine, err := newEngine(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, engine.Close(context.WithoutCancel(ctx))) }()
	for _, seed := range seeds {
		end, err := sim.Exec(ctx, sim.Config{Engine: engine, Program: program, Seed: seed, MaxCPU: testCPU})
		if e := unfit(ctx, err); e != nil {
			return append(reports, TestReport{Why: e.Error()}), nil
		}
		if err != nil {
			return nil, err
		}
		report := TestReport{Passed: end.OK, Output: end.Output}
		if end.Reason != sim.Exited {
			report.Why = string(end.Reason) + ": " + end.Why
		}
		if reports = append(reports, report); report.Why != "" {
			break // it would not end the next time either, and what it takes is bounded for one run
		}
	}
	return reports, nil
}
