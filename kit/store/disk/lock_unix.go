//go:build unix

package disk

import (
	"os"

	"golang.org/x/sys/unix"
)

// lockFile takes the file for this process; the system lets go when the process ends.
func lockFile(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) }
