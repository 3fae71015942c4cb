package door

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"netsplit/kit"
)

// answerTime is how long a client may take to read an answer before it is given up: one that never reads
// must not hold the node's memory.
const answerTime = 30 * time.Second

// Server serves a handler on the connections of a listener. Who may connect is the listener's business: a
// unix socket that only its owner can open (Listen).
type Server struct {
	Handler Handler

	mu    sync.Mutex
	conns map[net.Conn]bool
}

// Serve accepts until ctx ends or the listener fails, then ends every session and returns when all of them
// have. It closes l. The error is nil when ctx ended.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	var work sync.WaitGroup
	inner, cancel := context.WithCancel(ctx)
	work.Go(func() {
		<-inner.Done()
		l.Close()
		s.closeAll()
	})
	var err error
	for {
		var conn net.Conn
		if conn, err = l.Accept(); err != nil {
			break
		}
		if !s.add(inner, conn) {
			conn.Close()
			continue
		}
		work.Go(func() {
			defer s.remove(conn)
			s.serveConn(inner, conn)
		})
	}
	stopped := ctx.Err() != nil
	cancel()
	work.Wait()
	if stopped {
		return nil
	}
	return &kit.Error{Op: "accept at the door", Kind: kit.Broken, Err: err}
}

// serveConn reads lines until the client goes.
func (s *Server) serveConn(ctx context.Context, conn net.Conn) {
	desk := NewDesk(ctx, s.Handler, func(line []byte) {
		conn.SetWriteDeadline(time.Now().Add(answerTime))
		if _, err := conn.Write(append(line, '\n')); err != nil {
			conn.Close() // the reader ends, and with it the sessions
		}
	})
	defer desk.Close()
	lines := newLineReader(conn)
	for {
		line, err := lines.next()
		if len(line) > 0 {
			desk.Line(line)
		}
		if err != nil {
			return
		}
	}
}

func (s *Server) add(ctx context.Context, conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		s.conns = map[net.Conn]bool{}
	}
	if len(s.conns) >= MaxConns || ctx.Err() != nil {
		return false
	}
	s.conns[conn] = true
	return true
}

func (s *Server) remove(conn net.Conn) {
	conn.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
}

func (s *Server) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn := range s.conns {
		conn.Close()
	}
}

// lineReader reads lines of at most MaxLine bytes, keeping no more memory between lines than a small buffer.
type lineReader struct{ r *bufio.Reader }

func newLineReader(r io.Reader) *lineReader { return &lineReader{bufio.NewReaderSize(r, 4096)} }

var errLongLine = errors.New("line too long")

// next gives the next line without its line feed, in memory of its own. At the end of the stream an
// unfinished line is dropped: its sender broke off.
func (l *lineReader) next() ([]byte, error) {
	var line []byte
	for {
		part, err := l.r.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
		line = append(line, part...)
		if len(line) > MaxLine+1 {
			return nil, errLongLine
		}
		if err == nil {
			return bytes.TrimRight(line, "\r\n"), nil
		}
	}
}
