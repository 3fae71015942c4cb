package sim

import "golang.org/x/sys/unix"

// limitTool bounds a process that has just been started, and all that it will start: the compiler and the linker of a
// program that may have been written to fill the machine's memory or disc.
func limitTool(pid int) {
	for what, most := range map[int]uint64{unix.RLIMIT_DATA: toolMemory, unix.RLIMIT_CPU: toolSeconds, unix.RLIMIT_FSIZE: toolFile, unix.RLIMIT_CORE: 0} {
		soft := unix.Rlimit{Cur: most, Max: most}
		if what == unix.RLIMIT_CPU {
			soft.Max += 5 // at the first the tool says so and ends, at the second it is killed
		}
		_ = unix.Prlimit(pid, what, &soft, nil) // it may have ended already
	}
}
