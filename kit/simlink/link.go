package simlink

import (
	"encoding/json"
	"errors"
	"io"
	"sync"

	"netsplit/kit"
)

// Start is what a node is told when it boots.
type Start struct {
	Node  kit.NodeName   `json:"node"`
	Nodes []kit.NodeName `json:"nodes"` // all nodes of the world, this one too, sorted
	// Cookie is the secret that nodes of one cluster share.
	Cookie string `json:"cookie"`
	// Boots counts the starts of this node in this world, from 1.
	Boots int `json:"boots"`
	// Config is the node program's own configuration, as the world's maker gave it.
	Config json.RawMessage `json:"config,omitempty"`
}

// Port is the raw line under a Link: the descriptor of the simulator, or one end of a Pair.
type Port interface {
	// Read waits for bytes from the host; io.EOF when there will be none.
	Read(p []byte) (int, error)
	// Write hands over exactly one whole frame, and never blocks. Its error is a *kit.Error: kit.Overloaded when the
	// host's queue or the disc is full, kit.Unavailable when the connection is closed, kit.Corrupt when the frame is wrong.
	Write(frame []byte) error
}

// Part is a group of kinds that one package of the node serves.
type Part int

// The parts.
const (
	Wire  Part = iota // Accept, Opened, Refused, Data, Close, Packet
	Doors             // Door
	Disk              // DiskDone
	parts
)

func partOf(k Kind) (Part, bool) {
	switch k {
	case Accept, Opened, Refused, Data, Close, Packet:
		return Wire, true
	case Door:
		return Doors, true
	case DiskDone:
		return Disk, true
	}
	return 0, false
}

// Link is the guest's end. It is safe for concurrent use.
type Link struct {
	port  Port
	start Start
	files map[string][]byte

	mu      sync.Mutex
	buf     []byte // for Send
	parts   [parts]func(Frame)
	waiting [parts][]Frame // frames that came before their part was registered
	err     error          // why no more frames come
	ended   chan struct{}  // closed when the reader has ended
}

// NewLink reads the node's disc and Start from the port, and then starts the one reader, which ends with the port.
func NewLink(port Port) (*Link, error) {
	l := &Link{port: port, files: map[string][]byte{}, ended: make(chan struct{})}
	r := &reader{port: port}
	for {
		f, err := r.next()
		if err != nil {
			return nil, &kit.Error{Op: "boot node", Kind: kit.Broken, Err: err}
		}
		switch f.Kind {
		case File:
			l.files[f.Name] = f.Data
			continue
		case Boot:
			if err := json.Unmarshal(f.Data, &l.start); err != nil {
				return nil, &kit.Error{Op: "boot node", Kind: kit.Corrupt, Err: err}
			}
		default:
			return nil, &kit.Error{Op: "boot node", Kind: kit.Corrupt, Err: errors.New("the first frame is " + f.Kind.String())}
		}
		break
	}
	go l.read(r)
	return l, nil
}

// Start gives what the node was told at boot.
func (l *Link) Start() Start { return l.start }

// Files gives the files of the node's disc as they were at boot. The caller owns the map; a second call gets the same.
func (l *Link) Files() map[string][]byte { return l.files }

// Send hands one frame to the host. It never blocks; see Port for its errors. The frame may be reused afterwards.
func (l *Link) Send(f Frame) error {
	if len(f.Name) > MaxName || len(f.Data) > MaxData {
		return &kit.Error{Op: "send " + f.Kind.String(), Kind: kit.Overloaded, Err: errors.New("the frame is too big")}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = Append(l.buf[:0], f)
	err := l.port.Write(l.buf)
	if cap(l.buf) > 1<<20 {
		l.buf = nil
	}
	return err
}

// Handle registers f for the frames of a part. f gets them one at a time and in order, on the link's reader: it
// must not block. Frames that came earlier are given to it first.
func (l *Link) Handle(p Part, f func(Frame)) {
	l.mu.Lock()
	for len(l.waiting[p]) > 0 {
		early := l.waiting[p]
		l.waiting[p] = nil
		l.mu.Unlock()
		for _, e := range early {
			f(e)
		}
		l.mu.Lock()
	}
	l.parts[p] = f
	l.mu.Unlock()
}

// Ended is closed when no more frames will come; Err says why.
func (l *Link) Ended() <-chan struct{} { return l.ended }

// Err is why the link ended: io.EOF when the host closed it, nil while it is alive.
func (l *Link) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func (l *Link) read(r *reader) {
	defer close(l.ended)
	for {
		f, err := r.next()
		if err != nil {
			l.mu.Lock()
			l.err = err
			l.mu.Unlock()
			return
		}
		p, ok := partOf(f.Kind)
		if !ok {
			continue
		}
		l.mu.Lock()
		handle := l.parts[p]
		if handle == nil {
			l.waiting[p] = append(l.waiting[p], f)
		}
		l.mu.Unlock()
		if handle != nil {
			handle(f)
		}
	}
}

// reader cuts the port's bytes into frames.
type reader struct {
	port Port
	buf  []byte // read and not yet decoded
}

// next gives the next frame; its Data is the caller's.
func (r *reader) next() (Frame, error) {
	for {
		f, n, err := Decode(r.buf)
		if err != nil {
			return Frame{}, err
		}
		if n > 0 {
			f.Data = append([]byte(nil), f.Data...)
			r.buf = r.buf[n:]
			return f, nil
		}
		if err := r.more(); err != nil {
			return Frame{}, err
		}
	}
}

func (r *reader) more() error {
	const chunk = 16 << 10
	if cap(r.buf)-len(r.buf) < chunk/4 {
		r.buf = append(make([]byte, 0, 2*len(r.buf)+chunk), r.buf...)
	}
	n, err := r.port.Read(r.buf[len(r.buf):cap(r.buf)])
	r.buf = r.buf[:len(r.buf)+n]
	if n > 0 {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return io.EOF
	}
	return err
}
