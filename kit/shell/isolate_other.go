//go:build !linux

package shell

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"time"
)

// isolation says what RunIsolated does here.
func isolation(memory int64) string {
	return fmt.Sprintf("child process, at most about %d MiB (watched)", memory>>20)
}

func isolateProcess(*exec.Cmd) {}

// memoryWatch is what the child says when the watch ends it.
const memoryWatch = "netsplit: memory limit"

// limitMemory watches the heap, as this system does not limit it: one huge allocation may pass the limit for
// a moment.
func limitMemory(limit int64) {
	const every = 20 * time.Millisecond
	go func() {
		var m runtime.MemStats
		for range time.Tick(every) { // ends with the process
			runtime.ReadMemStats(&m)
			if m.HeapAlloc > uint64(limit) {
				fmt.Fprintln(os.Stderr, memoryWatch)
				os.Exit(2)
			}
		}
	}()
}
