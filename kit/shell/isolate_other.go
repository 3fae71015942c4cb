//go:build !linux || race

package shell

import (
	"fmt"
	"os/exec"
)

// isolation says what RunIsolated does here. The race detector's own memory would break a hard limit, so its
// builds watch, too.
func isolation(memory int64) string {
	return fmt.Sprintf("child process, at most about %d MiB (watched)", memory>>20)
}

func isolateProcess(*exec.Cmd) {}

func limitMemory(limit int64) { watchMemory(limit) }
