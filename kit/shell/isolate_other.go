//go:build !linux || race

package shell

import (
	"fmt"
	"os/exec"
)

// isolation says what RunIsolated does here. The race detector's own memory would break a hard limit, so its
// builds watch, too.
func isolation(l Limits) string {
	return fmt.Sprintf("child process, at most about %d MiB (watched), has no environment", l.Memory>>20)
}

func isolateProcess(*exec.Cmd) {}

func limitProcess(l Limits) { watchMemory(l.Memory) }
