// Package node joins the layers of one node: wire, peers, store and door. A node program, the plain one or a
// student's, calls Main with an App; the same program runs as a process of its own on real sockets and, compiled
// for wasip1, inside the simulator.
package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/mnesia"
	"netsplit/kit/proc"
	"netsplit/kit/store"
	"netsplit/kit/store/disk"
	"netsplit/kit/term"
	"netsplit/kit/wire"
)

// App is what a node program adds to the plain node. The zero App adds nothing.
type App struct {
	// Verbs are further requests that the node's door answers. They may not shadow the node's own.
	Verbs map[string]Verb
	// Start runs once when the node stands, before its door opens; the store is started only if the configuration
	// says so. What it starts must end with ctx. An error ends the node.
	Start func(ctx context.Context, n *Node) error
	// Funcs are functions that processes can run, here and asked for by other nodes, by name. They may not have the names
	// of the built-in ones (see the verb functions).
	Funcs map[string]proc.Func
	// Resolvers settle clashes of global names, by name, besides random_exit (the default), random_notify and notify_all.
	Resolvers map[string]proc.Resolver
}

// Verb answers one request. ctx ends when the client goes away or the node stops. An error becomes an outcome: a
// store's error what Mnesia answers, a kit.Error its kind, any other plain prose.
type Verb func(ctx context.Context, n *Node, args []term.Term) (term.Term, error)

// ErrStopped is the cause of the node's context when it was told to stop.
var ErrStopped = errors.New("the node was stopped")

// Place is where a node stands: the ways in and out that differ between the real world, the simulator and tests.
type Place struct {
	Network wire.Network
	Disk    *disk.Options // nil for a node without a disc
	Files   *disk.Options // where the node's own files lie, its backups; nil: on the disc
	// Serve lets requests in and gives them to the handler; it returns when ctx has ended and every handler
	// has returned.
	Serve func(ctx context.Context, h door.Handler) error
	// Simulated is a place in which no node starves by chance; see simulatedLinks.
	Simulated bool
}

// Node is one running node. Its methods are safe for concurrent use.
type Node struct {
	cfg     Config
	begun   time.Time
	ctx     context.Context
	stop    context.CancelCauseFunc
	network wire.Network
	links   *links
	store   *store.Store
	procs   *proc.Runtime
	doing   *procFace // the processes as the door shows them
	face    *mnesia.Face
	disk    *disk.Disk
	files   *disk.Kept // nil when they lie on the disc
	mux     *door.Mux
	journal *door.Journal // nil when there is none
	tasks   sync.WaitGroup

	lastUse atomic.Int64 // when the door was used last, in nanoseconds since begun
}

// Name is the node's own name.
func (n *Node) Name() kit.NodeName { return n.cfg.Node }

// Store is the node's store.
func (n *Node) Store() *store.Store { return n.store }

// Procs is the runtime of the node's processes.
func (n *Node) Procs() *proc.Runtime { return n.procs }

// Nodes lists the other nodes whose link is up and not hidden, sorted.
func (n *Node) Nodes() []kit.NodeName { return n.links.Up() }

// Known lists all other nodes that this one has been told of, sorted.
func (n *Node) Known() []kit.NodeName { return n.links.known() }

// Addr is where others reach the node.
func (n *Node) Addr() string { return n.network.Addr() }

// Report puts a line into the lab's journal, if there is one.
func (n *Node) Report(kind, text string) {
	if n.journal != nil {
		_ = n.journal.Append(door.Entry{Who: string(n.cfg.Node), Kind: kind, Text: text}) // a full disc must not end the node
	}
}

// storeEvent puts a system event of the store into the lab's journal.
func (n *Node) storeEvent(e store.Event) {
	text := "store: " + e.Kind
	for _, more := range []string{e.Context, string(e.Node), e.Text} {
		if more != "" {
			text += " " + more
		}
	}
	if e.Value != nil {
		text += " " + term.String(e.Value)
	}
	n.Report("event", text)
}

// logf writes a line to the node's log: its standard error, whose writer bounds it.
func (n *Node) logf(format string, args ...any) { logf(format, args...) }

func logf(format string, args ...any) {
	fmt.Fprintln(os.Stderr, time.Now().Format("15:04:05.000"), fmt.Sprintf(format, args...))
}

// Stop ends the node; Run returns when everything has ended.
func (n *Node) Stop() { n.stop(ErrStopped) }

// run is a node's whole life. It returns nil after an orderly stop.
func run(ctx context.Context, cfg Config, app App, place Place, ready func(*Node)) (err error) {
	n := &Node{cfg: cfg, begun: time.Now(), network: place.Network}
	n.ctx, n.stop = context.WithCancelCause(ctx)
	defer n.stop(ErrStopped)
	defer func() { err = errors.Join(err, n.close()) }()
	if err := n.open(place, app); err != nil {
		return err
	}
	if err := n.mount(app); err != nil {
		return err
	}
	if cfg.StartStore {
		if err := n.store.Start(n.ctx, store.StartOptions{}); err != nil {
			return &kit.Error{Op: "start store", Kind: kit.KindOf(err), Err: err}
		}
	}
	if app.Start != nil {
		if err := app.Start(n.ctx, n); err != nil {
			return &kit.Error{Op: "start the node's program", Kind: kit.KindOf(err), Err: err}
		}
	}
	if ready != nil {
		ready(n)
	}
	return place.Serve(n.ctx, n.mux.Serve)
}

// open makes the layers, the lowest first.
func (n *Node) open(place Place, app App) error {
	for to, rule := range n.cfg.Rules {
		n.network.Rules().Set(to, rule)
	}
	if n.cfg.Journal != "" {
		j, err := door.OpenJournal(n.cfg.Journal)
		if err != nil {
			return err
		}
		n.journal = j
	}
	var err error
	if place.Disk != nil {
		if n.disk, err = disk.Open(*place.Disk); err != nil {
			return err
		}
		for _, note := range n.disk.Notes() {
			n.Report("event", note)
		}
	}
	n.links = newLinks(n, place.Simulated)
	if err := n.openProcs(app); err != nil {
		return err
	}
	cfg := store.Config{Peers: n.links, Disk: n.disk, Watch: n.storeEvent}
	if place.Files != nil {
		if n.files, err = disk.OpenKept(*place.Files); err != nil {
			return err
		}
		cfg.Files = n.files
	}
	if n.store, err = store.Open(cfg); err != nil {
		return err
	}
	n.face = mnesia.New(n.store)
	return n.links.start(n.store)
}

// openProcs makes the runtime of processes.
func (n *Node) openProcs(app App) (err error) {
	boot := n.cfg.Boot
	if boot == 0 { // lives that follow each other within a second would have the same pids
		boot = uint64(n.begun.Unix())
	}
	n.procs, err = proc.New(proc.Config{Self: n.cfg.Node, Boot: boot, Peers: procLinks{n.links}, Funcs: app.Funcs, Resolvers: app.Resolvers,
		PreventOverlap: n.cfg.PreventOverlap, Seed: n.cfg.Seed, Report: func(text string) { n.Report("event", text) }})
	if err == nil {
		n.doing = newProcFace(n, n.procs)
	}
	return err
}

// mount makes the door's verbs: the node's, those of processes, the store's, the program's.
func (n *Node) mount(app App) error {
	mux, err := door.NewMux(n.verbs()...)
	if err != nil {
		return err
	}
	if err := mux.Add(append(n.doing.verbs(), n.doing.superVerbs()...)...); err != nil {
		return err
	}
	if err := mux.Add(n.face.Verbs()...); err != nil {
		return err
	}
	names := make([]string, 0, len(app.Verbs))
	for name := range app.Verbs {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		verb := app.Verbs[name]
		if verb == nil {
			return &kit.Error{Op: "add verb", What: name, Kind: kit.Invalid, Err: errors.New("it has no function")}
		}
		err := mux.Add(door.Verb{Name: name, Params: []string{"args..."}, Doc: "of this node's program",
			Handler: func(ctx context.Context, r door.Request) door.Outcome {
				v, err := verb(ctx, n, r.Args)
				if err != nil {
					return mnesia.Outcome(err)
				}
				if v == nil {
					v = term.Atom("ok")
				}
				return door.OKTerm(v)
			}})
		if err != nil {
			return err
		}
	}
	mux.Before(func(r door.Request) {
		if r.Verb != "status" { // a console that only watches does not keep a lab alive
			n.lastUse.Store(int64(time.Since(n.begun)))
		}
	})
	n.mux = mux
	return nil
}

// close ends the layers, the highest first, and waits for everything that was started.
func (n *Node) close() error {
	n.stop(ErrStopped)
	var errs []error
	if n.face != nil {
		n.face.Close()
	}
	if n.procs != nil {
		errs = append(errs, n.procs.Close())
	}
	if n.store != nil {
		errs = append(errs, n.store.Close())
	}
	if n.links != nil {
		n.links.close()
	}
	if n.network != nil {
		errs = append(errs, n.network.Close())
	}
	if n.disk != nil {
		errs = append(errs, n.disk.Close())
	}
	if n.files != nil {
		errs = append(errs, n.files.Close())
	}
	n.tasks.Wait()
	if n.journal != nil {
		errs = append(errs, n.journal.Close())
	}
	return errors.Join(errs...)
}
