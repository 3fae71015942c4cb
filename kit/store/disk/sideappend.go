package disk

import (
	"errors"
	"io"

	"netsplit/kit/term"
)

// AppendFile makes a side file, empty, that grows by what is written to it: each Write hands its bytes to the operating
// system and returns, as Append does with the log; Sync waits for the disc. A file of that name goes.
func (d *Disk) AppendFile(name string) (interface {
	io.WriteCloser
	Sync() error
}, error) {
	if err := SideName(name); err != nil {
		return nil, err
	}
	if d.closed.Load() {
		return nil, errClosed()
	}
	f, err := d.fs.Append("append to file", sidePrefix+name+sideSuffix, true)
	if err != nil {
		return nil, ioError("append to file", name, err)
	}
	if err := d.fs.SyncDir("append to file"); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return appended{f, name}, nil
}

type appended struct {
	f    File
	name string
}

func (a appended) Write(p []byte) (int, error) {
	n, err := a.f.Write("append to file", p)
	return n, ioError("append to", a.name, err)
}

// Sync returns when what was written is on the disc.
func (a appended) Sync() error { return ioError("append to", a.name, a.f.Sync("append to file")) }

func (a appended) Close() error { return a.f.Close() }

// KeyID gives bytes that are the same for two keys exactly when they are one key of a table of that type.
func KeyID(typ Type, key term.Term) []byte { return imageKey(typ, key) }
