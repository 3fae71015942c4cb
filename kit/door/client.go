package door

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"netsplit/kit"
)

// DialFunc opens a connection to a node's door.
type DialFunc func(ctx context.Context) (net.Conn, error)

// Client asks a node. It opens its connection at the first call, and after a break again at the next call,
// never by itself; a call that was under way when the connection broke is Lost, since it may have happened.
// Safe for concurrent use: calls are sent in the order of Call's start and answered in any order.
type Client struct {
	dial DialFunc

	mu     sync.Mutex
	link   *link // nil when there is no connection
	nextID uint64
	closed bool
	work   sync.WaitGroup
}

// link is one connection and the calls waiting on it.
type link struct {
	conn    net.Conn
	mu      sync.Mutex // guards waiting and broken
	waiting map[uint64]chan Outcome
	broken  bool
	write   chan struct{} // holds one token while somebody writes
}

// NewClient makes a client that connects with dial when it is first needed.
func NewClient(dial DialFunc) *Client { return &Client{dial: dial} }

// DialUnix gives the dial function for a unix socket.
func DialUnix(path string) DialFunc {
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
}

// Call sends one request and waits for its outcome. When no connection can be made the outcome is Down; when
// ctx ends first the request is cancelled at the node and the outcome is Lost.
func (c *Client) Call(ctx context.Context, req Request) Outcome {
	if err := context.Cause(ctx); err != nil {
		return FromError(&kit.Error{Op: "call", What: req.Verb, Kind: kit.Unavailable, Err: err})
	}
	l, id, err := c.connect(ctx)
	if err != nil {
		return NotRunning(err.Error())
	}
	req.ID = id
	line, err := EncodeRequest(req)
	if err != nil {
		return FromError(err)
	}
	answer := make(chan Outcome, 1)
	if !l.expect(id, answer) {
		return NotRunning("the connection broke")
	}
	if err := l.send(ctx, line); err != nil {
		l.fail(err)
	}
	select {
	case out := <-answer:
		return out
	case <-ctx.Done():
		if l.forget(id) {
			c.cancelRequest(l, req)
		}
		return LostAnswer(context.Cause(ctx).Error())
	}
}

// Leave ends a client's session at the node, as if its process had died, but keeps the connection.
func (c *Client) Leave(client string) {
	c.mu.Lock()
	l := c.link
	c.mu.Unlock()
	if l == nil {
		return // the sessions ended with the connection
	}
	if line, err := EncodeOrder(Order{Request: Request{Client: client}, Gone: true}); err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = l.send(ctx, line) // a broken connection ends the session as well
	}
}

// Close ends the connection and with it the sessions; calls under way are Lost.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	l := c.link
	c.link = nil
	c.mu.Unlock()
	if l != nil {
		l.fail(net.ErrClosed)
	}
	c.work.Wait()
	return nil
}

// connect gives the open connection, or makes one, and a fresh request ID.
func (c *Client) connect(ctx context.Context) (*link, uint64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, 0, &kit.Error{Op: "call", Kind: kit.Unavailable, Err: errors.New("the client is closed")}
	}
	if c.link != nil && c.link.isBroken() {
		c.link = nil
	}
	if c.link == nil {
		conn, err := c.dial(ctx)
		if err != nil {
			return nil, 0, err
		}
		l := &link{conn: conn, waiting: map[uint64]chan Outcome{}, write: make(chan struct{}, 1)}
		c.link = l
		c.work.Go(l.read)
	}
	c.nextID++
	return c.link, c.nextID, nil
}

// cancelRequest tells the node that nobody waits for the request any more.
func (c *Client) cancelRequest(l *link, req Request) {
	line, err := EncodeOrder(Order{Request: Request{Client: req.Client}, Cancel: req.ID})
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := l.send(ctx, line); err != nil {
		l.fail(err)
	}
}

func (l *link) isBroken() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken
}

// expect registers a call; false when the connection is broken already.
func (l *link) expect(id uint64, answer chan Outcome) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken {
		return false
	}
	l.waiting[id] = answer
	return true
}

// forget drops a call; false when it was answered meanwhile.
func (l *link) forget(id uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.waiting[id]
	delete(l.waiting, id)
	return ok
}

// send writes one line. A node that does not read (it is paused) fills the socket: then ctx ends the write
// and the connection is of no more use, because half a line may have left.
func (l *link) send(ctx context.Context, line []byte) error {
	select {
	case l.write <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-l.write }()
	late := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		l.conn.SetWriteDeadline(time.Unix(1, 0))
		close(late)
	})
	_, err := l.conn.Write(append(line, '\n'))
	if !stop() {
		<-late
		l.conn.SetWriteDeadline(time.Time{}) // the line left in time: the next one must not meet the deadline
	}
	return err
}

// read hands answers to their calls until the connection ends.
func (l *link) read() {
	lines := newLineReader(l.conn)
	for {
		line, err := lines.next()
		if err != nil {
			l.fail(err)
			return
		}
		a, err := DecodeAnswer(line)
		if err != nil {
			l.fail(err)
			return
		}
		l.mu.Lock()
		answer := l.waiting[a.ID]
		delete(l.waiting, a.ID)
		l.mu.Unlock()
		if answer != nil {
			answer <- a.Outcome
		}
	}
}

// fail breaks the connection: every waiting call is Lost.
func (l *link) fail(err error) {
	l.conn.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = true
	for id, answer := range l.waiting {
		answer <- LostAnswer(err.Error())
		delete(l.waiting, id)
	}
}
