package door

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"netsplit/kit"
	"netsplit/kit/term"
)

// pipeListener accepts the server ends of net.Pipe.
type pipeListener struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}
func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *pipeListener) Addr() net.Addr { return nil }
func (l *pipeListener) dial(ctx context.Context) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case l.conns <- there:
		return here, nil
	case <-l.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// site is a door with a few verbs that a test can steer.
type site struct {
	t      *testing.T
	client *Client
	listen *pipeListener
	stop   context.CancelFunc

	mu   sync.Mutex
	said []string
}

func (s *site) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said = append(s.said, fmt.Sprintf(format, args...))
}

// log gives what was said since the last time.
func (s *site) log() string {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	out := strings.Join(s.said, "; ")
	s.said = nil
	return out
}

func (s *site) call(client, verb string, args ...term.Term) Outcome {
	return s.client.Call(s.t.Context(), Request{Client: client, Verb: verb, Args: args})
}

func newSite(t *testing.T) *site {
	s := &site{t: t, listen: newPipeListener()}
	mux, err := NewMux(
		Verb{Name: "echo", Params: []string{"value"}, Handler: func(_ context.Context, r Request) Outcome { return OKTerm(r.Args[0]) }},
		Verb{Name: "work", Params: []string{"ms", "name?"}, Handler: func(ctx context.Context, r Request) Outcome {
			ms, err := r.Int(0)
			if err != nil {
				return FromError(err)
			}
			s.say("%s begins", r.Client)
			select {
			case <-time.After(time.Duration(ms) * time.Millisecond):
				s.say("%s ends", r.Client)
				return Done()
			case <-ctx.Done():
				s.say("%s is cancelled", r.Client)
				return AbortWith("cancelled")
			}
		}},
		Verb{Name: "hold", Handler: func(ctx context.Context, r Request) Outcome {
			SessionOf(ctx).OnEnd(func() { s.say("%s's hold ends", r.Client) })
			return Done()
		}},
		Verb{Name: "crash", Handler: func(context.Context, Request) Outcome { panic("lost my mind") }},
		Verb{Name: "flood", Handler: func(context.Context, Request) Outcome {
			return OKTerm(term.Bin(strings.Repeat("x", MaxLine)))
		}},
	)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s.stop = cancel
	served := make(chan error, 1)
	go func() { served <- (&Server{Handler: mux.Serve}).Serve(ctx, s.listen) }()
	s.client = NewClient(s.listen.dial)
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
		s.client.Close()
	})
	return s
}

func bubble(t *testing.T, f func(t *testing.T, s *site)) {
	oneThread(t, func(t *testing.T) { f(t, newSite(t)) })
}

func TestCall(t *testing.T) {
	bubble(t, func(t *testing.T, s *site) {
		v, err := s.call("c1", "echo", term.Tuple{term.Atom("person"), term.Bin("hernan"), term.Int(31)}).Term()
		if err != nil || term.String(v) != "{person,<<\"hernan\">>,31}" {
			t.Errorf("got %v, %v", v, err)
		}
		for _, c := range []struct{ verb, kind, hint string }{
			{"ech", "unknown_verb", "did you mean echo?"},
			{"zzzzzzzz", "unknown_verb", `the verb "verbs" lists what there is`},
			{"echo", "badarity", ""},
			{"work", "badarity", ""},
		} {
			if out := s.call("c1", c.verb); out.Status != Error || out.Kind != term.Atom(c.kind) || out.Hint != c.hint {
				t.Errorf("%s: %+v", c.verb, out)
			}
		}
		if out := s.call("c1", "crash"); out.Status != Raised || !out.Crash || !strings.Contains(term.String(out.Reason()), "lost my mind") {
			t.Errorf("crash: %+v", out)
		}
		if out := s.call("c1", "flood"); out.Status != Error || !strings.Contains(out.Text, "limit") {
			t.Errorf("flood: %+v", out)
		}
	})
}

// One client is served in order, as one Erlang process would be; others do not wait for it.
func TestOrderPerClient(t *testing.T) {
	bubble(t, func(t *testing.T, s *site) {
		start := time.Now()
		var work sync.WaitGroup
		for _, c := range []string{"slow", "slow", "other"} {
			work.Go(func() { s.call(c, "work", term.Int(1000)) })
			synctest.Wait()
		}
		work.Wait()
		if got, want := s.log(), "slow begins; other begins; slow ends; slow begins; other ends; slow ends"; got != want &&
			got != "slow begins; other begins; other ends; slow ends; slow begins; slow ends" &&
			got != "slow begins; other begins; slow ends; other ends; slow begins; slow ends" {
			t.Errorf("got  %s", got)
		}
		if d := time.Since(start); d != 2*time.Second {
			t.Errorf("took %v", d)
		}
	})
}

func TestCancel(t *testing.T) {
	bubble(t, func(t *testing.T, s *site) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		out := s.client.Call(ctx, Request{Client: "c1", Verb: "work", Args: []term.Term{term.Int(60000)}})
		if out.Status != Lost {
			t.Errorf("got %+v", out)
		}
		if got := s.log(); got != "c1 begins; c1 is cancelled" {
			t.Errorf("got %s", got)
		}
		// The connection and the client's place live on.
		if out := s.call("c1", "echo", term.Int(1)); out.Status != OK {
			t.Errorf("got %+v", out)
		}
	})
}

// What a client left open ends when it says good-bye, when its connection ends, and when the node stops.
func TestSessionEnds(t *testing.T) {
	bubble(t, func(t *testing.T, s *site) {
		s.call("c1", "hold")
		s.call("c2", "hold")
		s.client.Leave("c1")
		if got := s.log(); got != "c1's hold ends" {
			t.Errorf("after leaving: %s", got)
		}
		go s.call("c3", "work", term.Int(60000))
		synctest.Wait()
		s.client.Close()
		if got := s.log(); got != "c3 begins; c2's hold ends; c3 is cancelled" && got != "c3 begins; c3 is cancelled; c2's hold ends" {
			t.Errorf("after closing: %s", got)
		}
		s.client = NewClient(s.listen.dial)
		s.call("c4", "hold")
		s.stop()
		if got := s.log(); got != "c4's hold ends" {
			t.Errorf("after the node's stop: %s", got)
		}
	})
}

// A broken connection loses the answers under way and nothing else; a node that cannot be reached was not asked.
func TestLostAndDown(t *testing.T) {
	bubble(t, func(t *testing.T, s *site) {
		got := make(chan Outcome, 1)
		go func() { got <- s.call("c1", "work", term.Int(60000)) }()
		synctest.Wait()
		s.client.link.conn.Close()
		if out := <-got; out.Status != Lost || out.Definite() {
			t.Errorf("got %+v", out)
		}
		if out := s.call("c1", "echo", term.Int(1)); out.Status != OK {
			t.Errorf("after reconnecting: %+v", out)
		}
		s.stop()
		synctest.Wait()
		if out := s.call("c1", "echo", term.Int(1)); out.Status != Down || !out.Definite() {
			t.Errorf("after the end: %+v", out)
		}
	})
}

// A line that is no request gets an error, and the connection stays; a line without end closes it.
func TestHostileLines(t *testing.T) {
	bubble(t, func(t *testing.T, s *site) {
		conn, err := s.listen.dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		answers := newLineReader(conn)
		for _, line := range []string{`{`, `7`, `{"id":5}`, `{"id":6,"verb":"echo","args":[{"t":1}]}`, `{"id":7,"verb":"echo","args":{"a":1}}`,
			`{"id":8,"verb":"` + strings.Repeat("x", 1000) + `"}`, strings.Repeat("[", 100000)} {
			if _, err := conn.Write([]byte(line + "\n")); err != nil {
				t.Fatal(err)
			}
			got, err := answers.next()
			if err != nil {
				t.Fatalf("%.40s: %v", line, err)
			}
			if a, err := DecodeAnswer(got); err != nil || a.Outcome.Status != Error {
				t.Errorf("%.40s: %s", line, got)
			}
		}
		chunk := []byte(strings.Repeat("x", 1<<20))
		for range MaxLine>>20 + 2 {
			if _, err = conn.Write(chunk); err != nil {
				return
			}
		}
		t.Error("an endless line was read on")
	})
}

// A client cannot pile up requests without bound.
func TestQueueLimit(t *testing.T) {
	oneThread(t, func(t *testing.T) {
		refused := 0
		var mu sync.Mutex
		block := make(chan struct{})
		d := NewDesk(t.Context(), func(context.Context, Request) Outcome { <-block; return Done() }, func(line []byte) {
			mu.Lock()
			defer mu.Unlock()
			if a, err := DecodeAnswer(line); err == nil && a.Outcome.Kind == term.Atom("overloaded") {
				refused++
			}
		})
		for i := range MaxWaiting + 11 {
			line, _ := EncodeRequest(Request{ID: uint64(i + 1), Client: "c", Verb: "x"})
			d.Line(line)
			synctest.Wait()
		}
		for i := range MaxClients + 4 {
			line, _ := EncodeRequest(Request{ID: 9999, Client: fmt.Sprint("c", i), Verb: "x"})
			d.Line(line)
		}
		close(block)
		d.Close()
		if refused != 10+5 {
			t.Errorf("%d requests were refused", refused)
		}
	})
}

func TestMuxRefusesShadows(t *testing.T) {
	h := func(context.Context, Request) Outcome { return Done() }
	m, err := NewMux(Verb{Name: "a", Handler: h})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Add(Verb{Name: "a", Handler: h}); kit.KindOf(err) != kit.Exists {
		t.Errorf("got %v", err)
	}
	if err := m.Add(Verb{Name: "b"}); kit.KindOf(err) != kit.Invalid {
		t.Errorf("got %v", err)
	}
}

// oneThread runs a test in virtual time on one thread: with more, Go 1.26's race detector now and then crashes on the
// timers of a bubble, whose context the threads that fire them share without a lock.
func oneThread(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	synctest.Test(t, f)
}
