//go:build !race

package shell

// raced says that the race detector is at work.
const raced = false
