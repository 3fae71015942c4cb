package sim

import (
	"time"

	"netsplit/kit"
	"netsplit/kit/world"
)

// Kill ends a node as kill -9 does; DiskFault.Crash says what its disc keeps.
func (w *World) Kill(name kit.NodeName) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.alive("kill", name)
	if err != nil {
		return err
	}
	n.g.drop()
	w.stopped(n, Killed, "it was killed", n.disk.fault.Crash)
	return nil
}

// PowerOff is world.Machines' PowerOff.
func (w *World) PowerOff(name kit.NodeName) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.alive("power off", name)
	if err != nil {
		return err
	}
	crash := n.disk.fault.Crash
	if crash == Keep {
		crash = Lose
	}
	n.g.drop()
	w.stopped(n, Killed, "its machine lost power", crash)
	return nil
}

// SetDisk sets the rule of a node's disc; the zero DiskFault is a healthy disc.
func (w *World) SetDisk(name kit.NodeName, f DiskFault) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.node("set disc of", name)
	if err != nil {
		return err
	}
	if err := f.Check(); err != nil {
		return err
	}
	n.disk.fault = f
	w.note(Event{What: DiskRule, Node: name, Note: f.String()}, nil)
	return nil
}

// SetClock is world.Machines' SetClock.
func (w *World) SetClock(name kit.NodeName, off time.Duration) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.node("set clock of", name)
	if err != nil {
		return err
	}
	if err := world.CheckClock(off); err != nil {
		return err
	}
	n.skew = off
	w.note(Event{What: ClockRule, Node: name, Note: off.String()}, nil)
	return nil
}

// off is how far the node's wall clock is off, for somebody who reads it.
func (n *node) off() time.Duration {
	if n.skew != 0 {
		n.damage.ClockReads++
	}
	return n.skew
}

// SetPace is world.Machines' SetPace. It holds from the node's next turn on.
func (w *World) SetPace(name kit.NodeName, times int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.node("set pace of", name)
	if err != nil {
		return err
	}
	if err := world.CheckPace(times); err != nil {
		return err
	}
	n.pace = time.Duration(times)
	w.note(Event{What: PaceRule, Node: name, Size: times}, nil)
	return nil
}

// Damage is world.Machines' Damage.
func (w *World) Damage(name kit.NodeName) (world.Damage, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, err := w.node("look at", name)
	if err != nil {
		return world.Damage{}, err
	}
	return n.hurt(), nil
}

func (n *node) hurt() world.Damage {
	d := n.damage
	d.Refused = n.disk.refused
	return d
}
