//go:build !race

package soak

// raced says that the race detector is at work.
const raced = false
