//go:build unix

package class

import (
	"os/exec"
	"syscall"
)

// apart gives the command a process group of its own: a Ctrl-C at the terminal is for us, and what the command starts
// can be ended with it.
func apart(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	endWithUs(cmd.SysProcAttr)
}

// ask tells a process to end; only itself, which ends what it started.
func ask(pid int) { _ = syscall.Kill(pid, syscall.SIGTERM) }

// endAll ends the processes of a group. Nodes of a cluster end by themselves when who started them does.
func endAll(pid int) { _ = syscall.Kill(-pid, syscall.SIGKILL) }
