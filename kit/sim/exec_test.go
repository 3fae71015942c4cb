package sim

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// triedTest is a test file that does WAY.
const triedTest = `package main

import (
	"os"
	"testing"
	"time"
)

func TestIt(t *testing.T) {
	switch seed := time.Now().Year(); {
	case len(os.Args) > 1:
		t.Fatal("it was given arguments")
	case seed != 2026:
		t.Fatal("it sees the machine's clock")
	}
	if _, err := os.ReadFile("main.go"); err == nil {
		t.Fatal("it reads files")
	}
	began := time.Now()
	time.Sleep(time.Hour)
	if time.Since(began) < time.Hour {
		t.Fatal("it did not sleep")
	}
	WAY
}
`

// TestExec runs test binaries that end in every way.
func TestExec(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: compiling takes seconds")
	}
	if slow {
		t.Skip("compiles five programs")
	}
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module tried\n\ngo 1.26\n")
	write("main.go", "package main\n\nfunc main() {}\n")
	engine, err := machine()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, way string
		ok        bool
		says      string
	}{
		{"passes", "", true, "PASS"},
		{"fails", `t.Fatal("wrong")`, false, "wrong"},
		{"exits", "os.Exit(0)", true, ""}, // passing is all that this can say
		{"spins", "for {}", false, ""},
		{"waits for ever", "select {}", false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			write("main_test.go", strings.Replace(triedTest, "WAY", c.way, 1))
			p, err := BuildTest(context.Background(), dir, ".")
			if err != nil {
				t.Fatal(err)
			}
			end, err := Exec(context.Background(), Config{Engine: engine, Program: p, Seed: 1, MaxCPU: 2 * time.Second})
			if err != nil || end.OK != c.ok || !strings.Contains(end.Output, c.says) {
				t.Errorf("%+v, %v", end, err)
			}
			if end.OK && end.Took < time.Hour {
				t.Errorf("an hour's sleep took %v of virtual time", end.Took)
			}
		})
	}
}
