package simlink

import (
	"errors"
	"os"
	"sync"
	"syscall"

	"netsplit/kit"
)

var open = sync.OnceValues(func() (*Link, error) {
	// The descriptor is announced as non-blocking: the runtime parks its reader, and a node whose goroutines
	// are all parked hands control back to the host.
	return NewLink(port{os.NewFile(FD, "simlink")})
})

// Open gives the node's link to the simulator; every call gives the same one.
func Open() (*Link, error) { return open() }

type port struct{ file *os.File }

func (p port) Read(b []byte) (int, error) { return p.file.Read(b) }

// Write is a single call to the host, which judges the frame at once.
func (p port) Write(frame []byte) error {
	_, err := syscall.Write(FD, frame)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOBUFS):
		return &kit.Error{Op: "send", Kind: kit.Overloaded, Err: errors.New("the queue is full")}
	case errors.Is(err, syscall.ENOSPC):
		return &kit.Error{Op: "write", Kind: kit.Overloaded, Err: errors.New("the disc is full"), Hint: "make room on the disc, then try again"}
	case errors.Is(err, syscall.EPIPE):
		return &kit.Error{Op: "send", Kind: kit.Unavailable, Err: errors.New("the connection is closed")}
	}
	return &kit.Error{Op: "send", Kind: kit.Corrupt, Err: err}
}
