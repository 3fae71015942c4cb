package cluster

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"netsplit/kit"
	"netsplit/kit/node"
)

// Lab is what List finds out about one lab without asking its nodes.
type Lab struct {
	Name      string
	Since     time.Time
	Dir       string // the student's workspace, if it was started from one
	Temporary bool   // a grader's cluster
	Ready     bool   // false while it is being started and set up
	Stale     bool   // every process that should run is gone: a crash, a reboot, an idle end
	Nodes     []NodeState
}

// NodeState is the process of one node.
type NodeState struct {
	Node    kit.NodeName
	Pid     int
	State   string // one of the states below
	Address string // where other nodes reach it
	Since   time.Time
}

// The states of a node's process.
const (
	Running = "running"
	Paused  = "paused"
	Killed  = "killed"  // by Kill
	Stopped = "stopped" // by Stop, or by its own door
	Crashed = "crashed" // it ended, and nobody ordered it
)

// look finds out how a lab's processes are.
func (f files) look(l labFile) Lab {
	lab := Lab{Name: l.Lab, Since: l.Since, Dir: l.Dir, Temporary: l.Temporary, Ready: l.Ready}
	expected, there := 0, 0
	for _, n := range l.Nodes {
		s, nf := f.state(n)
		lab.Nodes = append(lab.Nodes, s)
		if nf.Ended == "" {
			expected++
		}
		if s.State == Running || s.State == Paused {
			there++
		}
	}
	lab.Stale = there == 0 && (expected > 0 || bootChanged(f, l))
	return lab
}

// bootChanged tells whether the machine was started anew since: then even nodes that were killed on purpose
// are no reason to think that somebody still works with the lab.
func bootChanged(f files, l labFile) bool {
	here, _ := identity(os.Getpid())
	boot, _, _ := strings.Cut(here, "/")
	for _, n := range l.Nodes {
		var nf nodeFile
		if readJSON(f.process(n), &nf) == nil && strings.Contains(nf.Started, "/") {
			was, _, _ := strings.Cut(nf.Started, "/")
			return was != boot
		}
	}
	return false
}

// state looks at one node's process.
func (f files) state(n kit.NodeName) (NodeState, nodeFile) {
	var nf nodeFile
	if err := readJSON(f.process(n), &nf); err != nil {
		return NodeState{Node: n, State: Crashed}, nf
	}
	s := NodeState{Node: n, Pid: nf.Pid, Address: nf.Address, Since: nf.Since}
	switch (process{nf.Pid, nf.Started}).status() {
	case running:
		s.State = Running
	case paused:
		s.State = Paused
	default:
		s.Pid = 0
		if b, err := os.ReadFile(f.ended(n)); err == nil && nf.Ended == "" && string(b) == node.EndedOrdered {
			nf.Ended = Stopped
		}
		s.State = cmp.Or(nf.Ended, Crashed)
	}
	return s, nf
}

// List gives the labs that are up, by name. home "" means Home(). A lab whose files cannot be read is stale.
func List(home string) ([]Lab, error) {
	home, err := homeOr(home)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(filepath.Join(home, "labs"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, &kit.Error{Op: "list labs", Kind: kit.Broken, Err: err}
	}
	var labs []Lab
	for _, e := range entries {
		if !e.IsDir() || !ValidLab(e.Name()) {
			continue
		}
		f := files{home: home, lab: e.Name()}
		var l labFile
		switch err := readJSON(f.labJSON(), &l); {
		case kit.KindOf(err) == kit.NotFound && err != nil:
			continue // it is down; only its journal and logs are left
		case err != nil || l.Lab != e.Name():
			labs = append(labs, Lab{Name: e.Name(), Stale: true})
		default:
			labs = append(labs, f.look(l))
		}
	}
	return labs, nil
}

func homeOr(home string) (string, error) {
	if home != "" {
		return home, nil
	}
	return Home()
}

// Open gives a handle on a lab that is up. lab "" means the only one that is; graders' temporary clusters do
// not count then. who acts, for the journal.
func Open(home, lab, who string) (*Cluster, error) {
	home, err := homeOr(home)
	if err != nil {
		return nil, err
	}
	if lab == "" {
		if lab, err = onlyLab(home); err != nil {
			return nil, err
		}
	}
	if !ValidLab(lab) {
		return nil, invalid("open lab", lab, "that cannot be the name of a lab", "\"netsplit lab ps\" lists the running labs")
	}
	c := newCluster(files{home: home, lab: lab}, who)
	if err := readJSON(c.files.labJSON(), &c.lab); err != nil {
		if kit.KindOf(err) == kit.NotFound {
			return nil, notRunning(home, lab)
		}
		return nil, err
	}
	if c.files.look(c.lab).Stale {
		return nil, &kit.Error{Op: "open lab", What: lab, Kind: kit.Unavailable, Err: errors.New("its processes are gone"),
			Hint: fmt.Sprintf("\"netsplit lab up %s\" starts it anew", lab)}
	}
	c.opened = time.Now()
	if c.journal, err = openJournal(c.files); err != nil {
		return nil, err
	}
	return c, nil
}

func notRunning(home, lab string) error {
	e := &kit.Error{Op: "open lab", What: lab, Kind: kit.NotFound, Err: errors.New("it is not running"),
		Hint: fmt.Sprintf("\"netsplit lab up %s\" starts it", lab)}
	if names := runningLabs(home); len(names) > 0 {
		e.Hint += "; running: " + strings.Join(names, ", ")
	}
	return e
}

func runningLabs(home string) []string {
	labs, err := List(home)
	if err != nil {
		return nil // the caller only wants to name some
	}
	var names []string
	for _, l := range labs {
		if !l.Stale && !l.Temporary {
			names = append(names, l.Name)
		}
	}
	return names
}

func onlyLab(home string) (string, error) {
	names := runningLabs(home)
	switch len(names) {
	case 0:
		return "", &kit.Error{Op: "find the running lab", Kind: kit.NotFound, Err: errors.New("no lab is running"),
			Hint: "start one with \"netsplit lab up LAB\"; \"netsplit lab list\" names them"}
	case 1:
		return names[0], nil
	}
	return "", &kit.Error{Op: "find the running lab", Kind: kit.Invalid,
		Err: fmt.Errorf("several labs are running: %s", strings.Join(names, ", ")), Hint: "say which with --lab NAME"}
}

// Down ends a lab by name, also a stale one; there must be one. It reports whether the lab was stale.
func Down(home, lab string) (stale bool, err error) {
	home, err = homeOr(home)
	if err != nil {
		return false, err
	}
	if !ValidLab(lab) {
		return false, invalid("end lab", lab, "that cannot be the name of a lab", "\"netsplit lab ps\" lists the running labs")
	}
	f := files{home: home, lab: lab}
	release, err := f.lockLab()
	if err != nil {
		return false, err
	}
	defer release()
	var l labFile
	err = readJSON(f.labJSON(), &l)
	switch {
	case kit.KindOf(err) == kit.NotFound && err != nil:
		return false, notRunning(home, lab)
	case err != nil:
		// Its processes cannot be found, but they end by themselves when their lab's file goes.
		return true, os.RemoveAll(f.labJSON())
	}
	stale = f.look(l).Stale
	c := newCluster(f, "cli")
	c.journal, _ = openJournal(f) // ending a lab must work without a journal
	defer c.closeClients()
	c.endAll(l, endTime)
	c.note("lab", "down "+lab, nil)
	c.clear(l)
	return stale, f.removeTemporary(l)
}

// removeTemporary removes the whole folder of a grader's cluster.
func (f files) removeTemporary(l labFile) error {
	if !l.Temporary {
		return nil
	}
	if err := errors.Join(os.RemoveAll(f.dir()), os.RemoveAll(f.lock())); err != nil {
		return &kit.Error{Op: "remove lab folder", What: f.dir(), Kind: kit.Broken, Err: err}
	}
	return nil
}

// endTime is how long nodes may take to end in an orderly way before they are killed.
const endTime = 2 * time.Second

// endAll ends a lab's processes: asked first when patience allows, then killed. Paused ones are killed at once.
func (c *Cluster) endAll(l labFile, patience time.Duration) {
	var left []process
	for _, n := range l.Nodes {
		var nf nodeFile
		if readJSON(c.files.process(n), &nf) == nil {
			left = append(left, process{nf.Pid, nf.Started})
		}
	}
	dead := func(p process) bool { return p.status() == gone }
	left = slices.DeleteFunc(left, dead)
	for _, p := range left {
		if p.status() == paused || patience == 0 || p.terminate() != nil {
			_ = p.kill() // it may have ended by itself meanwhile
		}
	}
	for deadline := time.Now().Add(patience); len(left) > 0 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		left = slices.DeleteFunc(left, dead)
	}
	for _, p := range left {
		_ = p.kill()
	}
	for deadline := time.Now().Add(endTime); len(left) > 0 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		left = slices.DeleteFunc(left, dead)
	}
}

// clear removes what makes a lab a running one. Journal and logs stay for those who want to look back. What
// cannot be removed now is removed by the next start.
func (c *Cluster) clear(l labFile) {
	_ = os.Remove(c.files.labJSON())
	_ = os.Remove(c.files.rules())
	_ = os.Remove(c.files.used())
	for _, n := range l.Nodes {
		_ = os.Remove(l.doorPath(n))
		_ = os.Remove(c.files.process(n))
		_ = os.Remove(c.files.config(n))
		_ = os.RemoveAll(c.files.disc(n))
		_ = os.RemoveAll(c.files.backups(n))
	}
	if l.Doors != "" {
		_ = os.Remove(l.Doors) // only when empty
	}
}
