package door

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"netsplit/kit"
)

// Desk serves the lines of one connection, whatever carries them: requests of one client in order, those of
// different clients concurrently. Every request gets exactly one answer, also when it is refused.
type Desk struct {
	handler Handler
	reply   func(line []byte) // called from any goroutine, one call at a time; must not call the desk
	ctx     context.Context
	cancel  context.CancelFunc
	work    sync.WaitGroup // the goroutines of seats

	out   sync.Mutex // serialises reply
	mu    sync.Mutex
	seats map[string]*seat
	shut  bool
}

// seat is one client's place: its queue and the goroutine that works it off. The goroutine stays until the client leaves: requests
// need a deep stack, and one that has grown once is a good part of what a request costs a simulated node.
type seat struct {
	session *Session
	end     func()
	queue   []job
	work    chan struct{}      // holds one token while there may be something in the queue, or the client has left
	current uint64             // ID of the request being served
	stop    context.CancelFunc // cancels the request being served
	leaving bool               // the client has gone; the queue is dropped
}

type job struct {
	req Request
	bad error // answered instead of served
}

// NewDesk makes a desk; it lives until Close or the end of ctx, but only Close waits for its handlers.
func NewDesk(ctx context.Context, h Handler, reply func(line []byte)) *Desk {
	d := &Desk{handler: h, reply: reply, seats: map[string]*seat{}}
	d.ctx, d.cancel = context.WithCancel(ctx)
	return d
}

// Line takes one line from the clients and returns at once. A line that cannot be read is answered with an
// error under whatever ID it had.
func (d *Desk) Line(line []byte) {
	o, err := DecodeOrder(line)
	switch {
	case err == nil && o.Gone:
		d.Gone(o.Client)
	case err == nil && o.Cancel != 0:
		d.cancelRequest(o.Client, o.Cancel)
	default:
		if err := d.enqueue(o.Client, job{req: o.Request, bad: err}); err != nil {
			d.answer(o.ID, FromError(err))
		}
	}
}

// enqueue puts a job into its client's queue; a new client gets a seat.
func (d *Desk) enqueue(client string, j job) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.shut {
		return &kit.Error{Op: "serve", What: j.req.Verb, Kind: kit.Unavailable, Err: errors.New("the node is stopping")}
	}
	s := d.seats[client]
	if s == nil {
		if len(d.seats) >= MaxClients {
			return overloaded("one connection speaks for at most %d clients", MaxClients)
		}
		s = &seat{work: make(chan struct{}, 1)}
		s.session, s.end = NewSession(d.ctx, client)
		d.seats[client] = s
		d.work.Go(func() { d.run(s) })
	}
	if len(s.queue) >= MaxWaiting {
		return overloaded("client %s has %d requests waiting", client, MaxWaiting)
	}
	s.queue = append(s.queue, j)
	s.wake()
	return nil
}

// wake tells the seat's goroutine to look; the desk is locked.
func (s *seat) wake() {
	select {
	case s.work <- struct{}{}:
	default:
	}
}

func overloaded(format string, args ...any) error {
	return &kit.Error{Op: "queue request", Kind: kit.Overloaded, Err: fmt.Errorf(format, args...), Hint: "wait for answers first"}
}

// run works off a seat's queue until its client has left, and ends the session then.
func (d *Desk) run(s *seat) {
	defer s.end()
	for {
		d.mu.Lock()
		if s.leaving {
			d.mu.Unlock()
			return
		}
		if len(s.queue) == 0 {
			d.mu.Unlock()
			<-s.work
			continue
		}
		j := s.queue[0]
		s.queue = s.queue[1:]
		ctx, stop := context.WithCancel(s.session.ctx)
		s.current, s.stop = j.req.ID, stop
		d.mu.Unlock()

		var out Outcome
		if j.bad != nil {
			out = FromError(j.bad)
		} else {
			out = d.handler(ctx, j.req)
		}
		stop()
		d.mu.Lock()
		s.current, s.stop = 0, nil
		d.mu.Unlock()
		d.answer(j.req.ID, out)
	}
}

// cancelRequest cancels a request: the running one through its context, a waiting one by answering it.
func (d *Desk) cancelRequest(client string, id uint64) {
	d.mu.Lock()
	s := d.seats[client]
	if s == nil {
		d.mu.Unlock()
		return
	}
	if s.stop != nil && s.current == id {
		s.stop()
	}
	for i := range s.queue {
		if s.queue[i].req.ID == id {
			s.queue[i].bad = &kit.Error{Op: "serve", What: s.queue[i].req.Verb, Kind: kit.Unavailable, Err: context.Canceled}
		}
	}
	d.mu.Unlock()
}

// Gone ends a client's session: its request's context is cancelled, what waits is dropped unanswered. A
// client of the same name that comes later gets a session of its own.
func (d *Desk) Gone(client string) {
	d.mu.Lock()
	s := d.seats[client]
	if s == nil {
		d.mu.Unlock()
		return
	}
	d.leave(client, s)
	d.mu.Unlock()
}

// leave takes a client's seat away; its goroutine ends the session. The desk is locked.
func (d *Desk) leave(client string, s *seat) {
	delete(d.seats, client)
	s.leaving, s.queue = true, nil
	if s.stop != nil {
		s.stop()
	}
	s.wake()
}

// Close ends all sessions and returns when every handler has.
func (d *Desk) Close() {
	d.mu.Lock()
	d.shut = true
	for client, s := range d.seats {
		d.leave(client, s)
	}
	d.mu.Unlock()
	d.cancel()
	d.work.Wait()
}

func (d *Desk) answer(id uint64, out Outcome) {
	line := EncodeAnswer(Answer{ID: id, Outcome: out})
	d.out.Lock()
	defer d.out.Unlock()
	d.reply(line)
}
