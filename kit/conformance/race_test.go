//go:build race

package conformance

// raced says that the race detector is at work.
const raced = true
