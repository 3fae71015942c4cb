//go:build !linux && !wasip1

package wire

import (
	"net"
	"syscall"
)

func tune(*net.TCPConn, syscall.RawConn) {}
