package cluster

import (
	"context"
	"errors"
	"slices"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/world"
)

var _ world.World = (*Cluster)(nil)

// system is the client name of the cluster's own orders.
const system = "cluster"

// Journal and Entry are the lab's journal; it lies beside the door because nodes write into it too.
type (
	Journal = door.Journal
	Entry   = door.Entry
)

func openJournal(f files) (*door.Journal, error) { return door.OpenJournal(f.journal()) }

func newCluster(f files, who string) *Cluster {
	c := &Cluster{files: f, who: who, opened: time.Now(), clients: map[clientKey]*door.Client{}}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// Lab is the lab's name.
func (c *Cluster) Lab() string { return c.files.lab }

// Dir is the workspace that the lab was started from; empty when there is none.
func (c *Cluster) Dir() string { return c.lab.Dir }

// Since is when the lab was started.
func (c *Cluster) Since() time.Time { return c.lab.Since }

// Look gives the state of the lab's processes.
func (c *Cluster) Look() Lab { return c.files.look(c.lab) }

// Journal appends to the lab's journal as the one who opened the cluster; the shell writes what was typed.
func (c *Cluster) Journal(kind, text string, data any) { c.note(kind, text, data) }

// JournalPath is the lab's journal.jsonl, for door.ReadJournal. It stays when the lab goes down, until the lab
// is started anew.
func JournalPath(home, lab string) (string, error) {
	home, err := homeOr(home)
	if err != nil {
		return "", err
	}
	if !ValidLab(lab) {
		return "", invalid("find journal of lab", lab, "that cannot be the name of a lab", "")
	}
	return files{home: home, lab: lab}.journal(), nil
}

// LogPath is the file with what a node printed.
func (c *Cluster) LogPath(n kit.NodeName) string { return c.files.log(n) }

// Nodes lists the lab's nodes, running or not.
func (c *Cluster) Nodes() []kit.NodeName { return slices.Clone(c.lab.Nodes) }

// Visible is the cluster as a lab knows it: without its hidden nodes.
func (c *Cluster) Visible() world.World { return visible{c} }

type visible struct{ *Cluster }

// Nodes lists the nodes that make up the cluster.
func (v visible) Nodes() []kit.NodeName { return v.lab.visible() }

// Call asks a node's door as the given client. Each client has a connection of its own to each node; when the
// connection breaks, what the client had open at that node ends, and its next call opens a new one. A node that
// does not run is door.Down.
func (c *Cluster) Call(ctx context.Context, client string, n kit.NodeName, req door.Request) door.Outcome {
	if err := c.known(n); err != nil {
		return door.FromError(err)
	}
	key := clientKey{n, client}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return door.NotRunning("the cluster is closed")
	}
	cl := c.clients[key]
	if cl == nil {
		cl = door.NewClient(door.DialUnix(c.lab.doorPath(n)))
		c.clients[key] = cl
	}
	c.mu.Unlock()
	req.Client = client
	return cl.Call(ctx, req)
}

// Leave ends a client's sessions at every node, as if its process had died.
func (c *Cluster) Leave(client string) {
	c.mu.Lock()
	var leaving []*door.Client
	for key, cl := range c.clients {
		if key.client == client {
			leaving = append(leaving, cl)
			delete(c.clients, key)
		}
	}
	c.mu.Unlock()
	for _, cl := range leaving {
		cl.Close()
	}
}

// dropClients closes the connections to a node that is started anew.
func (c *Cluster) dropClients(n kit.NodeName) {
	c.mu.Lock()
	var old []*door.Client
	for key, cl := range c.clients {
		if key.node == n {
			old = append(old, cl)
			delete(c.clients, key)
		}
	}
	c.mu.Unlock()
	for _, cl := range old {
		cl.Close()
	}
}

// Now is the time since this handle on the cluster was made.
func (c *Cluster) Now() time.Duration { return time.Since(c.opened) }

// Sleep passes real time.
func (c *Cluster) Sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Go runs f as one client beside the others; its context ends with Close.
func (c *Cluster) Go(f func(ctx context.Context)) { c.work.Go(func() { f(c.ctx) }) }

// Wait waits for everything started with Go.
func (c *Cluster) Wait() { c.work.Wait() }

// Close ends the handle: its connections, and what Go started. The nodes run on, unless the cluster is temporary.
func (c *Cluster) Close() error {
	c.cancel()
	c.work.Wait()
	var err error
	c.mu.Lock()
	own := c.lab.Temporary && len(c.leash) > 0 && !c.closed
	c.mu.Unlock()
	if own {
		err = c.down()
	}
	c.closeClients()
	c.closeLeashes()
	return err
}

// Down ends the lab: its nodes in an orderly way, then what made it a running lab. Journal and logs stay, except a
// temporary cluster's. The handle is closed.
func (c *Cluster) Down(context.Context) error {
	c.cancel()
	c.work.Wait()
	err := c.down()
	c.closeClients()
	c.closeLeashes()
	return err
}

func (c *Cluster) down() error {
	release, err := c.locked()
	if err != nil {
		return err
	}
	defer release()
	patience := endTime
	if c.lab.Temporary {
		patience = 0 // nothing on its disc will be read again
	}
	c.endAll(c.lab, patience)
	c.note("lab", "down "+c.lab.Lab, nil)
	c.clear(c.lab)
	return c.files.removeTemporary(c.lab)
}

// closeClients ends every connection; calls under way are lost.
func (c *Cluster) closeClients() {
	c.mu.Lock()
	c.closed = true
	clients := c.clients
	c.clients = map[clientKey]*door.Client{}
	c.mu.Unlock()
	for _, cl := range clients {
		cl.Close()
	}
	if c.journal != nil {
		_ = c.journal.Close() // everything was written when it was appended
	}
}

func (c *Cluster) closeLeashes() {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, l := range c.leash {
		errs = append(errs, l.Close())
	}
	c.leash = nil
	_ = errors.Join(errs...) // a pipe's end that cannot be closed is closed
}
