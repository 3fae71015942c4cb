//go:build !wasip1

package node

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"netsplit/kit/door"
	"netsplit/kit/store/disk"
	"netsplit/kit/wire"
)

// watchEvery is how often a real node looks whether its lab is still there and whether anybody uses it.
const watchEvery = time.Second

// Reasons for which a node ends by itself.
var (
	errIdle  = errors.New("nobody used the node's door for a long time")
	errNoLab = errors.New("the lab is gone")
	errLeash = errors.New("whoever started the node has gone")
)

// Run runs a real node until ctx ends, its lab goes, nobody uses it any more, or the verb stop asks for it; these
// are orderly ends and give nil. ready, which may be nil, is told when the door is open and all layers stand.
func Run(ctx context.Context, cfg Config, app App, ready func(*Node)) error {
	if err := cfg.validate(); err != nil {
		return err
	}
	listener, err := door.Listen(cfg.Door)
	if err != nil {
		return err
	}
	network, err := wire.ListenTCP(wire.TCPConfig{Self: cfg.Node, Addr: cfg.Addr, Cookie: cfg.Cookie, Seed: cfg.Seed, Logf: logf})
	if err != nil {
		listener.Close()
		return err
	}
	place := Place{Network: network}
	if cfg.Disc != "" {
		d := disk.Dir(cfg.Disc)
		place.Disk = &d
	}
	if cfg.Backups != "" {
		d := disk.Dir(cfg.Backups)
		place.Files = &d
	}
	served := false
	place.Serve = func(ctx context.Context, h door.Handler) error {
		served = true
		return (&door.Server{Handler: h}).Serve(ctx, listener)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	var watchers sync.WaitGroup
	err = run(ctx, cfg, app, place, func(n *Node) {
		watchers.Go(func() { n.watch(cancel) })
		if cfg.Leash {
			go leash(cancel) // a read of standard input cannot be called off: it ends with the process at the latest
		}
		if ready != nil {
			ready(n)
		}
	})
	if err == nil && cfg.Ended != "" {
		_ = os.WriteFile(cfg.Ended, []byte(endedWhy(ctx)), 0o600) // without it the end looks like a crash
	}
	cancel(ErrStopped)
	if !served {
		listener.Close()
	}
	watchers.Wait()
	return err
}

// endedWhy says why a node whose life had this context ended.
func endedWhy(ctx context.Context) string {
	for _, own := range []error{errIdle, errNoLab, errLeash} {
		if errors.Is(context.Cause(ctx), own) {
			return own.Error()
		}
	}
	return EndedOrdered // a signal, or the verb stop
}

// leash ends the node when standard input ends.
func leash(stop context.CancelCauseFunc) {
	_, _ = io.Copy(io.Discard, os.Stdin) // an error is an end too
	stop(errLeash)
}

// watch ends the node when its lab has gone or nobody uses that any more, and keeps its log small.
func (n *Node) watch(stop context.CancelCauseFunc) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	told := int64(0) // the last use that the lab was told of
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-tick.C:
		}
		if n.cfg.LabFile != "" && !sameLab(n.cfg.LabFile, n.cfg.LabID) {
			n.end(stop, errNoLab)
			return
		}
		used := n.lastUse.Load()
		if used != told && n.cfg.Used != "" {
			told = used
			touch(n.cfg.Used)
		}
		if n.cfg.IdleExit > 0 && n.idle(used) > n.cfg.IdleExit {
			n.end(stop, errIdle)
			return
		}
		n.trimLog()
	}
}

// idle is how long nobody used this node's door nor another of its lab.
func (n *Node) idle(used int64) time.Duration {
	own := time.Since(n.begun) - time.Duration(used)
	if info, err := os.Stat(n.cfg.Used); n.cfg.Used != "" && err == nil {
		return min(own, time.Since(info.ModTime()))
	}
	return own
}

// touch changes a file's time. When that is not possible, only this node knows of its use.
func touch(path string) {
	now := time.Now()
	if err := os.Chtimes(path, now, now); errors.Is(err, os.ErrNotExist) {
		_ = os.WriteFile(path, nil, 0o600)
	}
}

func (n *Node) end(stop context.CancelCauseFunc, why error) {
	n.logf("the node ends: %v", why)
	n.Report("event", "the node ends: "+why.Error())
	stop(why)
}

// sameLab reports whether the lab's file still names the start of the lab that this node belongs to. A file that
// cannot be read for another reason than its absence proves nothing.
func sameLab(path, id string) bool {
	b, err := os.ReadFile(path)
	if err != nil {
		return !errors.Is(err, os.ErrNotExist)
	}
	var lab struct {
		ID string `json:"id"`
	}
	return json.Unmarshal(b, &lab) != nil || lab.ID == id
}

// trimLog begins the log anew when it has grown too long. It was opened for appending, so what is written next
// goes to its new end.
func (n *Node) trimLog() {
	if n.cfg.Log == "" {
		return
	}
	if info, err := os.Stat(n.cfg.Log); err == nil && info.Size() > MaxLog {
		_ = os.Truncate(n.cfg.Log, 0) // tried again at the next tick
	}
}
