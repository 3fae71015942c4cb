//go:build !unix && !wasip1

package wire

import (
	"io"
	"strings"
	"syscall"
)

const canWriteDirectly = false

// directWrite has no portable form; senders leave all writing to the connection's goroutine.
type directWrite struct{}

func (directWrite) write(syscall.RawConn, []byte) (int, error) { return 0, io.ErrNoProgress }

func addrInUse(err error) bool {
	return strings.Contains(err.Error(), "one usage of each socket address")
}
