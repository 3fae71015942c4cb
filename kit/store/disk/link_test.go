package disk

import (
	"sync"
	"testing"

	"netsplit/kit/simlink"
)

// hostDisc plays the simulator's disc: it keeps the files and answers syncs.
type hostDisc struct {
	mu    sync.Mutex
	files map[string][]byte
}

func (h *hostDisc) serve(host *simlink.Host) {
	for {
		f, err := host.Recv()
		if err != nil {
			return
		}
		h.take(f)
		if f.Kind == simlink.DiskSync {
			host.Send(simlink.Frame{Kind: simlink.DiskDone, ID: f.ID})
		}
	}
}

func (h *hostDisc) take(f simlink.Frame) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch f.Kind {
	case simlink.DiskAppend:
		h.files[f.Name] = append(h.files[f.Name], f.Data...)
	case simlink.DiskReplace:
		h.files[f.Name] = f.Data
	case simlink.DiskTruncate:
		h.files[f.Name] = h.files[f.Name][:f.ID]
	case simlink.DiskRename:
		h.files[string(f.Data)] = h.files[f.Name]
		delete(h.files, f.Name)
	case simlink.DiskRemove:
		delete(h.files, f.Name)
	}
}

// A node in the simulator has its disc at the host: what one life wrote, the next one finds.
func TestLink(t *testing.T) {
	disc := &hostDisc{files: map[string][]byte{}}
	want := ""
	for life := range 3 {
		link, host, err := simlink.Pair(simlink.Start{Node: "a"}, disc.files)
		must(t, err)
		var served sync.WaitGroup
		served.Go(func() { disc.serve(host) })
		o := Link(link)
		d := open(t, o)
		if life == 0 {
			do(t, d, create("t", Set, false), create("e", Bag, true))
		}
		if got := content(t, d); life > 0 && got != want {
			t.Fatalf("life %d finds\n%s\nwant\n%s", life, got, want)
		}
		do(t, d, put("t", life, "x"), put("e", "k", life))
		if life == 1 {
			must(t, d.Dump())
			must(t, d.Close())
			d = open(t, o) // stopped and started again, by the same program
		}
		do(t, d, put("t", 100+life, "y"))
		must(t, d.Sync(0))
		want = content(t, d)
		host.Close() // the end of this life; nothing is closed in order
		served.Wait()
	}
}
