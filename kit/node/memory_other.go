//go:build !linux

package node

import "runtime"

// residentBytes is how much memory Go has from the system: near to what the process has in use, where the kernel
// cannot be asked simply.
func residentBytes() int64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.Sys - m.HeapReleased)
}
