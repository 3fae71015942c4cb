package proc

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"netsplit/kit/term"
)

// superScript is a supervisor without processes: it notes what is done.
type superScript struct {
	s     *supervisor
	clock time.Time
	last  uint64
	fails map[string]int // starts of a child that will fail
	later []term.Term    // retries asked for
	names map[term.Pid]string
	out   []string
}

func (x *superScript) note(format string, args ...any) {
	x.out = append(x.out, fmt.Sprintf(format, args...))
}

func (x *superScript) now() time.Time { return x.clock }

func (x *superScript) start(spec ChildSpec) (term.Pid, term.Term) {
	id := term.String(spec.ID)
	if x.fails[id] > 0 {
		x.fails[id]--
		x.note("start %s fails", id)
		return term.Pid{}, term.Atom("nope")
	}
	x.last++
	pid := term.Pid{Node: "n", ID: x.last}
	x.names[pid] = id
	x.note("start %s", id)
	return pid, nil
}

func (x *superScript) stop(pid term.Pid, d time.Duration) {
	how := d.String()
	switch d {
	case BrutalKill:
		how = "kill"
	case Infinity:
		how = "infinity"
	case 5 * time.Second:
		how = ""
	}
	x.note("%s", strings.TrimSpace("stop "+x.names[pid]+" "+how))
}

func (x *superScript) again(id term.Term) { x.later = append(x.later, id) }
func (x *superScript) say(string)         {}

// literal reads a number, an atom, the empty list or a flat tuple.
func literal(s string) term.Term {
	if n, err := strconv.Atoi(s); err == nil {
		return term.Int(n)
	}
	if s == "[]" {
		return term.List{}
	}
	if inner, ok := strings.CutPrefix(s, "{"); ok {
		t := term.Tuple{}
		for _, part := range strings.Split(strings.TrimSuffix(inner, "}"), ",") {
			t = append(t, literal(part))
		}
		return t
	}
	return term.Atom(s)
}

func (x *superScript) spec(words []string) term.Term {
	pairs := []term.Pair{{Key: term.Atom("id"), Value: term.Atom(words[0])}, {Key: term.Atom("function"), Value: term.Atom("f")}}
	for _, w := range words[1:] {
		k, v, _ := strings.Cut(w, "=")
		value := literal(v)
		pairs = slices.DeleteFunc(pairs, func(p term.Pair) bool { return p.Key == term.Atom(k) })
		if v != "none" {
			pairs = append(pairs, term.Pair{Key: term.Atom(k), Value: value})
		}
	}
	return term.MakeMap(pairs...)
}

// begin is: new [strategy=..] [max_restarts=..] [max_seconds=..], and a child in each line.
func (x *superScript) begin(words []string, input string) {
	var pairs []term.Pair
	for _, w := range words {
		k, v, _ := strings.Cut(w, "=")
		value := literal(v)
		pairs = append(pairs, term.Pair{Key: term.Atom(k), Value: value})
	}
	children := term.List{}
	for line := range strings.Lines(input) {
		if w := strings.Fields(line); len(w) > 0 {
			children = append(children, x.spec(w))
		}
	}
	opts, err := ParseSupervisorOptions(term.MakeMap(append(pairs, term.Pair{Key: term.Atom("children"), Value: children})...))
	if err != nil {
		x.note("ends with %s", term.String(reasonOf(err)))
		return
	}
	x.s = &supervisor{opts: opts, act: x}
	if why := x.s.begin(); why != nil {
		x.note("ends with %s", term.String(why))
	}
}

func (x *superScript) do(t *testing.T, words []string) {
	id := func() term.Term { return term.Atom(words[1]) }
	ask := func(what string, v term.Term) { x.note("%s", x.show(x.s.request(term.T(term.Atom(what), v)))) }
	goesOn := true
	switch words[0] {
	case "exit":
		c := x.s.find(id())
		reason := literal(words[2])
		goesOn = x.s.ended(c.pid, reason)
	case "fail":
		x.fails[words[1]] = int(words[2][0] - '0')
	case "sleep":
		d, err := time.ParseDuration(words[1])
		if err != nil {
			t.Fatal(err)
		}
		x.clock = x.clock.Add(d)
	case "start":
		ask("start_child", x.spec(words[1:]))
	case "terminate", "restart", "delete":
		ask(words[0]+"_child", id())
	case "which":
		x.note("%s", x.show(x.s.request(term.Atom("which_children"))))
	case "count":
		x.note("%s", x.show(x.s.request(term.Atom("count_children"))))
	case "ask":
		v := literal(words[1])
		x.note("%s", x.show(x.s.request(v)))
	case "retry": // what was to be tried again
		for n := len(x.later); n > 0 && goesOn; n-- {
			one := x.later[0]
			x.later = x.later[1:]
			goesOn = x.s.retry(one)
		}
	case "shutdown":
		x.s.stopAll(x.s.children)
	default:
		t.Fatalf("no command %q", words)
	}
	if !goesOn {
		x.s.stopAll(x.s.children)
		x.note("ends with shutdown")
	}
}

// show prints an answer with pids as p.
func (x *superScript) show(v term.Term) string {
	switch v := v.(type) {
	case term.Pid:
		return "pid"
	case term.Tuple:
		return "{" + x.list(v) + "}"
	case term.List:
		return "[" + x.list(v) + "]"
	}
	return term.String(v)
}

func (x *superScript) list(elems []term.Term) string {
	var parts []string
	for _, e := range elems {
		parts = append(parts, x.show(e))
	}
	return strings.Join(parts, ",")
}

// What a supervisor does and answers. The scripts say what OTP 25's supervisor (stdlib 4.2) did in the same situation.
func TestSupervisorScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/supervisor", func(t *testing.T, path string) {
		var x *superScript
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd == "new" {
				x = &superScript{clock: time.Unix(0, 0), fails: map[string]int{}, names: map[term.Pid]string{}}
				var words []string
				for _, a := range d.CmdArgs {
					if a.Key == "fail" {
						x.fails[a.Vals[0]] = 1
						continue
					}
					words = append(words, a.Key+"="+a.Vals[0])
				}
				x.begin(words, d.Input)
			} else {
				for line := range strings.Lines(d.Input) {
					if words := strings.Fields(line); len(words) > 0 {
						x.do(t, words)
					}
				}
			}
			out := strings.Join(x.out, "\n") + "\n"
			x.out = nil
			return out
		})
	})
}
