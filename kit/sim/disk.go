package sim

import (
	"maps"
	"slices"
	"strings"

	"netsplit/kit/simlink"
	"netsplit/kit/world"
)

// DiskFault is the rule of one node's disc. The zero value is a healthy one.
type DiskFault = world.DiskFault

// maxPending bounds the changes that wait for a sync, maxSyncs the syncs that a node waits for.
const (
	maxPending = 1 << 16
	maxWaiting = 16 << 20 // bytes of changes
	maxSyncs   = 1 << 14
)

// MaxDisk is the most bytes on one node's disc, and MaxFiles the most files.
const (
	MaxDisk  = 32 << 20
	MaxFiles = 4096
)

// CrashKind says what of the un-synced changes a disc keeps when its node is killed.
type CrashKind = world.CrashKind

// The kinds of crash, see world.CrashKind.
const (
	Keep   = world.Keep
	Lose   = world.Lose
	Chance = world.Chance
)

// change is one not yet synced change of a disc.
type change struct {
	kind simlink.Kind
	name string // the file
	to   string // DiskRename: its new name
	data []byte // DiskAppend, DiskReplace
	size uint64 // DiskTruncate
}

// disk is a node's disc: what survives a crash for sure, and the changes since, in order.
type disk struct {
	durable map[string][]byte
	pending []change
	waiting int            // bytes of pending
	settled int            // changes that have left pending so far
	bytes   int            // of all files as the node sees them
	sizes   map[string]int // of each
	fault   DiskFault
	refused int // changes for which there was no room
}

func newDisk(f DiskFault) *disk {
	return &disk{durable: map[string][]byte{}, sizes: map[string]int{}, fault: f}
}

// wiped gives the disc of a node that does not run after it was emptied: the node's own files stay.
func (d *disk) wiped() *disk {
	e := newDisk(d.fault)
	e.refused = d.refused
	for name, data := range d.durable {
		if strings.HasPrefix(name, simlink.KeptPrefix) {
			e.durable[name] = data
			e.sizes[name] = len(data)
			e.bytes += len(data)
		}
	}
	return e
}

// take applies a change that the node asks for; it gives WASI's error number.
func (d *disk) take(f simlink.Frame) uint32 {
	size, exists := d.sizes[f.Name]
	c := change{kind: f.Kind, name: f.Name, data: f.Data, size: f.ID}
	grown := 0
	switch f.Kind {
	case simlink.DiskAppend:
		grown = len(f.Data)
	case simlink.DiskReplace:
		grown = len(f.Data) - size
	case simlink.DiskTruncate:
		if !exists || f.ID > uint64(size) {
			return errnoInval
		}
		grown = int(f.ID) - size
	case simlink.DiskRename:
		if c.to = string(f.Data); !exists || c.to == "" || len(c.to) > simlink.MaxName {
			return errnoInval
		}
		if c.to == f.Name {
			return errnoOK
		}
		c.data = nil
		grown = -d.sizes[c.to]
	case simlink.DiskRemove:
		if !exists {
			return errnoOK
		}
		grown = -size
	}
	room := MaxDisk
	if d.fault.Capacity > 0 {
		room = min(room, d.fault.Capacity)
	}
	if grown > 0 && (d.fault.Full || d.bytes+grown > room) || !exists && len(d.sizes) >= MaxFiles {
		d.refused++
		return errnoNospc
	}
	d.bytes += grown
	switch f.Kind {
	case simlink.DiskRename:
		d.sizes[c.to] = size
		delete(d.sizes, f.Name)
	case simlink.DiskRemove:
		delete(d.sizes, f.Name)
	default:
		d.sizes[f.Name] = size + grown
	}
	d.pending = append(d.pending, c)
	d.waiting += len(c.data)
	if len(d.pending) >= maxPending || d.waiting > maxWaiting {
		d.settle((len(d.pending) + 1) / 2) // as an operating system writes back what has waited long
	}
	return errnoOK
}

// mark gives the place in the list of changes up to which a sync that is asked for now reaches. Like a journalling file
// system, a sync of one file makes all earlier changes durable too.
func (d *disk) mark() int { return d.settled + len(d.pending) }

// settleTo makes the changes up to a mark durable.
func (d *disk) settleTo(mark int) { d.settle(max(0, mark-d.settled)) }

// settle makes the first n pending changes durable.
func (d *disk) settle(n int) {
	d.settled += n
	for _, c := range d.pending[:n] {
		d.apply(c)
		d.waiting -= len(c.data)
	}
	d.pending = slices.Delete(d.pending, 0, n)
}

func (d *disk) apply(c change) {
	switch c.kind {
	case simlink.DiskAppend:
		// The guest gets a file's bytes by copy, so that appending in place is safe.
		d.durable[c.name] = append(d.durable[c.name], c.data...)
	case simlink.DiskReplace:
		d.durable[c.name] = c.data
	case simlink.DiskTruncate:
		if int(c.size) <= len(d.durable[c.name]) {
			d.durable[c.name] = d.durable[c.name][:c.size:c.size]
		}
	case simlink.DiskRename:
		if old, ok := d.durable[c.name]; ok {
			d.durable[c.to] = old
			delete(d.durable, c.name)
		}
	case simlink.DiskRemove:
		delete(d.durable, c.name)
	}
}

// crash settles what is pending as a crash of that kind does, and gives how many changes were lost whole or in part.
func (d *disk) crash(kind CrashKind, draw dice) int {
	n := len(d.pending)
	keep := n
	switch kind {
	case Lose:
		keep = 0
	case Chance:
		keep = draw.IntN(n + 1)
		if keep < n && d.pending[keep].kind == simlink.DiskAppend && draw.chance(0.5) {
			torn := &d.pending[keep]
			torn.data = torn.data[:draw.IntN(len(torn.data)+1)]
			d.settle(keep + 1)
			keep = 0
			n = len(d.pending) + 1
		}
	}
	if keep > 0 {
		d.settle(keep)
		n -= keep
	}
	d.pending, d.waiting = nil, 0
	d.bytes, d.sizes = 0, map[string]int{}
	for name, data := range d.durable {
		d.sizes[name] = len(data)
		d.bytes += len(data)
	}
	if kind == Keep {
		return 0
	}
	return n
}

// files gives the frames that tell a node its disc at boot, in order of name.
func (d *disk) files() []simlink.Frame {
	var all []simlink.Frame
	for _, name := range slices.Sorted(maps.Keys(d.durable)) {
		all = append(all, simlink.Frame{Kind: simlink.File, Name: name, Data: d.durable[name]})
	}
	return all
}
