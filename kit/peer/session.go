package peer

import (
	"context"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"netsplit/kit"
	"netsplit/kit/wire"
)

// session is one connection of a link while it is up. It has two goroutines: one reads, one ticks.
type session struct {
	conn   wire.Conn
	number uint64
	hidden bool // one of the two ends is a hidden node
	trip   time.Duration
	ended  chan struct{} // closed by end

	heard  atomic.Bool // something came since the last look
	busy   atomic.Bool // the reader is not reading: it waits until somebody takes what came
	once   sync.Once
	why    string                 // set before ended is closed
	parts  atomic.Pointer[string] // why this end leaves, once it says goodbye
	joined sync.WaitGroup
}

// end closes the connection; the first reason counts.
func (s *session) end(reason string) {
	s.once.Do(func() {
		if own := s.parts.Load(); own != nil {
			reason = *own // the peer may close on our goodbye before we do
		}
		s.why = reason
		_ = s.conn.Close()
		close(s.ended)
	})
}

// over reports whether end was called.
func (s *session) over() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// reason may be asked after ended is closed.
func (s *session) reason() string {
	<-s.ended
	return s.why
}

func (s *session) bye(kind byte) {
	_ = s.conn.Send([]byte{controlChannel, controlBye, kind}) // if it is lost, the peer sees the close
}

// leave says goodbye and ends the session.
func (s *session) leave(kind byte, reason string) {
	s.parts.Store(&reason)
	s.bye(kind)
	s.end(reason)
}

// begin makes a confirmed connection the link's session.
func (l *link) begin(r attempted) {
	l.last, l.incarnation = r.session, r.incarnation
	l.hiddenPeer = r.hidden
	l.disconnected, l.auto = false, l.connects()
	s := &session{conn: r.conn, number: r.session, hidden: r.hidden || l.mesh.cfg.Hidden, trip: r.trip, ended: make(chan struct{})}
	s.busy.Store(true) // until it reads
	l.state(true, s, "")
	l.current.Store(s)
	l.mesh.setUp(l.peer, true, s.hidden)
	s.joined.Go(func() { l.beat(s) })
	l.mesh.emit(Event{Kind: Up, Node: l.peer, Session: s.number, Hidden: s.hidden}, nil)
	s.joined.Go(func() { l.read(s) })
	l.tell(nil)
	if !s.hidden {
		l.mesh.gossip.linkUp(l.peer)
	}
}

// down ends the session and tells so, after the last of its frames.
func (l *link) down(reason string) {
	s := l.current.Swap(nil)
	l.mesh.setUp(l.peer, false, s.hidden)
	s.end(reason)
	s.joined.Wait()
	l.state(false, s, reason)
	l.downSince = time.Now()
	if reason == ReasonDisconnected {
		l.disconnected = true
	}
	l.mesh.emit(Event{Kind: Down, Node: l.peer, Session: s.number, Hidden: s.hidden, Reason: reason}, nil)
	// The smaller name calls first, so that calls seldom cross.
	if l.mesh.cfg.Self < l.peer {
		l.retryIn(0)
	} else {
		l.retryIn(l.mesh.cfg.Retry / 2)
	}
}

func (l *link) state(up bool, s *session, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.info.Up, l.info.Session, l.info.Hidden, l.info.Reason, l.info.Since = up, s.number, s.hidden, reason, time.Now()
}

// shutdown ends everything of the link when the mesh stops.
func (l *link) shutdown() {
	l.dropCall()
	l.dropReply()
	l.unpark(refusedDisconnected)
	for len(l.offers) > 0 {
		in := <-l.offers
		_ = in.conn.Close()
	}
	if s := l.current.Swap(nil); s != nil {
		s.leave(byeStop, ReasonStopped)
		s.joined.Wait()
		l.state(false, s, ReasonStopped)
	}
	l.mesh.setUp(l.peer, false, false)
}

// beat ticks, and counts the ticks in which nothing came. It counts rather than measures, so that a process that was
// paused or starved does not take its own silence for the peer's.
func (l *link) beat(s *session) {
	t := time.NewTicker(l.mesh.cfg.Tick)
	defer t.Stop()
	// The peer's first tick may come a round trip later, which the greeting has measured.
	missed := -int(s.trip / l.mesh.cfg.Tick)
	for {
		_ = s.conn.Send(tickFrame) // if the connection broke, the reader sees it
		select {
		case <-s.ended:
			return
		case <-t.C:
		}
		if s.heard.Swap(false) || s.busy.Load() {
			missed = 0
		} else if missed++; missed >= l.mesh.cfg.Missed {
			s.end(ReasonSilent)
			return
		}
	}
}

// read takes frames until the session ends.
func (l *link) read(s *session) {
	s.busy.Store(false)
	if g, ok := s.conn.(wire.GatheringConn); ok && l.mesh.cfg.Handle != nil { // which never waits
		g.Gather()
	}
	for {
		b, err := s.conn.Recv()
		switch {
		case kit.KindOf(err) == kit.Corrupt || err == nil && len(b) == 0:
			s.end(ReasonGarbage)
			return
		case err != nil:
			s.end(ReasonClosed)
			return
		}
		s.heard.Store(true)
		s.busy.Store(true)
		switch {
		case b[0] == controlChannel:
			l.control(s, b[1:])
		case b[0] == gossipChannel:
			l.mesh.gossip.packet(l.peer, b[1:])
		default:
			l.mesh.emit(Event{Kind: Frame, Node: l.peer, Channel: b[0], Frame: b[1:], Session: s.number, Hidden: s.hidden}, s.ended)
		}
		s.busy.Store(false)
	}
}

// control takes a frame of the mesh itself. Unknown ones are skipped, for nodes of a later version.
func (l *link) control(s *session, b []byte) {
	switch {
	case len(b) == 9 && b[0] == controlPing:
		pong := append([]byte{controlChannel, controlPong}, b[1:]...)
		_ = s.conn.Send(pong)
	case len(b) == 9 && b[0] == controlPong:
		l.ponged(binary.BigEndian.Uint64(b[1:]))
	case len(b) == 2 && b[0] == controlBye && b[1] == byeDisconnect:
		s.end(ReasonDisconnected)
	case len(b) == 2 && b[0] == controlBye:
		s.end(ReasonStopped)
	}
}

// ping measures one round trip on the session that is up.
func (l *link) ping(ctx context.Context) (time.Duration, error) {
	lost := func(err error) (time.Duration, error) {
		return 0, &kit.Error{Op: "ping", Kind: kit.Unavailable, What: string(l.peer), Err: err}
	}
	s := l.current.Load()
	if s == nil {
		return lost(nil)
	}
	back := make(chan struct{})
	l.mu.Lock()
	l.pinged++
	id := l.pinged
	l.pings[id] = back
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.pings, id)
		l.mu.Unlock()
	}()
	start := time.Now()
	if err := s.conn.Send(binary.BigEndian.AppendUint64([]byte{controlChannel, controlPing}, id)); err != nil {
		return 0, err
	}
	select {
	case <-back:
		return time.Since(start), nil
	case <-s.ended:
		return lost(nil)
	case <-ctx.Done():
		return lost(ctx.Err())
	}
}

func (l *link) ponged(id uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if back := l.pings[id]; back != nil {
		close(back)
		delete(l.pings, id)
	}
}
