// Command toy is a small node for the simulator's own tests: it does what makes ordinary Go programs differ from
// run to run (tickers, selects, map iteration, random numbers, goroutines) and sends the results to its peers.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"strings"
	"sync"
	"time"

	"netsplit/kit"
	"netsplit/kit/simlink"
	"netsplit/kit/wire"
)

// node is what the toy knows: counters by word, which it gossips.
type node struct {
	link *simlink.Link
	net  wire.Network

	mu    sync.Mutex
	words map[string]int
	conns map[kit.NodeName]wire.Conn
	got   int
}

func main() {
	link, err := simlink.Open()
	if err != nil {
		fmt.Fprintln(os.Stderr, "toy:", err)
		os.Exit(1)
	}
	fmt.Println("toy starts", link.Start().Node, "boot", link.Start().Boots)
	net, err := wire.NewSim(link)
	if err != nil {
		panic(err)
	}
	n := &node{link: link, net: net, words: map[string]int{}, conns: map[kit.NodeName]wire.Conn{}}
	for i := range 20 {
		n.words[fmt.Sprint("word", i)] = i
	}
	link.Handle(simlink.Doors, func(f simlink.Frame) { go n.serve(f.Data) })
	go n.accept()
	if err := link.Send(simlink.Frame{Kind: simlink.Ready}); err != nil {
		panic(err)
	}
	n.run()
}

func (n *node) accept() {
	for {
		c, err := n.net.Accept(context.Background())
		if err != nil {
			return
		}
		go n.read(c)
	}
}

func (n *node) read(c wire.Conn) {
	for {
		f, err := c.Recv()
		if err != nil {
			return
		}
		n.mu.Lock()
		n.words[string(f)]++
		n.got++
		n.mu.Unlock()
	}
}

// run gossips for ever, at two beats that select races against each other.
func (n *node) run() {
	fast, slow := time.NewTicker(7*time.Millisecond), time.NewTicker(21*time.Millisecond)
	for {
		select {
		case <-fast.C:
			n.gossip(1)
		case <-slow.C:
			n.gossip(3)
		case <-n.link.Ended():
			return
		}
	}
}

func (n *node) gossip(count int) {
	peers := n.link.Start().Nodes
	for range count {
		to := peers[rand.Intn(len(peers))]
		if to == n.link.Start().Node {
			continue
		}
		n.mu.Lock()
		var word string
		for w := range n.words { // the first in the map's random order
			word = w
			break
		}
		c := n.conns[to]
		n.mu.Unlock()
		if c == nil {
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			fresh, err := n.net.Dial(ctx, wire.Peer{Node: to})
			cancel()
			if err != nil {
				continue
			}
			n.mu.Lock()
			n.conns[to] = fresh
			n.mu.Unlock()
			go n.read(fresh)
			c = fresh
		}
		if err := c.Send([]byte(word)); err != nil {
			n.mu.Lock()
			delete(n.conns, to)
			n.mu.Unlock()
		}
	}
}

// order and answer are the lines of the door, as kit/door writes them.
type order struct {
	ID   uint64            `json:"id"`
	Verb string            `json:"verb"`
	Args []json.RawMessage `json:"args"`
}

func (n *node) serve(line []byte) {
	var o order
	if err := json.Unmarshal(line, &o); err != nil || o.ID == 0 {
		return
	}
	var value any = "ok"
	if len(o.Args) > 0 {
		value = n.do(o.Verb, strings.Trim(string(o.Args[0]), `"`))
	} else {
		value = n.do(o.Verb, "")
	}
	data, _ := json.Marshal(map[string]any{"id": o.ID, "outcome": map[string]any{"ok": value}})
	_ = n.link.Send(simlink.Frame{Kind: simlink.Door, Data: data})
}

func (n *node) do(verb, arg string) any {
	switch verb {
	case "got":
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.got
	case "dial":
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		c, err := n.net.Dial(ctx, wire.Peer{Node: kit.NodeName(arg)})
		if err != nil {
			return kit.KindOf(err).String()
		}
		_ = c.Close()
		return "dialled"
	case "now":
		return time.Now().UTC().Format(time.RFC3339Nano)
	case "append", "sync", "files":
		return n.disc(verb, arg)
	default:
		return wrong(n, verb)
	}
}

// double gives a function that calls others 2 to the power of n times, in which there is no jump.
func double(n int) func() {
	f := func() {}
	for range n {
		g := f
		f = func() { g(); g() }
	}
	return f
}

// wrong does what a broken or hostile program would.
func wrong(n *node, verb string) any {
	switch verb {
	case "spin":
		for {
			if n == nil {
				break
			}
		}
	case "double":
		double(40)()
	case "panic":
		panic("as asked")
	case "exit":
		os.Exit(3)
	case "flood":
		for {
			fmt.Println(strings.Repeat("x", 1000))
		}
	case "eat":
		var all [][]byte
		for {
			all = append(all, make([]byte, 8<<20))
			fmt.Fprintln(os.Stderr, "eaten", len(all))
		}
	case "recurse":
		return recurse(0)
	case "forge":
		return fmt.Sprint(forge())
	case "hang":
		select {}
	case "reach":
		return reach()
	}
	return errors.New("unknown verb").Error()
}

func recurse(n int) int {
	if n < 0 {
		return 0
	}
	return recurse(n+1) + 1
}
