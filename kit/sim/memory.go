package sim

import "github.com/tetratelabs/wazero/experimental"

// limitedMemory gives a guest its memory up to a limit, and remembers when it asked for more.
type limitedMemory struct {
	limit  uint64
	buf    []byte // reserved whole where the system does that lazily, grown by copying elsewhere
	free   func([]byte)
	full   *bool
	peak   *uint64
	copied bool
}

// memoryFor makes the allocator of one guest. full is set when the limit was hit, peak follows the size.
func memoryFor(limit uint64, full *bool, peak *uint64) experimental.MemoryAllocator {
	return experimental.MemoryAllocatorFunc(func(_, _ uint64) experimental.LinearMemory {
		m := &limitedMemory{limit: limit, full: full, peak: peak}
		m.buf, m.free = reserve(limit)
		m.copied = m.buf == nil
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
	if !m.copied {
		return m.buf[:size]
	}
	if size > uint64(cap(m.buf)) {
		grown := make([]byte, size, min(m.limit, size+size/4))
		copy(grown, m.buf)
		m.buf = grown
	}
	m.buf = m.buf[:size]
	return m.buf
}

// Free gives the memory back.
func (m *limitedMemory) Free() {
	if m.free != nil {
		m.free(m.buf)
	}
	m.buf, m.free, m.copied, m.limit = nil, nil, true, 0
}
