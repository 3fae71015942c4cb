package node

import (
	"bytes"
	"os"
	"strconv"
)

// residentBytes is how much memory the process has in use, as the kernel counts it (VmRSS, see proc(5)); 0 when
// it cannot be known.
func residentBytes() int64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(b)
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
