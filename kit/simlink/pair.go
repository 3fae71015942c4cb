package simlink

import (
	"encoding/json"
	"io"
	"sync"

	"netsplit/kit"
)

// Host is the simulator's end of a Pair: a test plays the simulator with it.
type Host struct {
	mu     sync.Mutex
	more   sync.Cond
	in     []byte  // for the guest
	out    []Frame // from the guest
	closed bool
	judge  func(Frame) error // may be nil
}

// Pair gives a node's link and the host's end of it, in memory, with the boot done: the guest has got the files and start.
func Pair(start Start, files map[string][]byte) (*Link, *Host, error) {
	h := &Host{}
	h.more.L = &h.mu
	for name, data := range files {
		h.Send(Frame{Kind: File, Name: name, Data: data})
	}
	data, err := json.Marshal(start)
	if err != nil {
		return nil, nil, &kit.Error{Op: "encode start", Kind: kit.Invalid, Err: err}
	}
	h.Send(Frame{Kind: Boot, Data: data})
	l, err := NewLink((*pairPort)(h))
	return l, h, err
}

// Judge registers f to decide the error that the guest's Send gets for each frame; a frame with an error is not kept.
func (h *Host) Judge(f func(Frame) error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.judge = f
}

// Send gives the guest a frame.
func (h *Host) Send(f Frame) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.in = Append(h.in, f)
	h.more.Broadcast()
}

// Recv waits for the guest's next frame; io.EOF after Close.
func (h *Host) Recv() (Frame, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.out) == 0 {
		if h.closed {
			return Frame{}, io.EOF
		}
		h.more.Wait()
	}
	f := h.out[0]
	h.out = h.out[1:]
	return f, nil
}

// Close ends the line: the guest's reader ends and Recv gives io.EOF when it has given what was there.
func (h *Host) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	h.more.Broadcast()
}

type pairPort Host

func (p *pairPort) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.in) == 0 {
		if p.closed {
			return 0, io.EOF
		}
		p.more.Wait()
	}
	n := copy(b, p.in)
	p.in = p.in[n:]
	return n, nil
}

func (p *pairPort) Write(frame []byte) error {
	f, n, err := Decode(frame)
	if err != nil {
		return err
	}
	if n != len(frame) {
		return broken("%d bytes in one write", len(frame))
	}
	f.Data = append([]byte(nil), f.Data...)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return &kit.Error{Op: "send " + f.Kind.String(), Kind: kit.Unavailable, Err: io.ErrClosedPipe}
	}
	if p.judge != nil {
		if err := p.judge(f); err != nil {
			return err
		}
	}
	p.out = append(p.out, f)
	p.more.Broadcast()
	return nil
}
