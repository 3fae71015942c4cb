package simlink

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"netsplit/kit"
)

func TestFrameRoundTrip(t *testing.T) {
	for _, f := range []Frame{
		{Kind: Ready},
		{Kind: Dial, ID: 7, Name: "b", Data: []byte("cookie")},
		{Kind: Data, ID: HostConn + 1, Data: bytes.Repeat([]byte{0}, 70000)},
		{Kind: DiskDone, ID: 1<<64 - 1, Data: []byte("full")},
		{Kind: File, Name: strings.Repeat("n", MaxName), Data: make([]byte, MaxData)},
	} {
		b := Append([]byte("before"), f)[6:]
		for _, cut := range []int{0, 3, 4, len(b) / 2, len(b) - 1} {
			if _, n, err := Decode(b[:cut]); n != 0 || err != nil {
				t.Errorf("%v: %d bytes of %d gave %d, %v", f.Kind, cut, len(b), n, err)
			}
		}
		got, n, err := Decode(append(b, "after"...))
		if err != nil || n != len(b) || got.Kind != f.Kind || got.ID != f.ID || got.Name != f.Name || !bytes.Equal(got.Data, f.Data) {
			t.Errorf("%v: %d, %v", f.Kind, n, err)
		}
	}
}

func TestKindsHaveNames(t *testing.T) {
	if len(kindNames) != int(kinds) {
		t.Fatalf("%d names for %d kinds", len(kindNames), kinds)
	}
	if kinds.String() != "none" || Door.String() != "door" || DiskDone.String() != "done" {
		t.Error(kinds, Door, DiskDone)
	}
}

func TestBrokenFrames(t *testing.T) {
	for _, b := range []string{
		"PASS\n",
		"\x00\x00\x00\x00",
		"\x02\x00\x00\x00\x01\x00",
		"\xff\xff\xff\x7f\x01",
		"\x03\x00\x00\x00\x00\x00\x00",     // no kind
		"\x03\x00\x00\x00\xee\x00\x00",     // an unknown one
		"\x03\x00\x00\x00\x01\xff\xff",     // an ID without end
		"\x03\x00\x00\x00\x01\x00\x05",     // a name longer than the frame
		"\x04\x00\x00\x00\x01\x00\xff\x7f", // a name longer than the limit
	} {
		if f, n, err := Decode([]byte(b)); kit.KindOf(err) != kit.Corrupt || n != 0 {
			t.Errorf("%q: %+v %d %v", b, f, n, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(Append(nil, Frame{Kind: Data, ID: 3, Name: "a", Data: []byte("x")}))
	f.Add([]byte("\x03\x00\x00\x00\x01\x00\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, n, err := Decode(b)
		if n < 0 || n > len(b) || err != nil && n != 0 {
			t.Fatalf("%d of %d, %v", n, len(b), err)
		}
		if n > 0 {
			again, _, err := Decode(Append(nil, got))
			if err != nil || !reflect.DeepEqual(again, got) && len(got.Data) > 0 {
				t.Fatalf("%+v became %+v: %v", got, again, err)
			}
		}
	})
}

func TestBoot(t *testing.T) {
	start := Start{Node: "a", Nodes: []kit.NodeName{"a", "b"}, Cookie: "c", Boots: 2}
	link, host, err := Pair(start, map[string][]byte{"log": []byte("one")})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(link.Start(), start) || string(link.Files()["log"]) != "one" || len(link.Files()) != 1 {
		t.Errorf("%+v %q", link.Start(), link.Files())
	}
	host.Close()
	<-link.Ended()
	if !errors.Is(link.Err(), io.EOF) {
		t.Error(link.Err())
	}
	if _, err := Open(); kit.KindOf(err) != kit.Unavailable {
		t.Error(err)
	}
}

// Frames that come before their part is there wait for it, and keep their order with those that come later.
func TestEarlyFrames(t *testing.T) {
	bubble(t, func(t *testing.T) {
		link, host, err := Pair(Start{Node: "a"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range uint64(5) {
			host.Send(Frame{Kind: Data, ID: i})
			host.Send(Frame{Kind: Door, ID: i})
		}
		synctest.Wait()
		var got []uint64
		link.Handle(Wire, func(f Frame) { got = append(got, f.ID) })
		for i := range uint64(5) {
			host.Send(Frame{Kind: Data, ID: 5 + i})
		}
		host.Close()
		<-link.Ended()
		if want := []uint64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}; !reflect.DeepEqual(got, want) {
			t.Errorf("%v", got)
		}
	})
}

func TestHostJudges(t *testing.T) {
	link, host, err := Pair(Start{Node: "a"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	full := &kit.Error{Op: "write", Kind: kit.Overloaded}
	host.Judge(func(f Frame) error {
		if f.Kind == DiskAppend {
			return full
		}
		return nil
	})
	if err := link.Send(Frame{Kind: DiskAppend, Name: "log"}); !errors.Is(err, full) {
		t.Error(err)
	}
	if err := link.Send(Frame{Kind: Data, Data: make([]byte, MaxData+1)}); kit.KindOf(err) != kit.Overloaded {
		t.Error(err)
	}
	if err := link.Send(Frame{Kind: Ready}); err != nil {
		t.Error(err)
	}
	if f, err := host.Recv(); err != nil || f.Kind != Ready {
		t.Errorf("%+v %v", f, err)
	}
	host.Close()
	if err := link.Send(Frame{Kind: Ready}); kit.KindOf(err) != kit.Unavailable {
		t.Error(err)
	}
	<-link.Ended()
}

func TestNoBoot(t *testing.T) {
	for _, bytes := range []string{"", "PASS", string(Append(nil, Frame{Kind: Data})), string(Append(nil, Frame{Kind: Boot, Data: []byte("{")}))} {
		if l, err := NewLink(stub(bytes)); l != nil || err == nil {
			t.Errorf("%q booted", bytes)
		}
	}
}

// stub is a port that gives some bytes and ends.
func stub(s string) Port { return stubPort{strings.NewReader(s)} }

type stubPort struct{ io.Reader }

func (stubPort) Write([]byte) error { return nil }

// bubble runs a test in virtual time on one thread: with more, Go 1.26's race detector now and then crashes on the
// timers of a bubble, whose context the threads that fire them share without a lock.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	synctest.Test(t, f)
}
