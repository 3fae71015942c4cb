//go:build !race

package shell

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// isolation says what RunIsolated does here.
func isolation(l Limits) string {
	return fmt.Sprintf("child process, at most %d MiB (RLIMIT_DATA) and %v of processor time (RLIMIT_CPU), writes no file (RLIMIT_FSIZE), has no environment",
		l.Memory>>20, l.CPU)
}

// isolateProcess makes the child a process group of its own that dies with us.
func isolateProcess(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}

// watchTime ends the process at the signal that says that its processor time is used up; Go's runtime would ignore it.
func watchTime() {
	over := make(chan os.Signal, 1)
	signal.Notify(over, unix.SIGXCPU)
	go func() { // ends with the process
		<-over
		fmt.Fprintln(os.Stderr, timeWatch)
		os.Exit(2)
	}()
}

// maxDescriptors is how many files the child may have open: its three, and those of Go's runtime.
const maxDescriptors = 32

// limitProcess bounds the process's data segment, which Go's heap is part of, its processor time and its open files; core
// dumps and new files are off. The watch comes first as a rule, and says what happened in fewer words than a runtime
// that finds no memory.
func limitProcess(l Limits) {
	watchMemory(l.Memory * 3 / 4)
	watchTime()
	seconds := uint64(max(1, l.CPU/time.Second))
	for _, r := range []struct {
		what      int
		soft, max uint64
	}{
		{unix.RLIMIT_DATA, uint64(l.Memory), uint64(l.Memory)},
		{unix.RLIMIT_CPU, seconds, seconds + 5}, // at the first watchTime says so, at the second it is killed
		{unix.RLIMIT_CORE, 0, 0},
		{unix.RLIMIT_FSIZE, 0, 0},
		{unix.RLIMIT_NOFILE, maxDescriptors, maxDescriptors},
	} {
		if err := unix.Setrlimit(r.what, &unix.Rlimit{Cur: r.soft, Max: r.max}); err != nil {
			fmt.Fprintln(os.Stderr, "limit the process:", err)
			os.Exit(2)
		}
	}
}
