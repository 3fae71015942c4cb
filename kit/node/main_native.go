//go:build !wasip1

package node

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"netsplit/kit"
)

// The environment of a real node process: where its configuration lies, and the number of the file descriptor on
// which it says that it is ready.
const (
	configVar = "NETSPLIT_NODE"
	readyVar  = "NETSPLIT_READY_FD"
)

// Environment gives the environment variables that make a node program run with the configuration file at
// path and report on the file descriptor ready.
func Environment(path string, ready int) []string {
	return []string{configVar + "=" + path, readyVar + "=" + strconv.Itoa(ready)}
}

// ReadReady reads the line that a node process says when it is ready, and gives the error that it reports. io.EOF
// means that it ended without a word.
func ReadReady(r *bufio.Reader) (Ready, error) {
	line, err := r.ReadBytes('\n')
	if err != nil {
		return Ready{}, err
	}
	var ready Ready
	if err := json.Unmarshal(line, &ready); err != nil {
		return Ready{}, &kit.Error{Op: "read a node's first word", Kind: kit.Corrupt, Err: err}
	}
	return ready, ready.err()
}

// Main runs a node program and ends the process: with 0 after an orderly stop (by SIGTERM, by the verb stop,
// because its lab is gone), with 1 after an error.
func Main(app App) {
	os.Exit(Process(app, os.Stderr))
}

// Process is Main for programs that do more than being a node; it gives the exit code.
func Process(app App, errOut io.Writer) int {
	var ready *os.File
	if fd, err := strconv.Atoi(os.Getenv(readyVar)); err == nil && fd >= 3 {
		ready = os.NewFile(uintptr(fd), "ready")
	}
	return processWith(app, errOut, reporter(ready))
}

func processWith(app App, errOut io.Writer, report func(Ready)) int {
	path := os.Getenv(configVar)
	if path == "" {
		fmt.Fprintln(errOut, "this program is a node of a lab cluster; \"netsplit lab up DIR\" starts it")
		return 2
	}
	if err := process(app, path, report); err != nil {
		report(Ready{Error: err.Error(), Hint: kit.HintOf(err), Kind: int(kit.KindOf(err))})
		fmt.Fprintf(errOut, "node: %v\n", err)
		return 1
	}
	return 0
}

func process(app App, path string, report func(Ready)) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return &kit.Error{Op: "read node configuration", Kind: kit.NotFound, Err: err}
	}
	cfg, err := ParseConfig(b)
	if err != nil {
		return err
	}
	spaceCollections()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	return Run(ctx, cfg, app, func(n *Node) { report(Ready{Addr: n.Addr()}) })
}

// reporter gives a function that writes one line to a file and closes it; the first call counts.
func reporter(f *os.File) func(Ready) {
	return func(r Ready) {
		if f == nil {
			return
		}
		if line, err := json.Marshal(r); err == nil {
			_, _ = f.Write(append(line, '\n')) // a starter that has gone needs no word
		}
		f.Close()
		f = nil
	}
}
