package disk

import (
	"io"
	"strings"
	"sync/atomic"

	"netsplit/kit/simlink"
)

const keptPrefix = simlink.KeptPrefix

// Kept are a node's own files: backups and text dumps. They are no part of its disc and survive its loss: on a real
// machine they lie in a folder of their own, in the simulator beside the disc's.
type Kept struct {
	fs   FS
	made atomic.Int64
}

// OpenKept opens a node's own files. What was not finished when a process died is removed.
func OpenKept(o Options) (*Kept, error) {
	fsys, _, err := o.open()
	if err != nil {
		return nil, err
	}
	if o.Fault != nil {
		fsys = faulty{fsys, o.Fault}
	}
	k := &Kept{fs: fsys}
	names, err := fsys.List("open files")
	for _, n := range names {
		if err == nil && strings.HasPrefix(n, keptPrefix) && strings.HasSuffix(n, tmpSuffix) && strings.Contains(n, unfinished) {
			err = fsys.Remove("open files", n)
		}
	}
	if err != nil {
		_ = fsys.Close() // the error that matters is err
		return nil, ioError("open files", "", err)
	}
	return k, nil
}

// unfinished is in the names of files that are being written; no name of a file has it.
const unfinished = "~"

// WriteFile makes a file of what content writes, whole or not at all; it is on the disc when this returns.
func (k *Kept) WriteFile(name string, content func(io.Writer) error) error {
	return writeSide(k.fs, keptPrefix+name, name, unfinished, k.made.Add(1), content)
}

// OpenFile reads a file. A missing one, or a name that none can have, is fs.ErrNotExist.
func (k *Kept) OpenFile(name string) (io.ReadCloser, error) {
	return openSide(k.fs, keptPrefix+name, name)
}

// Close lets others open them.
func (k *Kept) Close() error { return k.fs.Close() }
