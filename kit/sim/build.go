package sim

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"netsplit/kit"
)

// Limits of a build.
const (
	MaxProgram = 64 << 20 // bytes of a module
	maxMessage = 32 << 10 // bytes of the compiler's messages that are kept
)

// Build compiles a main package for the simulator with the machine's Go toolchain. dir is the folder in which the go
// command runs, pkg the package as it is named there ("." or "./cmd/node"). Unchanged sources are not
// compiled or linked again. What the compiler says of a wrong program is the cause of a kit.Invalid error, with paths
// relative to dir; a missing toolchain or a module that is not in the module cache is kit.Unavailable.
//
// The build itself runs nothing of the program's: no cgo, no generators, no other toolchain, no flags from the environment.
func Build(ctx context.Context, dir, pkg string) (*Program, error) {
	return build(ctx, dir, pkg, "build")
}

// BuildTest compiles a package's tests instead, as "go test -c" does; Exec runs them.
func BuildTest(ctx context.Context, dir, pkg string) (*Program, error) {
	return build(ctx, dir, pkg, "test", "-c")
}

func build(ctx context.Context, dir, pkg string, verb ...string) (*Program, error) {
	began := time.Now()
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, &kit.Error{Op: "build program", What: dir, Kind: kit.Invalid, Err: err}
	}
	out, keep, err := outputFor(dir, strings.Join(append(verb, pkg), " "))
	if err != nil {
		return nil, err
	}
	defer os.Remove(out)
	said, err := goBuild(ctx, dir, pkg, out, verb)
	if err != nil {
		return nil, err
	}
	wasm, err := readProgram(out, said)
	if err != nil {
		return nil, err
	}
	if keep != "" {
		_ = os.Rename(out, keep) // without it the next build links again
	}
	p := NewProgram(wasm)
	p.Built = time.Since(began)
	return p, nil
}

// outputFor gives a file to build into, and the name under which to keep it, empty when there is no cache. The file
// starts as a copy of what the last build left: the go command knows its own output again and does not link what
// has not changed. A damaged copy is merely linked anew.
func outputFor(dir, pkg string) (out, keep string, err error) {
	folder := os.TempDir()
	if cache, err := CacheDir(); err == nil {
		builds := filepath.Join(cache, "build")
		if err := os.MkdirAll(builds, 0o700); err == nil {
			key := sha256.Sum256([]byte(dir + "\x00" + pkg))
			folder, keep = builds, filepath.Join(builds, hex.EncodeToString(key[:12])+".wasm")
		}
	}
	f, err := os.CreateTemp(folder, "new-*.wasm")
	if err != nil {
		return "", "", &kit.Error{Op: "build program", What: dir, Kind: kit.Unavailable, Err: err, Hint: "make room on the disc"}
	}
	out = f.Name()
	if keep != "" {
		if old, none := os.ReadFile(keep); none == nil {
			_, err = f.Write(old) // a part of it would be taken for the whole: the go command looks at its head only
		}
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return "", "", &kit.Error{Op: "build program", What: dir, Kind: kit.Unavailable, Err: errors.Join(err, os.Remove(out)), Hint: "make room on the disc"}
	}
	return out, keep, nil
}

const discHint = "make room on the disc, where the go command and netsplit keep their caches and temporary files"

// readProgram reads what the go command made; said is what it printed.
func readProgram(name, said string) ([]byte, error) {
	info, err := os.Stat(name)
	if err == nil && info.Size() > MaxProgram {
		return nil, &kit.Error{Op: "build program", Kind: kit.Overloaded, Err: fmt.Errorf("it has %d MiB, the limit is %d", info.Size()>>20, MaxProgram>>20),
			Hint: "leave out what the program embeds or imports and does not need"}
	}
	wasm, err2 := os.ReadFile(name)
	if err := errors.Join(err, err2); err != nil {
		return nil, &kit.Error{Op: "build program", Kind: kit.Unavailable, Err: err}
	}
	switch {
	case complete(wasm):
		return wasm, nil
	case bytes.HasPrefix(wasm, []byte("!<arch>\n")) || strings.Contains(said, "[no test files]"):
		return nil, &kit.Error{Op: "build program", Kind: kit.Invalid, Err: errors.New("the package is not a program"),
			Hint: "it needs package main and func main"}
	}
	return nil, &kit.Error{Op: "build program", Kind: kit.Unavailable, Err: fmt.Errorf("the linker left a program that is not whole, of %d bytes, and said nothing", len(wasm)),
		Hint: discHint}
}

// complete reports whether a module ends where its last section does. Go's linker does not look whether the last of a WebAssembly file
// could be written (cmd/link/internal/ld, where main closes the output): on a full disc it leaves a part of it, and the status 0.
func complete(wasm []byte) bool {
	const magic, codeSection = "\x00asm\x01\x00\x00\x00", 10
	rest, found := bytes.CutPrefix(wasm, []byte(magic))
	code := false
	for found && len(rest) > 0 {
		size, n := binary.Uvarint(rest[1:])
		if n <= 0 || size > uint64(len(rest)-1-n) {
			return false
		}
		code = code || rest[0] == codeSection
		rest = rest[1+n+int(size):]
	}
	return found && code
}

// goBuild runs the go command, at first without the network, and gives what it said.
func goBuild(ctx context.Context, dir, pkg, out string, verb []string) (string, error) {
	text, err := runGo(ctx, dir, pkg, out, verb, "GOPROXY=off")
	if err != nil && strings.Contains(text, "GOPROXY=off") {
		text, err = runGo(ctx, dir, pkg, out, verb)
	}
	return text, buildError(ctx, dir, text, err)
}

// buildError says in our words what the go command failed with.
func buildError(ctx context.Context, dir, text string, err error) error {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case toolLimit(text) != "" && ctx.Err() == nil:
		return &kit.Error{Op: "build program", Kind: kit.Overloaded, Err: fmt.Errorf("%s\n%s", toolLimit(text), firstLines(text, 5)),
			Hint: "keep functions and constants small, make what is large at run time, and use generic functions for fewer types"}
	case ctx.Err() != nil:
		return &kit.Error{Op: "build program", What: dir, Kind: kit.Unavailable, Err: context.Cause(ctx)}
	case errors.Is(err, exec.ErrNotFound):
		return &kit.Error{Op: "build program", What: dir, Kind: kit.Unavailable, Err: err, Hint: "install Go (https://go.dev/dl) and put it on the PATH"}
	case !errors.As(err, &exit):
		return &kit.Error{Op: "build program", What: dir, Kind: kit.Unavailable, Err: err}
	case discTrouble(text):
		return &kit.Error{Op: "build program", What: dir, Kind: kit.Unavailable, Err: errors.New(firstLines(text, 5)),
			Hint: discHint}
	case strings.HasSuffix(text, ": signal: killed"):
		return &kit.Error{Op: "build program", What: dir, Kind: kit.Unavailable, Err: errors.New(text), Hint: "the machine may be out of memory"}
	case strings.Contains(text, "dial tcp") || strings.Contains(text, "module lookup disabled"):
		return &kit.Error{Op: "build program", What: dir, Kind: kit.Unavailable, Err: errors.New(text),
			Hint: "a module is missing in the module cache; run go mod download once with a network"}
	}
	return &kit.Error{Op: "build program", Kind: kit.Invalid, Err: errors.New(text), Hint: "mend what the compiler names"}
}

// runGo gives what the go command said on stderr.
func runGo(ctx context.Context, dir, pkg, out string, verb []string, env ...string) (string, error) {
	args := slices.Concat(verb, []string{"-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", out, "--", pkg})
	cmd := goCommand(ctx, args)
	cmd.Dir = dir
	cmd.Env = append(cmd.Environ(), append([]string{"GOOS=wasip1", "GOARCH=wasm", "GOWASM=", "CGO_ENABLED=0", "GOFLAGS=-mod=readonly",
		"GO111MODULE=on", "GOWORK=off", "GOTOOLCHAIN=local", "GOEXPERIMENT="}, env...)...)
	var said tail
	cmd.Stderr = writer{&said}
	cmd.Stdout = writer{&said}
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	text := strings.TrimSpace(said.String())
	if s := cmd.ProcessState; s != nil && strings.Contains(text, "signal: killed") && s.UserTime()+s.SystemTime() >= toolSeconds*time.Second {
		text = toolTimeOver + "\n" + text // otherwise it is the machine that has no memory, or somebody who killed it
	}
	if len(text) > maxMessage {
		text = text[:maxMessage] + "\n[...]"
	}
	return text, err
}

// What one process of the Go toolchain may use, where that can be limited. The packages of this module and of the standard
// library need less than a third of each.
const (
	toolMemory  = 640 << 20 // bytes of data
	toolSeconds = 60        // of processor time: a slow machine takes longer, and no more of it
	toolFile    = 2 * MaxProgram
)

// toolLimit says in words which limit a process of the toolchain met, from what it said at its end; empty for none. What the
// machine's own lack of memory looks like (signal: killed) is not among them.
func toolLimit(text string) string {
	for _, l := range []struct{ sign, words string }{
		{toolTimeOver, fmt.Sprintf("the compiler needs more than %d s of processor time for it", toolSeconds)},
		{"SIGXFSZ", fmt.Sprintf("it gets larger than %d MiB", toolFile>>20)},
		{"file too large", fmt.Sprintf("it gets larger than %d MiB", toolFile>>20)},
		{"out of memory", fmt.Sprintf("the compiler needs more than %d MiB of memory for it", toolMemory>>20)},
		{"SIGSEGV: segmentation violation", fmt.Sprintf("the compiler met the end of its memory (%d MiB) or of its files (%d MiB)", toolMemory>>20, toolFile>>20)},
		{"cannot allocate memory", fmt.Sprintf("the compiler needs more than %d MiB of memory for it", toolMemory>>20)},
	} {
		if strings.Contains(text, l.sign) {
			return l.words
		}
	}
	return ""
}

// discTrouble reports whether the toolchain failed because the machine's disc did. Such a line ends with what the system said of a
// file; what the compiler says of a program ends otherwise, whatever stands in the program.
func discTrouble(text string) bool {
	for line := range strings.Lines(text) {
		for _, said := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EIO} {
			if strings.HasSuffix(strings.TrimSpace(line), ": "+said.Error()) {
				return true
			}
		}
	}
	return false
}

// toolTimeOver stands at the head of what a toolchain said of which a process was killed for its processor time.
const toolTimeOver = "processor time limit"

func firstLines(text string, n int) string {
	lines := strings.SplitN(text, "\n", n+1)
	return strings.Join(lines[:min(n, len(lines))], "\n")
}

// writer makes a tail an io.Writer.
type writer struct{ t *tail }

func (w writer) Write(b []byte) (int, error) {
	w.t.write(b)
	return len(b), nil
}

// Machine is a node program and the engine that runs it.
type Machine struct {
	Engine  *Engine
	Program *Program
}

// Prepare gives a function that builds the program of pkg, a package in the module at dir, when it is first called, with an
// engine that keeps compiled code where CacheDir says. All calls give the same Machine, which serves any number of worlds.
func Prepare(dir, pkg string) func() (Machine, error) {
	return sync.OnceValues(func() (Machine, error) {
		ctx := context.Background() // whoever asks first must not end it for the others
		p, err := Build(ctx, dir, pkg)
		if err != nil {
			return Machine{}, err
		}
		cache, err := CacheDir()
		if err != nil {
			return Machine{}, err
		}
		e, err := NewEngine(ctx, Compiled, cache)
		return Machine{e, p}, err
	})
}
