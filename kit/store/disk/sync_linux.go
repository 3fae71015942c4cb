package disk

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncData waits until the file's bytes are on the disc. Its times may still be in memory, which nobody needs.
func syncData(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); err != unix.EINTR {
			return err
		}
	}
}
