//go:build !linux

package sim

import (
	"context"
	"os/exec"
)

// goCommand gives the go command. It has no limits here but the time that a build may take.
func goCommand(ctx context.Context, args []string) *exec.Cmd {
	return exec.CommandContext(ctx, "go", args...)
}
