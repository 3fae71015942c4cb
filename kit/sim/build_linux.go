package sim

import (
	"context"
	"fmt"
	"os"
	"os/exec"
)

// goCommand gives the go command, bounded in data, processor time and size of files, with all that it starts: the compiler
// and the linker of a program that may have been written to fill the machine's memory or disc. A shell sets the limits,
// because they must be there before the first compiler is; where there is none the time that a build may take bounds it.
func goCommand(ctx context.Context, args []string) *exec.Cmd {
	const shell = "/bin/sh"
	path, err := exec.LookPath("go")
	if _, noShell := os.Stat(shell); err != nil || noShell != nil {
		return exec.CommandContext(ctx, "go", args...)
	}
	limits := fmt.Sprintf("ulimit -c 0; ulimit -d %d; ulimit -f %d; ulimit -t %d", toolMemory>>10, toolFile>>9, toolSeconds)
	return exec.CommandContext(ctx, shell, append([]string{"-c", "{ " + limits + "; } 2>/dev/null; exec \"$0\" \"$@\"", path}, args...)...)
}
