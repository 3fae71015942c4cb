package sim

import (
	"sync"

	"github.com/tetratelabs/wazero/experimental"
)

// Bounds of what memories keeps: pieces of memory, and the bytes that each may have been used for.
const (
	maxSpare  = 12
	spareSize = 16 << 20
)

// memories keeps the memory of guests that have ended for the next ones: to clear it is cheaper than to have the system
// hand out every page anew. It is safe for concurrent use; its zero value is ready.
type memories struct {
	mu    sync.Mutex
	spare []reserved
}

// reserved is a piece of address space, of which the first dirty bytes may be other than zero.
type reserved struct {
	buf   []byte
	free  func([]byte)
	dirty int
}

// take gives memory that can grow to limit, with an image at its beginning and zeros behind it; its buf is nil where the
// system has no address space to reserve.
func (s *memories) take(limit uint64, image []byte) reserved {
	r := s.reuse(limit)
	if r.buf == nil {
		r.buf, r.free = reserve(limit)
	}
	if uint64(len(image)) <= uint64(len(r.buf)) {
		n := copy(r.buf, image)
		clear(r.buf[n:max(n, r.dirty)])
		r.dirty = n
	}
	return r
}

func (s *memories) reuse(limit uint64) reserved {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, r := range s.spare {
		if uint64(len(r.buf)) == limit {
			last := len(s.spare) - 1
			s.spare[i], s.spare[last] = s.spare[last], reserved{}
			s.spare = s.spare[:last]
			return r
		}
	}
	return reserved{}
}

// give takes memory back.
func (s *memories) give(r reserved) {
	s.mu.Lock()
	keep := r.dirty <= spareSize && len(s.spare) < maxSpare
	if keep {
		s.spare = append(s.spare, r)
	}
	s.mu.Unlock()
	if !keep {
		r.free(r.buf)
	}
}

// empty gives everything back to the system.
func (s *memories) empty() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.spare {
		r.free(r.buf)
	}
	s.spare = nil
}

// limitedMemory gives a guest its memory up to a limit, and remembers when it asked for more.
type limitedMemory struct {
	from  *memories
	limit uint64
	whole reserved // reserved at once where the system does that lazily
	buf   []byte   // grown by copying elsewhere
	image []byte   // what is to be copied to its beginning
	full  *bool
	peak  *uint64
}

// allocator makes the memory of one guest, which begins with an image. full is set when the limit was hit, peak follows the
// size.
func (s *memories) allocator(limit uint64, image []byte, full *bool, peak *uint64) experimental.MemoryAllocator {
	return experimental.MemoryAllocatorFunc(func(_, _ uint64) experimental.LinearMemory {
		m := &limitedMemory{from: s, limit: limit, whole: s.take(limit, image), full: full, peak: peak}
		if m.whole.buf == nil {
			m.image = image
		}
		return m
	})
}

// Reallocate gives size bytes with the old content; nil when that is too much.
func (m *limitedMemory) Reallocate(size uint64) []byte {
	if size > m.limit {
		*m.full = true
		return nil
	}
	*m.peak = max(*m.peak, size)
	if m.whole.buf != nil {
		m.whole.dirty = max(m.whole.dirty, int(size))
		return m.whole.buf[:size]
	}
	if size > uint64(cap(m.buf)) {
		grown := make([]byte, size, min(m.limit, size+size/4))
		copy(grown, m.buf)
		m.buf = grown
	}
	m.buf = m.buf[:size]
	copy(m.buf, m.image) // the first time only
	m.image = nil
	return m.buf
}

// Free gives the memory back.
func (m *limitedMemory) Free() {
	if m.whole.buf != nil {
		m.from.give(m.whole)
	}
	m.whole, m.buf, m.limit = reserved{}, nil, 0
}
