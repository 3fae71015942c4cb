//go:build race

package lab

// raced says that the race detector is at work.
const raced = true
