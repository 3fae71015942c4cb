package wire

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// TestOutbox runs the scripts in testdata/outbox: one direction of one connection, that is told the time. Commands:
//
//	rule [cut=silent|loud] [delay=D] [jitter=D] [loss=P] [dup=P] [reorder=P]   sets the rule; none is a healthy link
//	send A B... / packet A B...   queues frames
//	close                         queues the close
//	at D                          moves the clock to D and prints what gets through, and when to look again
//	drop                          forgets all
//	counts                        prints the receipts
func TestOutbox(t *testing.T) {
	datadriven.Walk(t, "testdata/outbox", func(t *testing.T, path string) {
		var rules Rules
		start := time.Unix(0, 0)
		now := start
		o := &outbox{link: rules.link("b"), rng: rand.New(rand.NewPCG(1, 1))}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "rule":
				rules.Set("b", ruleOf(t, d))
			case "send":
				for _, a := range d.CmdArgs {
					o.push([]byte(a.Key), now)
				}
			case "packet":
				for _, a := range d.CmdArgs {
					o.pushPacket([]byte(a.Key), now)
				}
			case "close":
				o.pushFin(now)
			case "at":
				d, err := time.ParseDuration(d.CmdArgs[0].Key)
				if err != nil {
					t.Fatal(err)
				}
				now = start.Add(d)
				return released(o, now)
			case "drop":
				o.drop()
			case "counts":
				return strings.Trim(fmt.Sprintf("%+v", rules.Counts()), "[]") + "\n"
			default:
				d.Fatalf(t, "no command %s", d.Cmd)
			}
			return ""
		})
	})
}

func released(o *outbox, now time.Time) string {
	var got []string
	for {
		it, ok := o.pop(now)
		if !ok {
			break
		}
		if it.fin {
			got = append(got, "(close)")
		} else {
			got = append(got, string(it.frame))
		}
	}
	s := "got " + strings.Join(got, " ")
	if len(got) == 0 {
		s = "nothing"
	}
	if d, ok := o.wait(now); ok {
		s += fmt.Sprintf("; more in %v", d)
	} else if !o.empty() {
		s += "; more only after a heal"
	}
	return fmt.Sprintf("%s (%d bytes wait)\n", s, o.bytes)
}

func ruleOf(t *testing.T, d *datadriven.TestData) (r Rule) {
	for _, a := range d.CmdArgs {
		v := a.Vals[0]
		long, err := time.ParseDuration(v)
		p, perr := strconv.ParseFloat(v, 64)
		if err != nil && perr != nil && a.Key != "cut" {
			t.Fatal(err)
		}
		switch a.Key {
		case "cut":
			r.Cut = Cut(v)
		case "delay":
			r.Delay = long
		case "jitter":
			r.Jitter = long
		case "loss":
			r.Loss = p
		case "dup":
			r.Duplicate = p
		case "reorder":
			r.Reorder = p
		}
	}
	if err := r.Check(); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRuleCheck(t *testing.T) {
	nan := 0.0
	for _, bad := range []Rule{
		{Cut: "half"}, {Delay: -1}, {Delay: 2 * time.Hour}, {Jitter: -1}, {Loss: 1.1}, {Loss: -0.1}, {Duplicate: 2}, {Reorder: -1}, {Loss: nan / nan},
	} {
		if bad.Check() == nil {
			t.Errorf("%+v passes", bad)
		}
	}
	for _, good := range []Rule{{}, {Cut: Silent}, {Cut: Loud}, {Delay: time.Hour, Jitter: time.Second, Loss: 1, Duplicate: 1, Reorder: 0.5}} {
		if err := good.Check(); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
}
