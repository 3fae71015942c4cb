package peer

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"netsplit/kit"
	"netsplit/kit/wire"
)

const (
	// maxOrders and maxOffers bound what waits for a link's goroutine.
	maxOrders = 64
	maxOffers = 8
	// slowRetry is how often a link is tried that has been lost for long.
	slowRetry = time.Second
	// absentRetry is how often it is tried where for long no node has listened: one that starts calls by itself.
	absentRetry = 5 * time.Second
	// refusedRetry spaces tries that were refused: a wrong cookie does not mend itself.
	refusedRetry = 2 * time.Second
)

// order is something that the rest of the program wants of a link.
type order struct {
	kind  orderKind
	addr  string
	reply chan error // buffered; for orderConnect
}

type orderKind int

const (
	orderAddr       orderKind = iota // the peer's address is this
	orderRetry                       // try now, if at all
	orderConnect                     // connect, and tell
	orderDisconnect                  // disconnect, and stay so
)

// incoming is a connection whose dialler wants a link.
type incoming struct {
	conn  wire.Conn
	hello hello
}

// attempt is a call of ours, or the answer to one of the peer's, in its own goroutine until it sends its result.
type attempt struct {
	cancel context.CancelFunc
	addr   string // called
	asked  bool
	result chan attempted // not buffered: nobody takes the result of a cancelled attempt
}

type attempted struct {
	conn        wire.Conn
	session     uint64
	incarnation uint64
	hidden      bool          // the peer is a hidden node
	trip        time.Duration // one round trip, as the greeting took it
	err         error
}

// link is what one node does about one peer. Its goroutine, run, owns the fields of the second group and is the
// only one that emits Up and Down.
type link struct {
	mesh    *Mesh
	peer    kit.NodeName
	orders  chan order
	offers  chan incoming
	current atomic.Pointer[session] // the session that is up

	addr         string
	auto         bool // connect by ourselves
	disconnected bool
	hiddenPeer   bool   // the peer is a hidden node, as it last told
	last         uint64 // last session known
	incarnation  uint64 // the peer's, as it last told
	call         *attempt
	reply        *attempt // to the peer's call
	parked       *incoming
	waiters      []chan error
	retry        *time.Timer
	downSince    time.Time
	rng          *rand.Rand

	mu     sync.Mutex
	info   Link
	pings  map[uint64]chan struct{}
	pinged uint64
}

func newLink(m *Mesh, peer kit.NodeName) *link {
	l := &link{
		mesh: m, peer: peer, orders: make(chan order, maxOrders), offers: make(chan incoming, maxOffers),
		auto: !m.cfg.Manual, info: Link{Node: peer}, pings: map[uint64]chan struct{}{},
	}
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], m.cfg.Seed)
	copy(seed[8:], peer)
	l.rng = rand.New(rand.NewChaCha8(seed))
	return l
}

// order hands an order over; false when too many wait.
func (l *link) order(o order) bool {
	select {
	case l.orders <- o:
		return true
	default:
		return false
	}
}

func (l *link) offer(in incoming) bool {
	select {
	case l.offers <- in:
		return true
	default:
		return false
	}
}

func (l *link) describe() Link {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.info
}

func (l *link) run() {
	l.retry = time.NewTimer(0)
	l.downSince = time.Now()
	defer l.retry.Stop()
	defer l.shutdown()
	for {
		var called, replied chan attempted
		if l.call != nil {
			called = l.call.result
		}
		if l.reply != nil {
			replied = l.reply.result
		}
		var lost chan struct{}
		if s := l.current.Load(); s != nil {
			lost = s.ended
		}
		select {
		case <-l.mesh.ctx.Done():
			return
		case o := <-l.orders:
			l.obey(o)
		case in := <-l.offers:
			l.incoming(in)
		case r := <-called:
			l.called(r)
		case r := <-replied:
			l.replied(r)
		case <-lost:
			l.down(l.current.Load().reason())
		case <-l.retry.C:
			l.timeout()
		}
	}
}

// timeout tries again, or gives our own call up for the peer's that waits for it.
func (l *link) timeout() {
	if p := l.parked; p != nil {
		l.parked = nil
		l.take(*p)
		return
	}
	l.tryCall()
}

// obey carries out an order.
func (l *link) obey(o order) {
	switch o.kind {
	case orderAddr:
		if o.addr != l.addr {
			l.setAddr(o.addr)
			l.tryCall()
		}
	case orderRetry:
		l.tryCall()
	case orderConnect:
		if s := l.current.Load(); s != nil && s.over() {
			l.down(s.reason()) // first, or it would forget that somebody asked
		}
		l.disconnected, l.auto = false, l.connects()
		if l.current.Load() != nil {
			o.reply <- nil
			return
		}
		l.waiters = append(l.waiters, o.reply)
		if l.call != nil && !l.call.asked {
			l.dropCall() // this one would be refused after a Disconnect
		}
		l.tryCall()
	case orderDisconnect:
		l.disconnected = true
		l.dropCall()
		l.dropReply()
		l.unpark(refusedDisconnected)
		l.tell(&kit.Error{Op: "connect to", Kind: kit.Unavailable, What: string(l.peer), Hint: "it was disconnected meanwhile"})
		if s := l.current.Load(); s != nil {
			s.leave(byeDisconnect, ReasonDisconnected)
		}
	}
}

// connects tells whether this end connects by itself. A hidden node comes and goes as it likes; nobody looks for it.
func (l *link) connects() bool { return !l.mesh.cfg.Manual && !l.hiddenPeer }

func (l *link) setAddr(addr string) {
	l.addr = addr
	l.mu.Lock()
	l.info.Addr = addr
	l.mu.Unlock()
}

// tryCall begins a call if one is wanted and nothing is under way.
func (l *link) tryCall() {
	asked := len(l.waiters) > 0
	switch {
	case l.current.Load() != nil, l.call != nil, l.reply != nil:
		return
	case l.addr == "":
		l.tell(&kit.Error{Op: "connect to", Kind: kit.Unavailable, What: string(l.peer), Hint: "its address is not known"})
		return
	case !asked && (!l.auto || l.disconnected):
		return
	}
	h := hello{Purpose: purposeLink, Incarnation: l.mesh.cfg.Incarnation, Session: l.last, Addr: l.mesh.cfg.Advertise, Asked: asked, Hidden: l.mesh.cfg.Hidden}
	to := wire.Peer{Node: l.peer, Addr: l.addr}
	l.call = l.attempt(func(ctx context.Context) attempted {
		c, a, trip, err := call(ctx, l.mesh.cfg.Network, to, h)
		return attempted{c, a.Session, a.Incarnation, a.Hidden, trip, err}
	})
	l.call.addr, l.call.asked = l.addr, asked
}

// attempt runs f in a goroutine that ends with the attempt.
func (l *link) attempt(f func(context.Context) attempted) *attempt {
	ctx, cancel := context.WithTimeout(l.mesh.ctx, l.mesh.cfg.DialTimeout)
	a := &attempt{cancel: cancel, result: make(chan attempted)}
	taken, drop := context.WithCancel(l.mesh.ctx)
	a.cancel = func() { cancel(); drop() }
	l.mesh.tasks.Go(func() {
		defer cancel()
		r := f(ctx)
		select {
		case a.result <- r:
		case <-taken.Done():
			if r.conn != nil {
				_ = r.conn.Close()
			}
		}
	})
	return a
}

// incoming decides about a hello.
func (l *link) incoming(in incoming) {
	s := situation{
		self: l.mesh.cfg.Self, peer: l.peer, up: l.current.Load() != nil, session: l.last, incarnation: l.incarnation,
		disconnected: l.disconnected, calling: l.call != nil,
	}
	if l.call != nil {
		s.calledAddr = l.call.addr
	}
	if in.hello.Addr != "" && in.hello.Incarnation >= l.incarnation {
		l.setAddr(in.hello.Addr)
	}
	switch d, why := judge(s, in.hello); d {
	case refuse:
		l.refuse(in, why)
	case park:
		l.unpark(refusedStale)
		l.parked = &in
		// A call that is not through long after the peer's got through is not going to be.
		l.retryIn(min(max(l.mesh.cfg.Retry, 2*in.hello.Took), l.mesh.cfg.DialTimeout/2))
	case take:
		l.take(in)
	}
}

func (l *link) refuse(in incoming, why string) {
	_ = sendJSON(in.conn, answer{Refused: why}) // the dialler may be gone
	_ = in.conn.Close()
}

// unpark refuses the parked call, if there is one.
func (l *link) unpark(why string) {
	if l.parked != nil {
		l.refuse(*l.parked, why)
		l.parked = nil
	}
}

// take answers a call with yes; what was under way is given up for it.
func (l *link) take(in incoming) {
	if s := l.current.Load(); s != nil {
		s.end(ReasonReplaced)
		l.down(s.reason())
	}
	l.dropCall()
	l.dropReply()
	// Known from now on, so that if this call crossed ours after all, the next two that cross are not both given up.
	l.incarnation, l.disconnected = in.hello.Incarnation, false
	l.hiddenPeer = in.hello.Hidden
	l.auto = l.connects()
	l.last = max(l.last, in.hello.Session) + 1
	a := answer{Session: l.last, Incarnation: l.mesh.cfg.Incarnation, Hidden: l.mesh.cfg.Hidden}
	l.reply = l.attempt(func(ctx context.Context) attempted {
		start := time.Now()
		err := awaitConfirm(ctx, in.conn, a)
		if err != nil {
			_ = in.conn.Close()
			return attempted{err: err}
		}
		return attempted{in.conn, a.Session, in.hello.Incarnation, in.hello.Hidden, time.Since(start), nil}
	})
}

func (l *link) dropCall() {
	if l.call != nil {
		l.call.cancel()
		l.call = nil
	}
}

func (l *link) dropReply() {
	if l.reply != nil {
		l.reply.cancel()
		l.reply = nil
	}
}

// called takes the result of our call.
func (l *link) called(r attempted) {
	l.dropCall()
	if r.err == nil {
		if r.err = r.conn.Send(confirmFrame); r.err == nil {
			l.unpark(refusedCrossed)
			l.begin(r)
			return
		}
		_ = r.conn.Close()
	}
	l.note(r.err)
	if errors.Is(r.err, errDisconnected) {
		l.disconnected = true
	}
	if p := l.parked; p != nil {
		l.parked = nil
		l.take(*p)
		return
	}
	l.tell(r.err)
	l.retryAfter(r.err)
}

// replied takes the result of the peer's call.
func (l *link) replied(r attempted) {
	l.dropReply()
	if r.err == nil {
		l.begin(r)
		return
	}
	l.tryCall()
	l.retryAfter(r.err)
}

// note keeps why the link is not up, for Links, and logs it when it changes.
func (l *link) note(err error) {
	text := err.Error()
	if hint := kit.HintOf(err); hint != "" {
		text += " (" + hint + ")"
	}
	l.mu.Lock()
	news := l.info.Reason != text
	l.info.Reason = text
	l.mu.Unlock()
	if news {
		l.mesh.cfg.Logf("%s", text)
	}
}

// tell answers those who wait in Connect.
func (l *link) tell(err error) {
	for _, w := range l.waiters {
		w <- err
	}
	l.waiters = nil
}

// retryAfter plans the next try.
func (l *link) retryAfter(err error) {
	d := l.mesh.cfg.Retry
	switch {
	case kit.KindOf(err) == kit.Refused:
		d = max(d, refusedRetry)
	case time.Since(l.downSince) <= l.mesh.cfg.SlowAfter:
	case errors.Is(err, wire.ErrNobody):
		d = max(d, absentRetry)
	default:
		d = max(d, slowRetry)
	}
	l.retryIn(d*3/4 + time.Duration(l.rng.Int64N(int64(d)/2+1)))
}

func (l *link) retryIn(d time.Duration) { l.retry.Reset(d) }
