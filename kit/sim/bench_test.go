package sim

import (
	"bytes"
	"context"
	"testing"
	"time"
)

// BenchmarkBoot starts three nodes and drops them.
func BenchmarkBoot(b *testing.B) {
	cfg := toyConfig(b, 1)
	must(b, cfg.Engine.Load(context.Background(), cfg.Program))
	for b.Loop() {
		must(b, start(b, cfg).Close())
	}
}

// BenchmarkSchedule runs three busy nodes for ten virtual seconds.
func BenchmarkSchedule(b *testing.B) {
	cfg := toyConfig(b, 1)
	must(b, cfg.Engine.Load(context.Background(), cfg.Program))
	events := 0
	for b.Loop() {
		w := start(b, cfg)
		must(b, w.Sleep(context.Background(), 10*time.Second))
		events += int(w.log.seq)
		must(b, w.Close())
	}
	b.ReportMetric(float64(events)/float64(b.N), "events/op")
}

// BenchmarkLoad loads a program whose machine code is in the cache on disc.
func BenchmarkLoad(b *testing.B) {
	cfg := toyConfig(b, 1)
	must(b, cfg.Engine.Load(context.Background(), cfg.Program))
	for b.Loop() {
		e, err := NewEngine(context.Background(), Compiled, cfg.Engine.dir)
		must(b, err)
		must(b, e.Load(context.Background(), cfg.Program))
		must(b, e.Close(context.Background()))
	}
}

// image is the memory that a module's data section makes, or nil when there is none.
func image(t *testing.T, module []byte) (memory []byte, segments int) {
	t.Helper()
	c := &cursor{b: module, at: 8}
	for c.at < len(c.b) {
		id := c.byte()
		d := &cursor{b: c.bytes(int(c.uint()))}
		if id != secData {
			continue
		}
		for n := d.uint(); n > 0; n-- {
			segments++
			d.uint()
			d.byte()
			at := int(d.int32())
			d.byte()
			data := d.bytes(int(d.uint()))
			if grow := at + len(data) - len(memory); grow > 0 {
				memory = append(memory, make([]byte, grow)...)
			}
			copy(memory[at:], data)
		}
	}
	return memory, segments
}

// Joined segments make the same memory as those of Go's linker.
func TestJoinedData(t *testing.T) {
	p, err := toy()
	if err != nil {
		t.Fatal(err)
	}
	metered, err := meter(p.Wasm)
	if err != nil {
		t.Fatal(err)
	}
	before, many := image(t, p.Wasm)
	after, few := image(t, metered)
	if !bytes.Equal(before, after) || few*100 > many {
		t.Errorf("%d bytes in %d segments became %d in %d", len(before), many, len(after), few)
	}
	for _, body := range []string{
		"\x01\x01\x00", // a passive segment
		"\x02\x00\x41\x04\x0b\x01a\x00\x41\x04\x0b\x01b", // one over the other
		"\x01\x00\x23\x00\x0b\x01a",                      // at a global's address
	} {
		if got := join([]byte(body)); string(got) != body {
			t.Errorf("%q became %q", body, got)
		}
	}
	for _, v := range []int64{0, 1, 63, 64, -1, -64, -65, 1 << 20, 1<<31 - 1, -1 << 31} {
		if got := (&cursor{b: appendInt(nil, v)}).int32(); got != v {
			t.Errorf("%d became %d", v, got)
		}
	}
}
