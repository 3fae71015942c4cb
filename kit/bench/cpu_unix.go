//go:build unix

package bench

import (
	"syscall"
	"time"
)

// cpuTime is the time that the processors have spent for this process, in the program and in the system.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
