//go:build !wasip1

package node

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
)

// An abandoned node ends by itself; one whose door is used, or whose lab is there, does not. Looking at its
// status is no use of it.
func TestIdleEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBench(t)
		p := b.start(Config{Node: "a", IdleExit: time.Hour}, App{})
		ctx, stop := context.WithCancelCause(t.Context())
		watched := make(chan struct{})
		go func() { p.node.watch(stop); close(watched) }()
		time.Sleep(59 * time.Minute)
		b.want("a", "a", "node")
		time.Sleep(59 * time.Minute)
		if ctx.Err() != nil {
			t.Error("it ended although it was used")
		}
		b.ask("a", "status")
		time.Sleep(2 * time.Minute)
		if !errors.Is(context.Cause(ctx), errIdle) {
			t.Errorf("got %v", context.Cause(ctx))
		}
		b.end()
		<-watched
	})
}

// A node that is not used itself lives as long as its lab is used.
func TestIdleLab(t *testing.T) {
	used := filepath.Join(t.TempDir(), "used")
	n := &Node{cfg: Config{Used: used}, begun: time.Now().Add(-time.Hour)}
	if d := n.idle(0); d < time.Hour {
		t.Errorf("idle for %v", d)
	}
	touch(used) // by another node
	if d := n.idle(0); d > time.Minute {
		t.Errorf("idle for %v although the lab was used", d)
	}
	old := time.Now().Add(-30 * time.Minute)
	if err := os.Chtimes(used, old, old); err != nil {
		t.Fatal(err)
	}
	touch(used)
	if info, err := os.Stat(used); err != nil || time.Since(info.ModTime()) > time.Minute {
		t.Error("a second use was not noted")
	}
}

func TestEndWithLab(t *testing.T) {
	dir := t.TempDir()
	lab := filepath.Join(dir, "lab.json")
	write := func(text string) {
		if err := os.WriteFile(lab, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`{"id":"one"}`)
	if !sameLab(lab, "one") {
		t.Error("its own lab is taken for another")
	}
	write(`{"id":"two"}`)
	if sameLab(lab, "one") {
		t.Error("another start of the lab is taken for its own")
	}
	write(`{`) // nothing that a node should die of
	if !sameLab(lab, "one") {
		t.Error("a file that cannot be read ended the node")
	}
	if err := os.Remove(lab); err != nil {
		t.Fatal(err)
	}
	if sameLab(lab, "one") {
		t.Error("a lab that has gone is taken for there")
	}
}

func TestLogIsBounded(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	f, err := os.OpenFile(log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(MaxLog + 1); err != nil {
		t.Fatal(err)
	}
	(&Node{cfg: Config{Log: log}}).trimLog()
	if _, err := f.WriteString("more\n"); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(log); err != nil || string(b) != "more\n" {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

// A node that cannot start says why to whoever started it, and in its own words to the log.
func TestProcessErrors(t *testing.T) {
	var out strings.Builder
	t.Setenv(configVar, "")
	if code := Process(App{}, &out); code != 2 || !strings.Contains(out.String(), "netsplit lab up") {
		t.Errorf("without a configuration: %d, %s", code, out.String())
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "node.json")
	for name, text := range map[string]string{
		"garbage":      `{`,
		"no cookie":    `{"node":"a"}`,
		"address":      `{"node":"a","cookie":"x","addr":"nowhere:99999","door":"` + filepath.Join(dir, "a.sock") + `"}`,
		"socket":       `{"node":"a","cookie":"x","door":"/dev/null/a.sock"}`,
		"broken disc":  `{"node":"a","cookie":"x","door":"` + filepath.Join(dir, "b.sock") + `","disc":"/dev/null/disc"}`,
		"journal":      `{"node":"a","cookie":"x","door":"` + filepath.Join(dir, "c.sock") + `","journal":"/dev/null/j"}`,
		"missing file": ``,
	} {
		out.Reset()
		if text == "" {
			t.Setenv(configVar, config+".missing")
		} else {
			if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			t.Setenv(configVar, config)
		}
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		var said Ready
		report := reporter(w)
		code := processWith(App{}, &out, report)
		w.Close()
		said, err = ReadReady(bufio.NewReader(r))
		if code != 1 || err == nil || said.Error == "" || out.Len() == 0 {
			t.Errorf("%s: exit %d, said %+v, wrote %q", name, code, said, out.String())
		}
		r.Close()
	}
	if _, err := ReadReady(bufio.NewReader(strings.NewReader(""))); !errors.Is(err, io.EOF) {
		t.Errorf("no word: %v", err)
	}
	if _, err := ReadReady(bufio.NewReader(strings.NewReader("PASS\n"))); kit.KindOf(err) != kit.Corrupt {
		t.Errorf("garbage: %v", err)
	}
}

// What two students start in one place must not mix: a door in use is not taken over.
func TestDoorInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.sock")
	l, err := door.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := Run(t.Context(), Config{Node: "a", Cookie: "x", Door: path}, App{}, nil); kit.KindOf(err) != kit.Exists {
		t.Errorf("got %v", err)
	}
}
