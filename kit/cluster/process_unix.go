//go:build unix

package cluster

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
	"time"

	"netsplit/kit"
)

// process is one started node process, told apart from a later one with the same pid by its start time.
type process struct {
	pid     int
	started string
}

// status is what a process is doing.
type status int

const (
	gone status = iota // no such process, or its pid belongs to another one now
	running
	paused
)

// spawn starts a command in a session of its own, so that no terminal's Ctrl-C or hang-up reaches it.
func spawn(cmd *exec.Cmd) (process, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return process{}, err
	}
	p := process{pid: cmd.Process.Pid}
	p.started, _ = identity(p.pid)
	return p, cmd.Process.Release() // it outlives us; reap collects it when it does not
}

// status looks at the process. A dead child of this process is collected first.
func (p process) status() status {
	if p.pid <= 0 {
		return gone
	}
	reap(p.pid)
	started, state := identity(p.pid)
	switch {
	case started == "" || started != p.started || state == 'Z' || state == 'X':
		return gone
	case state == 'T':
		return paused
	}
	return running
}

// reap collects a dead child, so that it is no zombie; harmless for every other process.
func reap(pid int) {
	var ws syscall.WaitStatus
	for {
		if _, err := syscall.Wait4(pid, &ws, syscall.WNOHANG, nil); !errors.Is(err, syscall.EINTR) {
			return
		}
	}
}

// signal sends a signal to the process if it is still the one that was started.
func (p process) signal(sig syscall.Signal) error {
	if p.status() == gone {
		return &kit.Error{Op: "signal process", Kind: kit.Unavailable, Err: os.ErrProcessDone}
	}
	if err := syscall.Kill(p.pid, sig); err != nil {
		return &kit.Error{Op: "signal process", Kind: kit.Broken, Err: err}
	}
	return nil
}

func (p process) kill() error      { return p.signal(syscall.SIGKILL) }
func (p process) terminate() error { return p.signal(syscall.SIGTERM) }

// pause stops the process and returns when it has stopped; the signal alone only asks for it.
func (p process) pause() error {
	if err := p.signal(syscall.SIGSTOP); err != nil {
		return err
	}
	return p.await(time.Second, paused)
}

func (p process) resume() error {
	if err := p.signal(syscall.SIGCONT); err != nil {
		return err
	}
	return p.await(time.Second, running)
}

// await polls until the process has the status. There is no portable way to wait for another's child.
func (p process) await(limit time.Duration, want status) error {
	for deadline := time.Now().Add(limit); ; time.Sleep(time.Millisecond) {
		s := p.status()
		switch {
		case s == want:
			return nil
		case s == gone:
			return &kit.Error{Op: "wait for process", Kind: kit.Unavailable, Err: os.ErrProcessDone}
		case time.Now().After(deadline):
			return &kit.Error{Op: "wait for process", Kind: kit.Unknown, Err: os.ErrDeadlineExceeded}
		}
	}
}

// flock waits for an exclusive lock on the file; closing the file, or the end of this process, frees it.
func flock(f *os.File) error {
	for {
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

func ownedByMe(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Getuid()
}
