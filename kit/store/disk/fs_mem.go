package disk

import (
	"bytes"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"

	"netsplit/kit"
)

// Memory is a disc in memory that can be crashed: it knows what was synced. It is for tests.
type Memory struct {
	mu    sync.Mutex
	files map[string]*memFile // as the running process sees them
	saved map[string]*memFile // the folder as it is after a crash; the files are shared
	room  int                 // bytes that may still be written; negative: no limit
	open  bool
	syncs int
}

type memFile struct {
	data  []byte // as the running process sees it
	saved []byte // after a crash
}

// NewMemory makes an empty disc in memory.
func NewMemory() *Memory {
	return &Memory{files: map[string]*memFile{}, saved: map[string]*memFile{}, room: -1}
}

// Options open this disc.
func (m *Memory) Options() Options {
	return Options{open: func() (FS, imager, error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.open {
			return nil, nil, &kit.Error{Op: "open disc", Kind: kit.Refused, What: "in memory"}
		}
		m.open = true
		return m, nil, nil
	}}
}

// Crash loses what was not synced, as a power failure does. With r, a random part of each file's un-synced
// tail survives, perhaps damaged; without, nothing of it does. Whoever had the disc open must not use it any more.
func (m *Memory) Crash(r *rand.Rand) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files = map[string]*memFile{}
	for _, name := range slices.Sorted(maps.Keys(m.saved)) {
		f := m.saved[name]
		left := slices.Clone(f.saved)
		if r != nil && len(f.data) > len(left) && bytes.HasPrefix(f.data, left) {
			tail := slices.Clone(f.data[len(left) : len(left)+r.IntN(len(f.data)-len(left)+1)])
			if len(tail) > 0 && r.IntN(2) == 0 {
				tail[r.IntN(len(tail))] ^= 0x40
			}
			left = append(left, tail...)
		}
		m.files[name] = &memFile{data: left, saved: slices.Clone(left)}
	}
	m.saved = maps.Clone(m.files)
	m.open = false
}

// SetRoom says how many bytes may still be written before the disc is full; negative: no limit.
func (m *Memory) SetRoom(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.room = n
}

// Syncs counts the syncs of files so far.
func (m *Memory) Syncs() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.syncs
}

// Edit changes a file's bytes behind the store's back, as damage does; nil removes the file.
func (m *Memory) Edit(name string, change func([]byte) []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.files[name]
	if f == nil {
		f = &memFile{}
	}
	data := change(slices.Clone(f.data))
	delete(m.files, name)
	delete(m.saved, name)
	if data != nil {
		n := &memFile{data: data, saved: slices.Clone(data)}
		m.files[name], m.saved[name] = n, n
	}
}

// List gives the names of all files, sorted.
func (m *Memory) List(string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.files)), nil
}

// Open reads a file.
func (m *Memory) Open(_, name string) (io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, ok := m.files[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return io.NopCloser(bytes.NewReader(f.data)), nil
}

// Append opens a file for writing at its end.
func (m *Memory) Append(_, name string, fresh bool) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.files[name]
	if f == nil {
		f = &memFile{}
		m.files[name] = f
	}
	if fresh {
		f.data = nil
	}
	return &memHandle{m, f}, nil
}

// Truncate cuts a file.
func (m *Memory) Truncate(_, name string, size int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, ok := m.files[name]
	if !ok {
		return fs.ErrNotExist
	}
	f.data = f.data[:min(int(size), len(f.data))]
	return nil
}

// Rename gives a file another name.
func (m *Memory) Rename(_, from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, ok := m.files[from]
	if !ok {
		return fs.ErrNotExist
	}
	m.files[to] = f
	delete(m.files, from)
	return nil
}

// Remove removes a file.
func (m *Memory) Remove(_, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.files[name]; !ok {
		return fs.ErrNotExist
	}
	delete(m.files, name)
	return nil
}

// SyncDir makes the names survive a crash.
func (m *Memory) SyncDir(string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.saved = maps.Clone(m.files)
	return nil
}

// Close lets others open the disc.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open = false
	return nil
}

type memHandle struct {
	m *Memory
	f *memFile
}

func (h *memHandle) Write(_ string, p []byte) (int, error) {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	n := len(p)
	if h.m.room >= 0 {
		n = min(n, h.m.room)
		h.m.room -= n
	}
	h.f.data = append(h.f.data, p[:n]...)
	if n < len(p) {
		return n, ErrFull
	}
	return n, nil
}

func (h *memHandle) Sync(string) error {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	h.f.saved = slices.Clone(h.f.data)
	h.m.syncs++
	return nil
}

func (h *memHandle) Close() error { return nil }
