package proc

import (
	"context"
	"time"
)

// outputLog keeps the last lines of output that came to this node.
type outputLog struct {
	lines []Line
	first uint64        // number of lines[0]; the first line of all is 1
	fresh chan struct{} // closed and replaced with every line
}

func (o *outputLog) add(l Line) {
	if len(l.Text) > MaxLine {
		l.Text = l.Text[:MaxLine]
	}
	if len(o.lines) == 0 && o.first == 0 {
		o.first = 1
	}
	o.lines = append(o.lines, l)
	if over := len(o.lines) - MaxOutput; over >= MaxOutput/4 {
		o.lines = append([]Line(nil), o.lines[over:]...)
		o.first += uint64(over)
	}
	close(o.fresh)
	o.fresh = make(chan struct{})
}

// after gives the lines behind a number, and the number of the last one.
func (o *outputLog) after(n uint64) ([]Line, uint64) {
	last := o.first + uint64(len(o.lines))
	if last > 0 {
		last--
	}
	if n >= last {
		return nil, last
	}
	from := 0
	if n >= o.first {
		from = int(n - o.first + 1)
	}
	return append([]Line(nil), o.lines[from:]...), last
}

// Output gives the lines of output that came to this node behind the line numbered after, and the number of the last
// one; 0 begins with the oldest that is kept. It waits at most so long for the first. Lines that are no longer kept
// are left out.
func (r *Runtime) Output(ctx context.Context, after uint64, wait time.Duration) ([]Line, uint64) {
	t := time.NewTimer(wait)
	defer t.Stop()
	for {
		r.mu.Lock()
		lines, last := r.output.after(after)
		fresh := r.output.fresh
		r.mu.Unlock()
		if len(lines) > 0 || wait <= 0 {
			return lines, last
		}
		select {
		case <-fresh:
		case <-t.C:
			wait = 0
		case <-ctx.Done():
			return nil, last
		case <-r.ctx.Done():
			return nil, last
		}
	}
}
