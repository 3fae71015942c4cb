package disk

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"maps"
	"slices"
	"sync"

	"netsplit/kit"
	"netsplit/kit/simlink"
)

// Link is the disc of a simulated node: the host keeps the files and decides what of them survives a crash,
// every change is a frame to it. A sync waits for the host's answer, which takes virtual time. Call it once for a
// link; its Options can be opened again after a Close.
func Link(l *simlink.Link) Options {
	d := &linkFS{link: l, files: maps.Clone(l.Files()), waits: map[uint64]chan error{}}
	l.Handle(simlink.Disk, d.done)
	return Options{open: func() (FS, imager, error) { return d, nil, nil }}
}

// linkFS keeps a copy of what the host has, to read from: the disc of a simulated node is small.
type linkFS struct {
	link *simlink.Link

	mu    sync.Mutex
	files map[string][]byte
	next  uint64
	waits map[uint64]chan error // closed by done, which has put one error into it
}

func (d *linkFS) done(f simlink.Frame) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c, ok := d.waits[f.ID]
	if !ok {
		return
	}
	delete(d.waits, f.ID)
	var err error
	if len(f.Data) > 0 {
		err = errors.New(string(f.Data))
	}
	c <- err
}

func (d *linkFS) sync(name string) error {
	d.mu.Lock()
	d.next++
	id, c := d.next, make(chan error, 1)
	d.waits[id] = c
	d.mu.Unlock()
	if err := d.link.Send(simlink.Frame{Kind: simlink.DiskSync, ID: id, Name: name}); err != nil {
		return err
	}
	select {
	case err := <-c:
		return err
	case <-d.link.Ended():
		return &kit.Error{Op: "sync", Kind: kit.Unknown, What: name, Err: io.ErrClosedPipe}
	}
}

func (d *linkFS) List(string) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.files)), nil
}

func (d *linkFS) Open(_, name string) (io.ReadCloser, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	data, ok := d.files[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(data)), nil
}

func (d *linkFS) Append(_, name string, fresh bool) (File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.files[name]; !ok || fresh {
		if err := d.link.Send(simlink.Frame{Kind: simlink.DiskReplace, Name: name}); err != nil {
			return nil, err
		}
		d.files[name] = nil
	}
	return &linkFile{d, name}, nil
}

func (d *linkFS) Truncate(_, name string, size int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	data, ok := d.files[name]
	if !ok {
		return fs.ErrNotExist
	}
	d.files[name] = data[:min(int(size), len(data))]
	return d.link.Send(simlink.Frame{Kind: simlink.DiskTruncate, Name: name, ID: uint64(size)})
}

func (d *linkFS) Rename(_, from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.files[from]; !ok {
		return fs.ErrNotExist
	}
	d.files[to] = d.files[from]
	delete(d.files, from)
	return d.link.Send(simlink.Frame{Kind: simlink.DiskRename, Name: from, Data: []byte(to)})
}

func (d *linkFS) Remove(_, name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.files[name]; !ok {
		return fs.ErrNotExist
	}
	delete(d.files, name)
	return d.link.Send(simlink.Frame{Kind: simlink.DiskRemove, Name: name})
}

func (d *linkFS) SyncDir(string) error { return d.sync("") }
func (d *linkFS) Close() error         { return nil }

type linkFile struct {
	d    *linkFS
	name string
}

// maxFrame is how much of a write goes into one frame.
const maxFrame = 8 << 20

func (f *linkFile) Write(_ string, p []byte) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	n := 0
	for part := range slices.Chunk(p, maxFrame) {
		if err := f.d.link.Send(simlink.Frame{Kind: simlink.DiskAppend, Name: f.name, Data: part}); err != nil {
			return n, err
		}
		f.d.files[f.name] = append(f.d.files[f.name], part...)
		n += len(part)
	}
	return n, nil
}

func (f *linkFile) Sync(string) error { return f.d.sync(f.name) }
func (f *linkFile) Close() error      { return nil }
