package node

import (
	"context"
	"encoding/json"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/simlink"
	"netsplit/kit/store/disk"
	"netsplit/kit/wire"
)

// RunSimulated runs a node on a simulator's link until the link or ctx ends. It is what Main does under wasip1; tests
// run it on simlink.Pair.
func RunSimulated(ctx context.Context, link *simlink.Link, app App) error {
	cfg, err := simConfig(link.Start())
	if err != nil {
		return err
	}
	network, err := wire.NewSim(link)
	if err != nil {
		return err
	}
	d := disk.Link(link)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return run(ctx, cfg, app, Place{Network: network, Disk: &d, Files: &d, Serve: func(ctx context.Context, h door.Handler) error {
		return serveLink(ctx, link, h)
	}, Simulated: true}, nil)
}

// simConfig joins what the simulator says of the world with the program's configuration in it.
func simConfig(start simlink.Start) (Config, error) {
	var cfg Config
	if len(start.Config) > 0 {
		if err := json.Unmarshal(start.Config, &cfg); err != nil {
			return cfg, &kit.Error{Op: "read node configuration", Kind: kit.Corrupt, Err: err}
		}
	}
	cfg.Node, cfg.Cookie, cfg.Static = start.Node, start.Cookie, true
	cfg.Incarnation, cfg.Boot = uint64(start.Boots), uint64(start.Boots)
	cfg.Peers = nil
	for _, n := range start.Nodes {
		if n != start.Node {
			cfg.Peers = append(cfg.Peers, wire.Peer{Node: n, Addr: string(n)})
		}
	}
	return cfg, cfg.validate()
}

// serveLink serves the door's frames.
func serveLink(ctx context.Context, link *simlink.Link, h door.Handler) error {
	desk := door.NewDesk(ctx, h, func(line []byte) {
		_ = link.Send(simlink.Frame{Kind: simlink.Door, Data: line}) // a host that has gone reads no answers
	})
	defer desk.Close()
	link.Handle(simlink.Doors, func(f simlink.Frame) { desk.Line(f.Data) })
	if err := link.Send(simlink.Frame{Kind: simlink.Ready}); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case <-link.Ended():
	}
	return nil
}
