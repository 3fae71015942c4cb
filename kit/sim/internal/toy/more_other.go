//go:build !wasip1

package main

import "errors"

func forge() error                      { return errors.ErrUnsupported }
func (n *node) disc(verb, _ string) any { return verb + ": only in the simulator" }
func reach() any                        { return nil }
