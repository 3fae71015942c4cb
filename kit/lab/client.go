package lab

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/term"
	"netsplit/kit/wire"
)

// ClientPatience is how long the clients of a simulated lab wait for an answer. It is longer than labs let a request take, so
// that an answer that comes too late is on record as one.
const ClientPatience = 7 * time.Second

// Ask sends a request and waits for the answer as long as a client does: ClientPatience, in the cluster's time.
func Ask(ctx context.Context, w *World, who string, node kit.NodeName, verb string, args ...term.Term) door.Outcome {
	return w.Do(Patient(ctx, ClientPatience), who, node, verb, args...)
}

// Client is somebody who asks a cluster for one thing after the other, and draws what. What one client draws depends on the
// seed and on its own stream alone, however many others there are and however quickly each is answered. It must not be used
// by two goroutines at once; two clients of one name and stream want the same things.
type Client struct {
	Name string
	Rand *rand.Rand
	Made int // how many requests NextName has named
}

// NewClient gives a client that draws from a stream of the seed. The clients of a run have different streams.
func NewClient(name string, seed, stream uint64) *Client {
	return &Client{Name: name, Rand: rand.New(rand.NewPCG(seed, stream))}
}

// ClientName is what people call the i-th client of a run, from 0. There are eight names; then they begin again.
func ClientName(i int) string {
	names := [...]string{"ada", "bo", "cleo", "dan", "eve", "fay", "gus", "hal"}
	return names[i%len(names)]
}

// Ask sends a request in the client's name, and waits for the answer.
func (c *Client) Ask(ctx context.Context, w *World, node kit.NodeName, verb string, args ...term.Term) door.Outcome {
	return Ask(ctx, w, c.Name, node, verb, args...)
}

// NextName is the name of the client's next request: ada-1, ada-2.
func (c *Client) NextName() string {
	c.Made++
	return fmt.Sprintf("%s-%d", c.Name, c.Made)
}

// Pause waits for so many whole milliseconds, at least one and less than the other. It gives an error when the run is over.
func (c *Client) Pause(ctx context.Context, w *World, least, most time.Duration) error {
	return w.Sleep(ctx, least+time.Duration(c.Rand.Int64N(max(1, (most-least).Milliseconds())))*time.Millisecond)
}

// AnyNode draws one of the cluster's nodes.
func (c *Client) AnyNode(w *World) kit.NodeName {
	nodes := w.Nodes()
	return nodes[c.Rand.IntN(len(nodes))]
}

// SlowLinks makes all links slow and uneven, so that what happens at once on several nodes overlaps. It is no fault but how
// this network is, so it is not on record as one.
func SlowLinks(w *World, rule wire.Rule) error {
	for _, a := range w.Nodes() {
		for _, b := range w.Nodes() {
			if a == b {
				continue
			}
			if err := w.World.Link(a, b, rule); err != nil {
				return err
			}
		}
	}
	return nil
}
