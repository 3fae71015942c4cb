//go:build !linux && !wasip1

package disk

import "os"

// syncData waits until the file's bytes are on the disc.
func syncData(f *os.File) error { return f.Sync() }
