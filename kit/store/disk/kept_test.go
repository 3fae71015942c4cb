package disk

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"netsplit/kit"
)

// A node's own files lie in a folder of their own, whole or not at all, and no name leads out of it.
func TestKept(t *testing.T) {
	dir := t.TempDir()
	k, err := OpenKept(Dir(filepath.Join(dir, "backups")))
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) error {
		return k.WriteFile(name, func(w io.Writer) error { _, err := io.WriteString(w, text); return err })
	}
	for _, name := range []string{"", ".", "..", "../x", "/etc/passwd", "a/b", "a\\b", ".hidden", "C:x", "x\x00y", "tilde~", "ä"} {
		if err := write(name, "x"); kit.KindOf(err) != kit.Invalid {
			t.Errorf("%q: %v", name, err)
		}
		if _, err := k.OpenFile(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("read %q: %v", name, err)
		}
	}
	if err := errors.Join(write("monday", "1"), write("monday", "2"), write("LOCK", "x")); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("no")
	if err := k.WriteFile("monday", func(w io.Writer) error { _, _ = io.WriteString(w, "half"); return broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "backups", "file.monday.~7.tmp"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	if k, err = OpenKept(Dir(filepath.Join(dir, "backups"))); err != nil {
		t.Fatal(err)
	}
	f, err := k.OpenFile("monday")
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(f)
	if err = errors.Join(err, f.Close()); err != nil || string(b) != "2" {
		t.Errorf("%q %v", b, err)
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
	var names []string
	entries, _ := os.ReadDir(filepath.Join(dir, "backups"))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if !slices.Equal(names, []string{"LOCK", "file.LOCK", "file.monday"}) {
		t.Error(names)
	}
}
