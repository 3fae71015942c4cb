//go:build !linux

package class

func first(int) {}

func memory(int) int64 { return 0 }
