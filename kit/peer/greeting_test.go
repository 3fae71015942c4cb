package peer

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"netsplit/kit"
)

// spoken is a connection whose other end says some frames and then nothing more.
type spoken struct {
	frames [][]byte
	sent   int
}

func (c *spoken) Peer() kit.NodeName        { return "b" }
func (c *spoken) Send(b []byte) error       { c.sent += len(b); return nil }
func (c *spoken) SendPacket(b []byte) error { c.sent += len(b); return nil }
func (c *spoken) Close() error              { return nil }
func (c *spoken) Recv() ([]byte, error) {
	if len(c.frames) == 0 {
		return nil, io.EOF
	}
	b := c.frames[0]
	c.frames = c.frames[1:]
	return b, nil
}

// FuzzGreeting lets a dialler, and an acceptor, say anything. It is refused or understood; a decision is made about what
// was understood, and the frames of control that follow do nothing but answer a ping or end the session.
func FuzzGreeting(f *testing.F) {
	for _, v := range []any{
		hello{Purpose: purposeLink, Incarnation: 3, Session: 7, Addr: "mem:b", Took: time.Second, Asked: true},
		hello{Purpose: purposeGossip}, hello{Purpose: purposeLink, Session: 1<<64 - 1, Incarnation: 1<<64 - 1},
		answer{Session: 9, Incarnation: 2}, answer{Refused: refusedDisconnected},
	} {
		b, err := json.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(confirmFrame)
	f.Add([]byte(strings.Repeat("{", 5000)))
	f.Add([]byte{controlPing, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Add([]byte{controlBye, byeDisconnect})
	f.Fuzz(func(t *testing.T, b []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		h, err := recvHello(ctx, &spoken{frames: [][]byte{b}})
		if err == nil {
			if len(b) > maxHello || h.Purpose != purposeLink && h.Purpose != purposeGossip {
				t.Errorf("%+v was understood", h)
			}
			for _, s := range []situation{
				{self: "a", peer: "b"}, {self: "c", peer: "b", up: true, session: 5, incarnation: 3}, {self: "a", peer: "b", calling: true, calledAddr: "x"},
				{self: "a", peer: "b", disconnected: true, incarnation: h.Incarnation},
			} {
				d, why := judge(s, h)
				if d == refuse && why == "" {
					t.Errorf("%+v is refused without a reason", h)
				}
				if d == take && s.disconnected && !h.Asked {
					t.Errorf("%+v is taken after a Disconnect", h)
				}
			}
		}
		if err := awaitConfirm(ctx, &spoken{frames: [][]byte{b}}, answer{}); err == nil && string(b) != string(confirmFrame) {
			t.Errorf("%x is taken for a confirmation", b)
		}
		conn := &spoken{}
		s := &session{conn: conn, ended: make(chan struct{})}
		l := &link{mesh: &Mesh{}, peer: "b", pings: map[uint64]chan struct{}{}}
		l.control(s, b)
		if conn.sent > 16 {
			t.Errorf("%x is answered with %d bytes", b, conn.sent)
		}
		if s.over() && !(len(b) == 2 && b[0] == controlBye) {
			t.Errorf("%x ends the session", b)
		}
	})
}
