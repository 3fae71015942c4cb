package cluster

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/node"
	"netsplit/kit/term"
	"netsplit/kit/wire"
)

// portTries is how often Up picks new ports when another process took one between choosing and using it.
const portTries = 3

// Up starts a lab's nodes and returns when each of them sees all others and Setup has run. When it fails
// nothing is left running. A lab that is up already is kit.Exists; one whose processes are gone is cleared
// first, and Cleared tells so.
func Up(ctx context.Context, spec Spec) (*Cluster, error) {
	if err := spec.validate(); err != nil {
		return nil, err
	}
	c := newCluster(files{home: spec.Home, lab: spec.Lab}, spec.Who)
	ctx, cancel := context.WithTimeoutCause(ctx, spec.ReadyIn, fmt.Errorf("it was not ready within %v", spec.ReadyIn))
	defer cancel()
	if err := c.start(ctx, spec); err != nil {
		c.closeClients()
		return nil, err
	}
	if spec.Setup != nil {
		if err := spec.Setup(ctx, c); err != nil {
			err = &kit.Error{Op: "set up lab", What: spec.Lab, Kind: kit.KindOf(err), Err: err}
			return nil, errors.Join(err, c.Down(context.WithoutCancel(ctx)))
		}
	}
	c.mu.Lock()
	c.lab.Ready = true
	lab := c.lab
	c.mu.Unlock()
	if err := writeJSON(c.files.labJSON(), lab); err != nil {
		return nil, errors.Join(err, c.Down(context.WithoutCancel(ctx)))
	}
	c.note("lab", "up "+spec.Lab, map[string]any{"nodes": spec.Nodes})
	return c, nil
}

// start does what must not happen twice at once: under the lab's lock it makes the folder and the processes.
func (c *Cluster) start(ctx context.Context, spec Spec) error {
	release, err := c.files.lockLab()
	if err != nil {
		return err
	}
	defer release()
	if err := c.clearOld(); err != nil {
		return err
	}
	if err := c.prepare(spec); err != nil {
		return err
	}
	for try := 1; ; try++ {
		err = c.startAll(ctx)
		if err == nil {
			return nil
		}
		c.endAll(c.lab, 0)
		if kit.KindOf(err) != kit.Exists || try == portTries {
			break
		}
	}
	c.closeLeashes()
	c.clear(c.lab)
	if spec.Temporary {
		return errors.Join(err, os.RemoveAll(c.files.dir()))
	}
	return err
}

// clearOld makes way for a new start of the lab.
func (c *Cluster) clearOld() error {
	var old labFile
	switch err := readJSON(c.files.labJSON(), &old); kit.KindOf(err) {
	case kit.Unknown: // there is one
		if l := c.files.look(old); !l.Stale {
			return &kit.Error{Op: "start lab", What: old.Lab, Kind: kit.Exists, Err: errors.New("it is running already"),
				Hint: fmt.Sprintf("\"netsplit lab ps\" shows it, \"netsplit lab down %s\" ends it", old.Lab)}
		}
		c.Cleared = true
		c.endAll(old, 0)
		c.clear(old)
	case kit.NotFound:
	default: // it cannot be read, so its processes cannot be found; they end by themselves when it goes
		c.Cleared = true
	}
	return nil
}

// prepare lays out the lab's folder anew. The old journal is kept beside the new one.
func (c *Cluster) prepare(spec Spec) error {
	f := c.files
	broken := func(err error) error {
		return &kit.Error{Op: "make lab folder", What: f.dir(), Kind: kit.Broken, Err: err, Hint: "set NETSPLIT_HOME to a folder that you can write to"}
	}
	if err := os.MkdirAll(f.dir(), 0o700); err != nil {
		return broken(err)
	}
	for _, path := range []string{f.labJSON(), f.rules(), f.used(), filepath.Join(f.dir(), "nodes")} {
		if err := os.RemoveAll(path); err != nil {
			return broken(err)
		}
	}
	if err := os.Rename(f.journal(), f.oldJournal()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return broken(err)
	}
	all := slices.Concat(spec.Nodes, spec.Hidden)
	doors, err := f.doorFolder(all)
	if err != nil {
		return err
	}
	c.lab = labFile{Lab: spec.Lab, ID: rand.Text(), Since: time.Now().Round(time.Millisecond), Dir: spec.Dir, Program: spec.Program,
		Nodes: all, Hidden: slices.Clone(spec.Hidden), Doors: doors, Cookie: rand.Text(), Temporary: spec.Temporary,
		StartStore: spec.StartStore, Manual: spec.Manual, PreventOverlap: spec.PreventOverlap, IdleExit: spec.IdleExit}
	for _, n := range all {
		if err := os.MkdirAll(f.disc(n), 0o700); err != nil {
			return broken(err)
		}
	}
	if c.journal, err = door.OpenJournal(f.journal()); err != nil {
		return err
	}
	return writeJSON(f.labJSON(), c.lab)
}

// startAll picks ports, starts every node and waits until each sees all others.
func (c *Cluster) startAll(ctx context.Context) error {
	addrs, err := freeAddrs(len(c.lab.Nodes))
	if err != nil {
		return err
	}
	peers := make([]wire.Peer, 0, len(addrs))
	for i, n := range c.lab.Nodes {
		peers = append(peers, wire.Peer{Node: n, Addr: addrs[i]})
	}
	errs := make([]error, len(peers))
	var work sync.WaitGroup
	for i, n := range c.lab.Nodes {
		work.Go(func() { errs[i] = c.startNode(ctx, n, peers, nil) })
	}
	work.Wait()
	for i, err := range errs {
		if err != nil {
			return c.explain(c.lab.Nodes[i], err)
		}
	}
	if c.lab.Manual {
		return nil
	}
	for i, n := range c.lab.Nodes {
		others := c.lab.Nodes
		if slices.Contains(c.lab.Hidden, n) {
			others = c.lab.visible() // hidden nodes do not look for each other
		}
		work.Go(func() { errs[i] = c.awaitNodes(ctx, n, others) })
	}
	work.Wait()
	for i, err := range errs {
		if err != nil {
			return c.explain(c.lab.Nodes[i], err)
		}
	}
	return nil
}

// freeAddrs finds n free ports of the loopback interface. They are all held at once, so they differ.
func freeAddrs(n int) ([]string, error) {
	var addrs []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, &kit.Error{Op: "find a free port", Kind: kit.Unavailable, Err: err}
		}
		defer l.Close()
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}

// startNode starts one node's process and waits for its word that its door is open.
func (c *Cluster) startNode(ctx context.Context, n kit.NodeName, peers []wire.Peer, rules map[kit.NodeName]wire.Rule) error {
	f := c.files
	cfg := node.Config{Node: n, Lab: c.lab.Lab, LabID: c.lab.ID, LabFile: f.labJSON(), Cookie: c.lab.Cookie, Rules: rules,
		Disc: f.disc(n), Backups: f.backups(n), Door: c.lab.doorPath(n), Journal: f.journal(), Log: f.log(n), Ended: f.ended(n), Used: f.used(),
		StartStore: c.lab.StartStore, Manual: c.lab.Manual, PreventOverlap: c.lab.PreventOverlap, IdleExit: c.lab.IdleExit, Leash: c.lab.Temporary,
		Hidden: slices.Contains(c.lab.Hidden, n)}
	var before node.Config
	_ = readJSON(f.config(n), &before) // the first time there is none
	cfg.Boot = before.Boot + 1
	for _, p := range peers {
		switch {
		case p.Node == n:
			cfg.Addr = p.Addr
		case !slices.Contains(c.lab.Hidden, p.Node): // a hidden node connects to the others, not they to it
			cfg.Peers = append(cfg.Peers, p)
		}
	}
	if err := os.Remove(f.ended(n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &kit.Error{Op: "start node", What: string(n), Kind: kit.Broken, Err: err}
	}
	if err := writeJSON(f.config(n), cfg); err != nil {
		return err
	}
	word, err := c.launch(n, cfg)
	if err != nil {
		return err
	}
	defer word.Close()
	stop := context.AfterFunc(ctx, func() { word.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	ready, err := node.ReadReady(bufio.NewReader(io.LimitReader(word, 64<<10)))
	if err != nil && ctx.Err() != nil {
		return &kit.Error{Op: "start node", What: string(n), Kind: kit.Unknown, Err: context.Cause(ctx)}
	}
	if errors.Is(err, io.EOF) {
		return &kit.Error{Op: "start node", What: string(n), Kind: kit.Broken, Err: errors.New("its program ended while starting"),
			Hint: "a node's program must call node.Main and nothing may end it"}
	}
	if err != nil {
		e := &kit.Error{Op: "start node", What: string(n), Kind: kit.KindOf(err), Err: err}
		if e.Kind == kit.Corrupt {
			e.Hint = fmt.Sprintf("restore a backup of %s; or remove that folder, restart the node, and get its tables from another node "+
				"with %s.db.start(extra_db_nodes=[...])", f.disc(n), n)
		}
		return e
	}
	return c.updateNode(n, func(nf *nodeFile) { nf.Address = ready.Addr })
}

// program is the command that runs a node. Our own program may have moved since the lab was started: under "go
// run" it lies in another temporary folder each time.
func (l labFile) program() ([]string, error) {
	if len(l.Program) > 0 {
		return l.Program, nil
	}
	self, err := os.Executable()
	return []string{self, "__node"}, err
}

// launch starts the process and records it. The word is the pipe on which the node says that it is ready.
func (c *Cluster) launch(n kit.NodeName, cfg node.Config) (word *os.File, err error) {
	broken := func(err error) (*os.File, error) {
		return nil, &kit.Error{Op: "start node", What: string(n), Kind: kit.Broken, Err: err}
	}
	log, err := os.OpenFile(cfg.Log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return broken(err)
	}
	defer log.Close()
	read, write, err := os.Pipe()
	if err != nil {
		return broken(err)
	}
	defer write.Close()
	program, err := c.lab.program()
	if err != nil {
		return broken(err)
	}
	cmd := exec.Command(program[0], program[1:]...)
	cmd.Dir = c.files.node(n)
	cmd.Env = append(os.Environ(), node.Environment(c.files.config(n), 3)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{write}
	if cfg.Leash {
		leashEnd, leash, err := os.Pipe()
		if err != nil {
			read.Close()
			return broken(err)
		}
		defer leashEnd.Close()
		cmd.Stdin = leashEnd
		c.mu.Lock()
		c.leash = append(c.leash, leash)
		c.mu.Unlock()
	}
	p, err := spawn(cmd)
	if err != nil {
		read.Close()
		return broken(fmt.Errorf("run %s: %w", program[0], err))
	}
	nf := nodeFile{Pid: p.pid, Started: p.started, Address: cfg.Addr, Since: time.Now().Round(time.Millisecond)}
	if err := writeJSON(c.files.process(n), nf); err != nil {
		read.Close()
		return nil, errors.Join(err, p.kill())
	}
	return read, nil
}

// awaitNodes waits until node n has links to all the others that are named.
func (c *Cluster) awaitNodes(ctx context.Context, n kit.NodeName, all []kit.NodeName) error {
	var others term.List
	for _, o := range all {
		if o != n {
			others = append(others, term.Atom(o))
		}
	}
	out := c.Call(ctx, system, n, door.Request{Verb: "await_nodes", Args: []term.Term{others}})
	if err := out.Err(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return &kit.Error{Op: "wait for the links of node", What: string(n), Kind: kit.KindOf(err), Err: err}
	}
	return nil
}

// explain adds the end of the node's log to an error of its start: there a panic or a message of the program is.
func (c *Cluster) explain(n kit.NodeName, err error) error {
	tail := c.files.logTail(n, 12)
	if tail == "" {
		return err
	}
	return &kit.Error{Kind: kit.KindOf(err), Err: fmt.Errorf("%w\nnode %s wrote:\n%s", err, n, tail), Hint: kit.HintOf(err)}
}

// logTail gives the end of a node's log, indented: from a panic on if there is one, else the last lines.
func (f files) logTail(n kit.NodeName, lines int) string {
	const most = 256 << 10
	file, err := os.Open(f.log(n))
	if err != nil {
		return ""
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Size() > most {
		if _, err := file.Seek(-most, io.SeekEnd); err != nil {
			return ""
		}
	}
	b, err := io.ReadAll(io.LimitReader(file, most))
	if err != nil {
		return ""
	}
	all := strings.Split(strings.TrimSpace(strings.ToValidUTF8(string(b), "?")), "\n")
	from := max(0, len(all)-lines)
	for i := len(all) - 1; i >= 0; i-- {
		if strings.HasPrefix(all[i], "panic: ") || strings.HasPrefix(all[i], "fatal error: ") {
			from = i
			break
		}
	}
	var out []string
	for _, l := range all[from:min(len(all), from+lines)] {
		if l != "" {
			out = append(out, "  "+l[:min(len(l), 300)])
		}
	}
	return strings.Join(out, "\n")
}

// updateNode changes what is recorded of a node's process.
func (c *Cluster) updateNode(n kit.NodeName, change func(*nodeFile)) error {
	var nf nodeFile
	if err := readJSON(c.files.process(n), &nf); err != nil {
		return err
	}
	change(&nf)
	return writeJSON(c.files.process(n), nf)
}

// note writes an entry into the lab's journal. A journal that cannot be written must not stop a fault or a
// start, so the error is dropped; the next reader sees the gap.
func (c *Cluster) note(kind, text string, data any) { c.noteAt(time.Now(), kind, text, data) }

func (c *Cluster) noteAt(at time.Time, kind, text string, data any) {
	raw, err := json.Marshal(data)
	if err != nil || data == nil {
		raw = nil
	}
	if c.journal != nil {
		_ = c.journal.Append(door.Entry{Time: at, Who: c.who, Kind: kind, Text: text, Data: raw})
	}
}
