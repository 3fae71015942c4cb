//go:build !wasip1

package node

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// heapRoom is how much garbage a node lets come together beyond what Go does by itself, which is as much as is in use. A
// store in which little lives would otherwise be collected after every few megabytes, and marking what lives, row by
// row, is then the largest cost of a small transaction.
const heapRoom = 64 << 20

// collection is an object that nobody keeps: it goes with the next collection of garbage, whoever runs that.
type collection struct{ _ *byte }

// spaceCollections keeps the collector's percentage such that there is heapRoom. The environment's GOGC has the last word.
func spaceCollections() {
	if os.Getenv("GOGC") != "" {
		return
	}
	percent := 0
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	var look func(struct{})
	look = func(struct{}) {
		metrics.Read(live)
		want := 100
		if live[0].Value.Kind() == metrics.KindUint64 {
			want += int(heapRoom * 100 / max(live[0].Value.Uint64(), heapRoom/32))
		}
		if want > percent+percent/8 || want < percent-percent/8 { // changing it stops the world for a moment
			percent = want
			debug.SetGCPercent(percent)
		}
		runtime.AddCleanup(&collection{}, look, struct{}{})
	}
	look(struct{}{})
}
