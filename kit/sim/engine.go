package sim

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"

	"netsplit/kit"
)

// Runner says how programs are executed. Both give the same run, to the byte.
type Runner string

// The runners: machine code where the platform has it, or an interpreter, some twenty times slower, which is
// there to prove the other right.
const (
	Compiled    Runner = "compiler"
	Interpreted Runner = "interpreter"
)

// pageSize is the unit of wasm memory in bytes; maxMemory is the most that any node of an engine may ask for.
const (
	pageSize  = 64 << 10
	maxMemory = 1 << 30
)

// maxIdle is how many programs that no world uses an engine keeps compiled. Each takes some 100 MB; to load one again
// from the cache on disc takes a fraction of a second.
const maxIdle = 2

// Program is a node program compiled to WebAssembly.
type Program struct {
	// Wasm is the module as Go's toolchain wrote it.
	Wasm []byte
	// Hash names the bytes: the first half of their SHA-256 in hex.
	Hash string
	// Args are what the program finds in os.Args behind its name, as a node does.
	Args []string
	// Built says how long the build took; 0 when it came from elsewhere.
	Built time.Duration
}

// NewProgram takes a module's bytes.
func NewProgram(wasm []byte) *Program {
	sum := sha256.Sum256(wasm)
	return &Program{Wasm: wasm, Hash: hex.EncodeToString(sum[:16])}
}

// Engine compiles programs to machine code, keeps those in use and a few more, and is shared by all worlds of a process.
// It is safe for concurrent use.
type Engine struct {
	runner  Runner
	runtime wazero.Runtime
	cache   wazero.CompilationCache
	dir     string

	idle     int      // maxIdle, except in tests
	memories memories // for the instances

	mu      sync.Mutex
	modules map[string]*loading
	clock   uint64 // releases so far
}

// loading is one program's compilation; done is closed when it is over.
type loading struct {
	done chan struct{}
	code code
	err  error

	users int    // who hold it
	last  uint64 // when it was used last, in releases
}

// code is a program as it is run: its machine code, and the memory that each instance begins with.
type code struct {
	module wazero.CompiledModule
	image  []byte
}

// NewEngine makes an engine. cacheDir is where machine code is kept between processes; empty for nowhere.
// A cache that cannot be used is no error: it costs time only.
func NewEngine(ctx context.Context, runner Runner, cacheDir string) (*Engine, error) {
	e := &Engine{runner: runner, dir: cacheDir, modules: map[string]*loading{}, idle: maxIdle}
	var cfg wazero.RuntimeConfig
	switch runner {
	case Compiled, "":
		// On a platform without machine code wazero falls back to its interpreter.
		cfg = wazero.NewRuntimeConfig()
		if cacheDir != "" {
			if cache, err := wazero.NewCompilationCacheWithDir(filepath.Join(cacheDir, "code")); err == nil {
				e.cache, cfg = cache, cfg.WithCompilationCache(cache)
			}
		}
	case Interpreted:
		cfg = wazero.NewRuntimeConfigInterpreter()
	default:
		return nil, &kit.Error{Op: "make engine", What: string(runner), Kind: kit.Invalid,
			Hint: fmt.Sprintf("the runners are %q and %q", Compiled, Interpreted)}
	}
	cfg = cfg.WithMemoryLimitPages(maxMemory / pageSize).WithDebugInfoEnabled(false)
	e.runtime = wazero.NewRuntimeWithConfig(ctx, cfg)
	if err := exportHost(ctx, e.runtime); err != nil {
		return nil, errors.Join(&kit.Error{Op: "make engine", Kind: kit.Broken, Err: err}, e.Close(ctx))
	}
	return e, nil
}

// Close frees the compiled programs. No world may use the engine any more.
func (e *Engine) Close(ctx context.Context) error {
	err := e.runtime.Close(ctx)
	e.memories.empty()
	if e.cache != nil {
		err = errors.Join(err, e.cache.Close(ctx))
	}
	return err
}

// Load compiles a program, or finds it compiled. It is what makes the first world of a program slow, so a caller may
// want to call it early and show progress.
func (e *Engine) Load(ctx context.Context, p *Program) error {
	_, release, err := e.hold(ctx, p)
	if err == nil {
		release()
	}
	return err
}

// hold gives a program's machine code, compiled if need be, and keeps it until release is called, once.
func (e *Engine) hold(ctx context.Context, p *Program) (c code, release func(), err error) {
	e.mu.Lock()
	l := e.modules[p.Hash]
	first := l == nil
	if first {
		l = &loading{done: make(chan struct{})}
		e.modules[p.Hash] = l
	}
	l.users++
	e.mu.Unlock()
	if first {
		l.code, l.err = e.compile(ctx, p)
		close(l.done)
	}
	select {
	case <-l.done:
		err = l.err
	case <-ctx.Done():
		err = &kit.Error{Op: "load program", Kind: kit.Unavailable, Err: ctx.Err()}
	}
	if err != nil {
		e.release(p.Hash, l)
		return code{}, nil, err
	}
	return l.code, sync.OnceFunc(func() { e.release(p.Hash, l) }), nil
}

// release ends one use of a program. Of those that nobody uses the ones used last are kept.
func (e *Engine) release(hash string, l *loading) {
	e.mu.Lock()
	defer e.mu.Unlock()
	l.users--
	e.clock++
	l.last = e.clock
	if l.failed() && e.modules[hash] == l {
		delete(e.modules, hash) // a cancelled compilation may be tried again
	}
	for {
		idle, oldest := 0, ""
		for h, o := range e.modules {
			if o.users == 0 {
				if idle++; oldest == "" || o.last < e.modules[oldest].last {
					oldest = h
				}
			}
		}
		if idle <= e.idle {
			return
		}
		_ = e.modules[oldest].code.module.Close(context.Background()) // it has no error to give
		delete(e.modules, oldest)
	}
}

// failed reports whether the compilation is over and gave an error.
func (l *loading) failed() bool {
	select {
	case <-l.done:
		return l.err != nil
	default:
		return false
	}
}

func (e *Engine) compile(ctx context.Context, p *Program) (code, error) {
	metered, image, err := meter(p.Wasm)
	if err != nil {
		return code{}, err
	}
	ctx = experimental.WithCompilationWorkers(ctx, 2)
	m, err := e.runtime.CompileModule(ctx, metered)
	if err != nil && e.cache != nil && ctx.Err() == nil {
		// The program may be wrong, or what the cache holds of it: without the cache one knows.
		e.emptyCache()
		m, err = e.runtime.CompileModule(ctx, metered)
	}
	if err != nil {
		return code{}, &kit.Error{Op: "load program", Kind: kit.Invalid, Err: err}
	}
	for _, f := range m.ImportedFunctions() {
		if from, name, _ := f.Import(); from != wasiModule {
			return code{}, &kit.Error{Op: "load program", Kind: kit.Refused, What: from + "." + name,
				Err: errors.New("the simulator has no such function"), Hint: "remove the //go:wasmimport directive"}
		}
	}
	if m.ExportedFunctions()[startFunction] == nil {
		return code{}, &kit.Error{Op: "load program", Kind: kit.Invalid, Err: errors.New("it has no main function"),
			Hint: "build a package main for GOOS=wasip1"}
	}
	return code{module: m, image: image}, nil
}

// emptyCache removes the machine code that is kept on disc; the folders stay, since the cache does not make them again.
func (e *Engine) emptyCache() {
	_ = filepath.WalkDir(filepath.Join(e.dir, "code"), func(name string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			_ = os.Remove(name) // what cannot be removed cannot be replaced either; then compiling fails again
		}
		return nil
	})
}

// CacheDir is the folder of the user's cache in which programs and machine code are kept.
func CacheDir() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", &kit.Error{Op: "find cache folder", Kind: kit.Unavailable, Err: err, Hint: "set XDG_CACHE_HOME or HOME"}
	}
	return filepath.Join(dir, "netsplit", "sim"), nil
}

// trapped reports whether err is the trap of that name.
func trapped(err error, name string) bool { return strings.Contains(err.Error(), "wasm error: "+name) }
