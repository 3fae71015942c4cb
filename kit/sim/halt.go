package sim

import (
	"context"
	"time"
)

// Halt is a moment at which a world stands still for somebody to look at it, and ends then. Until that moment the run is the same
// as without it, to the byte.
type Halt struct {
	// At stops before the first thing that happens after this time; Seq, when it is not 0, after the entry of the log
	// with this number. Whoever computes then is let finish its turn.
	At  time.Duration
	Seq uint64
	// Look is called as a client of the world, the only one that still runs: the others stand where they stood. What it
	// asks of nodes makes them go on, so Picture comes first. The world ends when it returns.
	Look func(ctx context.Context, w *World)
}

// Halted is what Over says of a world that ended because of Config.Halt.
const Halted = "it was stopped to be looked at"

// halt makes the world stand still when its moment has come. It gives the client that looks, to run next.
func (w *World) halt() *waiter {
	s := w.cfg.Halt
	if s == nil || s.Look == nil || w.halted || w.over != "" {
		return nil
	}
	switch {
	case s.Seq > 0 && w.log.seq < s.Seq:
		return nil
	case s.Seq == 0 && len(w.queue) > 0 && w.queue[0].at <= s.At:
		return nil
	case s.Seq == 0:
		w.now = max(w.now, s.At)
	}
	w.halted = true
	w.frozen, w.parked = w.parked, nil
	w.clients++
	x := &waiter{wake: make(chan struct{}, 1)}
	go func() {
		<-x.wake
		w.mu.Lock() // whoever woke it is still inside
		ctx := w.ctx
		w.mu.Unlock()
		defer w.gone()
		defer w.thaw()
		s.Look(ctx, w)
	}()
	return x
}

// thaw ends the world after a look, so that those who stood still end, too.
func (w *World) thaw() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.parked = append(w.frozen, w.parked...)
	w.frozen = nil
	w.end(Halted)
}
