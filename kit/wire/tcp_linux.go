package wire

import (
	"net"
	"syscall"
)

// tune chooses Reno for a connection within one machine. What a system has set for the internet, such as BBR, paces what is
// sent and slows down now and then to measure the path; on loopback that costs timers and stalls, and there is nothing to learn.
func tune(sock *net.TCPConn, raw syscall.RawConn) {
	if a, ok := sock.RemoteAddr().(*net.TCPAddr); ok && a.IP.IsLoopback() {
		_ = raw.Control(func(fd uintptr) { // it works without, too
			_ = syscall.SetsockoptString(int(fd), syscall.IPPROTO_TCP, syscall.TCP_CONGESTION, "reno")
		})
	}
}
