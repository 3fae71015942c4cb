//go:build !unix

package cluster

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"time"

	"netsplit/kit"
)

// On systems without unix processes and signals there are no real clusters; the simulated world works.

type process struct {
	pid     int
	started string
}

type status int

const (
	gone status = iota
	running
	paused
)

var errNoUnix = &kit.Error{Op: "run a real cluster", Kind: kit.Unavailable, Err: errors.New("this system has no unix processes"),
	Hint: "use Linux, macOS, or WSL on Windows; code labs are graded in the simulator and need neither"}

func spawn(*exec.Cmd) (process, error)            { return process{}, errNoUnix }
func (process) status() status                    { return gone }
func (process) kill() error                       { return errNoUnix }
func (process) terminate() error                  { return errNoUnix }
func (process) pause() error                      { return errNoUnix }
func (process) resume() error                     { return errNoUnix }
func (process) await(time.Duration, status) error { return errNoUnix }
func identity(int) (string, byte)                 { return "", 0 }
func flock(*os.File) error                        { return errNoUnix }
func ownedByMe(fs.FileInfo) bool                  { return true }
