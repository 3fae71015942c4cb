package sim

import "golang.org/x/sys/unix"

// limitTool bounds a process that has just been started, and all that it will start: the compiler and the linker of a
// program that may have been written to fill the machine's memory or disc.
func limitTool(pid int) {
	for what, most := range map[int]uint64{unix.RLIMIT_DATA: toolMemory, unix.RLIMIT_CPU: toolSeconds, unix.RLIMIT_FSIZE: toolFile, unix.RLIMIT_CORE: 0} {
		_ = unix.Prlimit(pid, what, &unix.Rlimit{Cur: most, Max: most}, nil) // it may have ended already
	}
}
