//go:build !linux

package sim

// limitTool has no way to limit another process here; the time that a build may take bounds it.
func limitTool(int) {}
