//go:build unix

package sim

import "syscall"

// reserve takes address space that costs memory only where it is touched, so that a guest can grow without
// being copied. Without room it gives nil, and memory is grown by copying.
func reserve(size uint64) ([]byte, func([]byte)) {
	b, err := syscall.Mmap(-1, 0, int(size), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return nil, nil
	}
	return b, func(b []byte) { _ = syscall.Munmap(b) } // of a range that Mmap gave; it cannot be wrong
}
