//go:build !unix

package sim

// reserve has no lazy memory here; memory is grown by copying.
func reserve(uint64) ([]byte, func([]byte)) { return nil, nil }
