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

// seat is one client's place: its queue and the goroutine that works it off while there is work.
type seat struct {
	session *Session
	end     func()
	queue   []job
	running bool
	current uint64             // ID of the request being served
	stop    context.CancelFunc // cancels the request being served
	leaving bool               // the client has gone; the queue is dropped and the seat is free once idle
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

// enqueue puts a job into its client's queue and starts a worker if none runs.
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
		s = &seat{}
		s.session, s.end = NewSession(d.ctx, client)
		d.seats[client] = s
	}
	if len(s.queue) >= MaxWaiting {
		return overloaded("client %s has %d requests waiting", client, MaxWaiting)
	}
	s.queue = append(s.queue, j)
	if !s.running {
		s.running = true
		d.work.Go(func() { d.run(client, s) })
	}
	return nil
}

func overloaded(format string, args ...any) error {
	return &kit.Error{Op: "queue request", Kind: kit.Overloaded, Err: fmt.Errorf(format, args...), Hint: "wait for answers first"}
}

// run works off a seat's queue and frees the seat when its client has left.
func (d *Desk) run(client string, s *seat) {
	for {
		d.mu.Lock()
		if s.leaving || len(s.queue) == 0 {
			s.running = false
			leaving := s.leaving
			d.mu.Unlock()
			if leaving {
				s.end()
			}
			return
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
	end := d.leave(client, s)
	d.mu.Unlock()
	if end {
		s.end()
	}
}

// leave marks a seat as left; it reports whether the caller must end the session, because no worker will.
func (d *Desk) leave(client string, s *seat) (end bool) {
	delete(d.seats, client)
	s.leaving, s.queue = true, nil
	if s.stop != nil {
		s.stop()
	}
	return !s.running
}

// Close ends all sessions and returns when every handler has.
func (d *Desk) Close() {
	d.mu.Lock()
	d.shut = true
	var idle []*seat
	for client, s := range d.seats {
		if d.leave(client, s) {
			idle = append(idle, s)
		}
	}
	d.mu.Unlock()
	d.cancel()
	for _, s := range idle {
		s.end()
	}
	d.work.Wait()
}

func (d *Desk) answer(id uint64, out Outcome) {
	line := EncodeAnswer(Answer{ID: id, Outcome: out})
	d.out.Lock()
	defer d.out.Unlock()
	d.reply(line)
}
