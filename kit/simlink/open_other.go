//go:build !wasip1

package simlink

import (
	"errors"

	"netsplit/kit"
)

// Open reports kit.Unavailable: this program does not run inside the simulator.
func Open() (*Link, error) {
	return nil, &kit.Error{Op: "open simulator link", Kind: kit.Unavailable, Err: errors.New("this program does not run inside the simulator")}
}
