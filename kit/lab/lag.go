package lab

import (
	"context"
	"sync"
	"time"
)

// lagMeter measures how long this process was kept from running: a goroutine that wants to wake up at every beat
// notes by how much it came late. On a starved machine it is the grader that is slow, not the student's work.
type lagMeter struct {
	stop context.CancelFunc
	done sync.WaitGroup
	mu   sync.Mutex
	max  time.Duration
}

const (
	lagBeat = 20 * time.Millisecond
	// starvedAfter is the lag from which on a failure on a real cluster proves nothing: the store's own patience
	// (heartbeats, lock restarts) is of this order.
	starvedAfter = 400 * time.Millisecond
)

func startLag(ctx context.Context) *lagMeter {
	ctx, stop := context.WithCancel(ctx)
	m := &lagMeter{stop: stop}
	m.done.Go(func() {
		tick := time.NewTimer(lagBeat)
		defer tick.Stop()
		for {
			began := time.Now()
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				m.note(time.Since(began) - lagBeat)
				tick.Reset(lagBeat)
			}
		}
	})
	return m
}

func (m *lagMeter) note(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.max = max(m.max, d)
}

// end stops the meter and gives the longest lag.
func (m *lagMeter) end() time.Duration {
	m.stop()
	m.done.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.max
}
