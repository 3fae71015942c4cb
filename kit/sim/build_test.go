package sim

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"netsplit/kit"
)

// module writes a module of one file and gives its folder.
func module(t *testing.T, src string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"go.mod": "module student\n\ngo 1.26\n", "main.go": src} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestBuildErrors(t *testing.T) {
	for _, c := range []struct {
		name, src, pkg string
		kind           kit.Kind
		want           string
	}{
		{"wrong type", "package main\n\nfunc main() {\n\tvar x int = \"no\"\n\t_ = x\n}\n", ".", kit.Invalid, "main.go:4:14: cannot use \"no\""},
		{"syntax", "package main\n\nfunc main() {\n", ".", kit.Invalid, "main.go:4:1: syntax error"},
		{"no program", "package student\n\nfunc F() {}\n", ".", kit.Invalid, "not a program"},
		{"no package", "package main\n\nfunc main() {}\n", "./other", kit.Invalid, "other"},
		{"a flag", "package main\n\nfunc main() {}\n", "-toolexec=true", kit.Invalid, "toolexec"},
		{"no module", "package main\n\nimport _ \"example.com/nowhere\"\n\nfunc main() {}\n", ".", kit.Invalid, "example.com/nowhere"},
		{"cgo", "package main\n\nimport \"C\"\n\nfunc main() {}\n", ".", kit.Invalid, "build constraints exclude all Go files"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Build(context.Background(), module(t, c.src), c.pkg)
			if kit.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.want) || kit.HintOf(err) == "" {
				t.Errorf("%v (%v), hint %q", err, kit.KindOf(err), kit.HintOf(err))
			}
		})
	}
	if runtime.GOOS == "linux" { // elsewhere nothing but time bounds the compiler
		src := "package main\n\nvar big = [1000 << 20]byte{0: 1, 1000<<20 - 1: 1}\n\nfunc main() { println(big[1]) }\n"
		if _, err := Build(context.Background(), module(t, src), "."); kit.KindOf(err) != kit.Overloaded || kit.HintOf(err) == "" {
			t.Errorf("an array of a gigabyte: %v", err)
		}
	}
	if _, err := Build(context.Background(), filepath.Join(t.TempDir(), "none"), "."); err == nil {
		t.Error("a folder that is not there was built")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Build(ctx, ".", "./internal/toy"); kit.KindOf(err) != kit.Unavailable {
		t.Error(err)
	}
}

// The same sources give the same bytes, also over a damaged copy of the last build.
func TestBuildIsRepeatable(t *testing.T) {
	dir := module(t, "package main\n\nfunc main() { println(1) }\n")
	one, err := Build(context.Background(), dir, ".")
	if err != nil {
		t.Fatal(err)
	}
	_, keep, err := outputFor(dir, ".")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(keep, []byte("\x00asm damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	two, err := Build(context.Background(), dir, ".")
	if err != nil {
		t.Fatal(err)
	}
	if one.Hash != two.Hash {
		t.Error("the same sources gave other bytes")
	}
	if err := os.Remove(keep); err != nil {
		t.Error(err)
	}
}

// A program that never opens the link, or imports what the simulator does not have, is refused with a reason.
func TestStrangePrograms(t *testing.T) {
	if slow {
		t.Skip("TestWithoutRaceDetector runs it")
	}
	cfg := toyConfig(t, 1)
	for _, c := range []struct{ name, src, want string }{
		{"returns at once", "package main\n\nfunc main() { println(\"PASS\") }\n", "exited: the program ended by itself with exit code 0; it printed:\nPASS"},
		{"deadlock", "package main\n\nfunc main() { select {} }\n", "panicked: fatal error: all goroutines are asleep - deadlock!"},
		{"own import", "package main\n\n//go:wasmimport host secret\nfunc secret() int32\n\nfunc main() { println(secret()) }\n", "host"},
		{"panics in init", "package main\n\nfunc init() { panic(\"early\") }\n\nfunc main() {}\n", "panicked: panic: early"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := Build(context.Background(), module(t, c.src), ".")
			if err != nil {
				t.Fatal(err)
			}
			cfg.Program = p
			w, err := New(context.Background(), cfg)
			if w != nil || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

// Damage in the cache of machine code is recognised and mended.
func TestDamagedCodeCache(t *testing.T) {
	if slow {
		t.Skip("compiles three times")
	}
	ctx := context.Background()
	dir := t.TempDir()
	p, err := Build(ctx, module(t, "package main\n\nfunc main() { println(1) }\n"), ".")
	if err != nil {
		t.Fatal(err)
	}
	load := func() error {
		e, err := NewEngine(ctx, Compiled, dir)
		if err != nil {
			return err
		}
		defer func() { must(t, e.Close(ctx)) }()
		return e.Load(ctx, p)
	}
	must(t, load())
	files := 0
	must(t, filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for i := range min(len(b), 4000) {
			b[len(b)-1-i] ^= 0x55
		}
		return os.WriteFile(name, b, 0o600)
	}))
	if files == 0 {
		t.Skip("no machine code on this platform")
	}
	must(t, load())
}

// The meter takes any bytes: an error or a module, never a panic.
func TestMeterTakesAnything(t *testing.T) {
	p, err := toy()
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := meter(p.Wasm); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	small := p.Wasm[:min(len(p.Wasm), 200_000)]
	for range 300 {
		b := append([]byte(nil), small[:rng.IntN(len(small))]...)
		for range rng.IntN(20) {
			if len(b) > 8 {
				b[8+rng.IntN(len(b)-8)] = byte(rng.Uint32())
			}
		}
		if _, _, err := meter(b); err != nil && kit.KindOf(err) != kit.Corrupt {
			t.Fatal(err)
		}
	}
	for _, b := range [][]byte{nil, []byte("x"), []byte("\x00asm\x01\x00\x00\x00"), []byte("\x00asm\x01\x00\x00\x00\x0a\xff\xff\xff\xff\x0f")} {
		if _, _, err := meter(b); kit.KindOf(err) != kit.Corrupt {
			t.Errorf("%q: %v", b, err)
		}
	}
}

// A disc that is full is the machine's fault and not the program's; a program that speaks of one is not believed.
func TestDiscTrouble(t *testing.T) {
	for text, want := range map[string]bool{
		"student: go build student: copying /tmp/b001/exe/a.out to /c/new-1.wasm: write /c/new-1.wasm: no space left on device": true,
		"# student\n/usr/lib/go/pkg/tool/compile: writing output: write $WORK/b001/_pkg_.a: no space left on device\n":          true,
		"open /c/e3-d: disk quota exceeded":                                       true,
		"mkdir /tmp/go-build1: read-only file system":                             true,
		"go: writing action list: write /c/x-a: input/output error":               true,
		"./main.go:3:9: undefined: space":                                         false,
		`./main.go:3:9: cannot use "write /x: no space left on device" as int`:    false,
		"./main.go:3:9: unexpected literal \"write /x: no space left on device\"": false,
		"": false,
	} {
		if got := discTrouble(text); got != want {
			t.Errorf("%v for %q", got, text)
		}
	}
}

// A program of which the disc took only a part is not taken for one.
func TestComplete(t *testing.T) {
	p, err := toy()
	if err != nil {
		t.Fatal(err)
	}
	if !complete(p.Wasm) {
		t.Error("a whole program is not complete")
	}
	for _, n := range []int{0, 1, 4, 8, 9, 4096, len(p.Wasm) / 2, len(p.Wasm) &^ 4095, len(p.Wasm) - 1} {
		name := filepath.Join(t.TempDir(), "part.wasm")
		must(t, os.WriteFile(name, p.Wasm[:n], 0o600))
		if _, err := readProgram(name, ""); kit.KindOf(err) != kit.Unavailable || kit.HintOf(err) == "" {
			t.Errorf("the first %d bytes of %d: %v", n, len(p.Wasm), err)
		}
	}
}
