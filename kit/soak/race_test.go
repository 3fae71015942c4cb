//go:build race

package soak

// raced says that the race detector is at work, under which the simulator's code compiles ten times slower.
const raced = true
