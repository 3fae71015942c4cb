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

// The image that an instance begins with is the memory that the module's own segments make.
func TestImage(t *testing.T) {
	p, err := toy()
	if err != nil {
		t.Fatal(err)
	}
	metered, got, err := meter(p.Wasm)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := image(t, p.Wasm)
	if _, left := image(t, metered); !bytes.Equal(got, want) || len(want) == 0 || left != 0 {
		t.Errorf("an image of %d bytes for %d, and %d segments are left", len(got), len(want), left)
	}
	for _, body := range []string{
		"\x01\x01\x00", // a passive segment
		"\x02\x00\x41\x04\x0b\x01a\x00\x41\x04\x0b\x01b", // one over the other
		"\x01\x00\x23\x00\x0b\x01a",                      // at a global's address
		"\x01\x00\x41\x7f\x0b\x01a",                      // below 0
		"\x01\x00\x41\x80\x80\x80\x80\x01\x0b\x01a",      // beyond what an image may have
	} {
		if got := imageOf([]byte(body)); got != nil {
			t.Errorf("%q became %q", body, got)
		}
	}
}

// Memory that was used before is as good as new: an image, and zeros behind it.
func TestMemories(t *testing.T) {
	var all memories
	const limit = 4 * pageSize
	full, peak := false, uint64(0)
	for i := range 3 {
		image := bytes.Repeat([]byte{byte(i + 1)}, 10+i)
		m := all.allocator(limit, image, &full, &peak).Allocate(0, 0)
		b := m.Reallocate(pageSize)
		if !bytes.Equal(b[:len(image)], image) || bytes.Count(b, []byte{0}) != len(b)-len(image) {
			t.Fatalf("instance %d begins with other memory", i)
		}
		b = m.Reallocate(2 * pageSize)
		for j := range b {
			b[j] = 'x'
		}
		if more := m.Reallocate(3 * pageSize); bytes.Count(more[2*pageSize:], []byte{0}) != pageSize || m.Reallocate(limit+1) != nil || !full {
			t.Fatalf("instance %d grew wrong", i)
		}
		m.Free()
	}
	if peak != 3*pageSize {
		t.Errorf("the peak was %d", peak)
	}
	if r, _ := reserve(limit); r != nil && len(all.spare) != 1 {
		t.Errorf("%d pieces are kept", len(all.spare))
	}
	all.empty()
}
