package disk

import (
	"errors"
	"io"
	"io/fs"

	"netsplit/kit"
)

// FS is the folder that a disc lives in: real, in memory, or the simulator's. Names are plain file names.
// op names the moment of a call ("append", "rotate", "dump", "replace"), so that a test or a lab can make one
// call fail at one moment; see Options.Fault. A missing file is fs.ErrNotExist, a full disc ErrFull.
type FS interface {
	// List gives the names of all files, sorted.
	List(op string) ([]string, error)
	// Open reads a file from its beginning.
	Open(op, name string) (io.ReadCloser, error)
	// Append opens a file for writing at its end, and makes it when it is not there; fresh empties it first.
	Append(op, name string, fresh bool) (File, error)
	// Truncate cuts a file to size bytes.
	Truncate(op, name string, size int64) error
	// Rename replaces what is at the new name, at once. Like Append's new file and Remove it may be undone by
	// a crash until SyncDir.
	Rename(op, from, to string) error
	Remove(op, name string) error
	// SyncDir makes what files there are survive a crash.
	SyncDir(op string) error
	// Close lets others open the folder.
	Close() error
}

// File is a file open for writing at its end. What was written survives a crash after Sync.
type File interface {
	Write(op string, p []byte) (int, error)
	Sync(op string) error
	Close() error
}

// ErrFull is the cause of every error of a full disc.
var ErrFull = errors.New("the disc is full")

// faulty asks fault before every call that changes something.
type faulty struct {
	FS
	fault func(op, call, name string) error
}

func (f faulty) Append(op, name string, fresh bool) (File, error) {
	if err := f.fault(op, "open", name); err != nil {
		return nil, err
	}
	file, err := f.FS.Append(op, name, fresh)
	if err != nil {
		return nil, err
	}
	return faultyFile{file, name, f.fault}, nil
}

func (f faulty) Truncate(op, name string, size int64) error {
	if err := f.fault(op, "truncate", name); err != nil {
		return err
	}
	return f.FS.Truncate(op, name, size)
}

func (f faulty) Rename(op, from, to string) error {
	if err := f.fault(op, "rename", to); err != nil {
		return err
	}
	return f.FS.Rename(op, from, to)
}

func (f faulty) Remove(op, name string) error {
	if err := f.fault(op, "remove", name); err != nil {
		return err
	}
	return f.FS.Remove(op, name)
}

func (f faulty) SyncDir(op string) error {
	if err := f.fault(op, "sync", ""); err != nil {
		return err
	}
	return f.FS.SyncDir(op)
}

type faultyFile struct {
	File
	name  string
	fault func(op, call, name string) error
}

// Write writes half of p before it fails with ErrFull, as a full disc does.
func (f faultyFile) Write(op string, p []byte) (int, error) {
	if err := f.fault(op, "write", f.name); err != nil {
		n := 0
		if errors.Is(err, ErrFull) {
			n, _ = f.File.Write(op, p[:len(p)/2])
		}
		return n, err
	}
	return f.File.Write(op, p)
}

func (f faultyFile) Sync(op string) error {
	if err := f.fault(op, "sync", f.name); err != nil {
		return err
	}
	return f.File.Sync(op)
}

// ioError makes a *kit.Error of what went wrong with a file: a full disc is kit.Overloaded, anything else
// kit.Broken.
func ioError(op, name string, err error) error {
	var known *kit.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	e := &kit.Error{Op: op, Kind: kit.Broken, What: name, Err: err}
	switch {
	case isFull(err):
		e.Kind, e.Hint = kit.Overloaded, "free some space on the disc and try again; what was there before is whole"
	case errors.Is(err, fs.ErrPermission):
		e.Hint = "check who owns the lab's state folder"
	}
	return e
}

func corrupt(name, why, hint string) error {
	if hint == "" {
		hint = "this node's copy cannot be trusted: restore a backup, or remove the node's disc and let the node load its tables from the others"
	}
	return &kit.Error{Op: "open disc file", Kind: kit.Corrupt, What: name, Hint: hint, Err: errors.New(why)}
}

// replaceFile writes a file so that after a crash it has its old content or the new: under another name,
// synced, then renamed.
func replaceFile(d FS, op, name string, content []byte) error {
	tmp := name + tmpSuffix
	f, err := d.Append(op, tmp, true)
	if err != nil {
		return ioError(op, name, err)
	}
	_, err = f.Write(op, content)
	if err == nil {
		err = f.Sync(op)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = d.Rename(op, tmp, name)
	}
	if err == nil {
		err = d.SyncDir(op)
	}
	if err != nil {
		_ = d.Remove(op, tmp) // the old file counts; Open removes what is left of the new one
		return ioError(op, name, err)
	}
	return nil
}

const tmpSuffix = ".tmp"

func readFile(d FS, op, name string) ([]byte, error) {
	r, err := d.Open(op, name)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(r)
	if cerr := r.Close(); err == nil {
		err = cerr
	}
	return b, err
}
