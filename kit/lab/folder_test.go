//go:build unix

package lab

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"netsplit/kit"
)

// TestMarkerIsReadWithinBounds wants an error, and soon, of a marker that is no file to be read.
func TestMarkerIsReadWithinBounds(t *testing.T) {
	for name, make := range map[string]func(marker string) error{
		"a pipe":           func(m string) error { return syscall.Mkfifo(m, 0o600) },
		"a link to zeros":  func(m string) error { return os.Symlink("/dev/zero", m) },
		"a link that ends": func(m string) error { return os.Symlink("/no/such/file", m) },
		"a link to itself": func(m string) error { return os.Symlink("lab.json", m) },
		"a folder":         func(m string) error { return os.Mkdir(m, 0o755) },
		"huge":             func(m string) error { return os.WriteFile(m, bytes.Repeat([]byte(" "), maxMarker+1), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			marker := filepath.Join(dir, filepath.FromSlash(markerFile))
			if err := errors.Join(os.MkdirAll(filepath.Dir(marker), 0o755), make(marker)); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			_, err := ReadMarker(dir)
			if k := kit.KindOf(err); err == nil || k != kit.Refused || !strings.Contains(err.Error(), marker) {
				t.Errorf("%v: %v", k, err)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// TestFolderWithManyFiles wants the walk to end early, and to say at which file.
func TestFolderWithManyFiles(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte("package main\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for i := range maxEntries + 500 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("n%d", i)), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s, err := find(t, fakeCatalog(t), "counter").Open(dir)
	if err != nil || s.Refused == nil || !strings.Contains(s.Refused.Error(), "more than 10000 files and folders") {
		t.Errorf("%v, %v", err, s.Refused)
	}
}

// TestFileThatGrows wants no more read than is allowed, whatever the file's size was said to be.
func TestFileThatGrows(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "run.star")
	if err := os.WriteFile(name, bytes.Repeat([]byte("x"), 1000), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := openFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if src, err := readBounded(f, "run.star", 1000); err != nil || len(src) != 1000 {
		t.Errorf("%d bytes, %v", len(src), err)
	}
	if _, err := readBounded(f, "run.star", 999); err == nil || !strings.Contains(err.Error(), "at most 999 are read") {
		t.Error(err)
	}
	// What the kernel says has no size but has content, as a file has that grows after its size was asked for.
	proc, err := openFolder("/proc/self")
	if err != nil {
		t.Skip("no /proc")
	}
	defer proc.Close()
	if _, err := readBounded(proc, "status", 10); err == nil || !strings.Contains(err.Error(), "grows while it is read") {
		t.Error(err)
	}
}

// TestLinkOutIsNotFollowed: a folder that is a link to one of the machine's is not entered, and not read through.
func TestLinkOutIsNotFollowed(t *testing.T) {
	out, dir := t.TempDir(), t.TempDir()
	if err := errors.Join(os.WriteFile(filepath.Join(out, "main.go"), []byte("package main\n"), 0o644), os.Symlink(out, filepath.Join(dir, "sub"))); err != nil {
		t.Fatal(err)
	}
	if s, err := find(t, fakeCatalog(t), "counter").Open(dir); err == nil || len(s.Files) > 0 {
		t.Errorf("read %v", names(s.Files))
	}
	f, err := openFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if src, err := readBounded(f, "sub/main.go", 1000); err == nil {
		t.Errorf("read %q through a link", src)
	}
}
