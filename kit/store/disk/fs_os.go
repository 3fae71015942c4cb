//go:build !wasip1

package disk

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"netsplit/kit"
)

// lockName is the file that keeps two processes from opening one folder.
const lockName = "LOCK"

// folder is the FS of a real directory.
type folder struct {
	path string
	lock *os.File
}

// openFolder makes the folder if it is not there and locks it.
func openFolder(path string) (*folder, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, ioError("open disc", path, err)
	}
	f, err := os.OpenFile(filepath.Join(path, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, ioError("open disc", path, err)
	}
	if err := lockFile(f); err != nil {
		_ = f.Close() // nothing was written to it
		return nil, &kit.Error{Op: "open disc", Kind: kit.Refused, What: path, Err: errors.New("another process has it open"),
			Hint: "stop the node that still runs on this folder"}
	}
	return &folder{path, f}, nil
}

func (d *folder) file(name string) string { return filepath.Join(d.path, name) }

func (d *folder) List(string) ([]string, error) {
	entries, err := os.ReadDir(d.path)
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() && e.Name() != lockName {
			names = append(names, e.Name())
		}
	}
	return names, err
}

func (d *folder) Open(_, name string) (io.ReadCloser, error) { return os.Open(d.file(name)) }

func (d *folder) Append(_, name string, fresh bool) (File, error) {
	flags := os.O_CREATE | os.O_WRONLY | os.O_APPEND
	if fresh {
		flags |= os.O_TRUNC
	}
	f, err := os.OpenFile(d.file(name), flags, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (d *folder) Truncate(_, name string, size int64) error { return os.Truncate(d.file(name), size) }
func (d *folder) Rename(_, from, to string) error           { return os.Rename(d.file(from), d.file(to)) }
func (d *folder) Remove(_, name string) error               { return os.Remove(d.file(name)) }

func (d *folder) SyncDir(string) error {
	f, err := os.Open(d.path)
	if err != nil {
		return err
	}
	err = f.Sync()
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, os.ErrPermission) {
		err = nil // Windows cannot sync a folder and does not need to
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func (d *folder) Close() error { return d.lock.Close() }

type osFile struct{ *os.File }

func (f osFile) Write(_ string, p []byte) (int, error) { return f.File.Write(p) }
func (f osFile) Sync(string) error                     { return syncData(f.File) }

func isFull(err error) bool {
	return errors.Is(err, ErrFull) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG)
}
