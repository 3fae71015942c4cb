//go:build !race

package shell

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// isolation says what RunIsolated does here.
func isolation(memory int64) string {
	return fmt.Sprintf("child process, at most %d MiB (RLIMIT_DATA)", memory>>20)
}

// isolateProcess makes the child a process group of its own that dies with us.
func isolateProcess(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}

// limitMemory bounds the process's data segment, which Go's heap is part of; core dumps and new files are off. The
// watch comes first as a rule, and says what happened in fewer words than a runtime that finds no memory.
func limitMemory(limit int64) {
	watchMemory(limit * 3 / 4)
	for _, l := range []struct {
		what int
		max  uint64
	}{{unix.RLIMIT_DATA, uint64(limit)}, {unix.RLIMIT_CORE, 0}, {unix.RLIMIT_FSIZE, 0}} {
		if err := unix.Setrlimit(l.what, &unix.Rlimit{Cur: l.max, Max: l.max}); err != nil && l.what == unix.RLIMIT_DATA {
			fmt.Fprintln(os.Stderr, "limit memory:", err)
			os.Exit(2)
		}
	}
}
