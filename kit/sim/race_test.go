//go:build race

package sim

// slow says that the race detector is at work, under which compiling to machine code takes ten times as long.
const slow = true
