package bundle

import (
	"archive/zip"
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"netsplit/kit"
)

// Unfit says why a program does not run everywhere that a bundle is used: on Linux on amd64, with no library of the
// system; empty when it does.
func Unfit(program []byte) string {
	f, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		return "it is no program for Linux"
	}
	defer f.Close()
	if f.Machine != elf.EM_X86_64 {
		return fmt.Sprintf("it is for %v, not for amd64", f.Machine)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return "it needs libraries of the system that it was built on"
		}
	}
	return ""
}

// Zip writes the files as a zip that is the same whenever it is made.
func Zip(w io.Writer, files []File) error {
	z := zip.NewWriter(w)
	for _, f := range files {
		h := &zip.FileHeader{Name: f.Name, Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)}
		h.SetMode(f.Mode)
		to, err := z.CreateHeader(h)
		if err != nil {
			return err
		}
		if _, err := to.Write(f.Data); err != nil {
			return err
		}
	}
	return z.Close()
}

// WriteDir writes the files into a folder that is empty or not there yet; nothing that exists is overwritten.
func WriteDir(dir string, files []File) error {
	entries, err := os.ReadDir(dir)
	switch {
	case err == nil && len(entries) > 0:
		return &kit.Error{Op: "write bundle", What: dir, Kind: kit.Exists, Err: errors.New("the folder is not empty"), Hint: "name another one with --out"}
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return &kit.Error{Op: "write bundle", What: dir, Kind: kit.Refused, Err: err}
	}
	for _, f := range files {
		name := filepath.Join(dir, filepath.FromSlash(f.Name))
		err := os.MkdirAll(filepath.Dir(name), 0o755)
		if err == nil {
			err = os.WriteFile(name, f.Data, f.Mode)
		}
		if err != nil {
			return &kit.Error{Op: "write bundle", What: name, Kind: kit.Refused, Err: err}
		}
	}
	return nil
}
