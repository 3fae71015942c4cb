package failover

import (
	"fmt"
	"strings"
	"testing"

	"netsplit/kit"
	"netsplit/kit/history"
)

// at writes a look of the watcher: what runs on a, b and c, as numbers of workers; "-" for a node that does not answer.
func at(ms int, nodes ...string) string {
	var b strings.Builder
	for i, list := range nodes {
		if list == "-" {
			fmt.Fprintf(&b, "%d-%d watcher %c registered => {\"error\":\"unavailable\"}\n", ms, ms+1, 'a'+i)
			continue
		}
		names := []string{`"manager"`}
		for n := range strings.FieldsSeq(list) {
			names = append(names, `"worker_`+n+`"`)
		}
		fmt.Fprintf(&b, "%d-%d watcher %c registered => [%s]\n", ms, ms+1, 'a'+i, strings.Join(names, ","))
	}
	return b.String()
}

// often is the same look, three times.
func often(ms int, nodes ...string) string {
	return at(ms, nodes...) + at(ms+100, nodes...) + at(ms+200, nodes...)
}

func parse(t *testing.T, run string) *history.History {
	t.Helper()
	h, err := history.Parse(run)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// TestPeriod judges where workers run.
func TestPeriod(t *testing.T) {
	all, ab := []kit.NodeName{"a", "b", "c"}, []kit.NodeName{"a", "b"}
	for _, c := range []struct {
		name  string
		nodes []kit.NodeName
		run   string
		want  string
	}{
		{"even", all, often(0, "1 4 7 10", "2 5 8", "3 6 9"), "pass"},
		{"even on two", ab, often(0, "1 4 7 10 3", "2 5 8 6 9", "-"), "pass"},
		{"what the lost node does counts for nothing", ab, often(0, "1 4 7 10 3", "2 5 8 6 9", "1 2 3 4 5 6 7 8 9 10"), "pass"},
		{"one is missing", all, often(0, "1 4 7 10", "2 5", "3 6 9"), "fail: later, worker_8 runs nowhere"},
		{"missing for a moment", all, often(0, "1 4 7 10", "2 5 8", "3 6 9") + at(300, "1 4 7 10", "2 5 8", "3 6"), "fail: later, worker_9 runs nowhere"},
		{"one too many", all, often(0, "1 4 7 10", "2 5 8 3", "3 6 9"), "fail: later, worker_3 runs more than once"},
		{"uneven", all, often(0, "1 4 7 10", "2 5 8 3", "6 9"), "fail: later, the workers are not spread evenly"},
		{"hardly seen", all, at(0, "1", "", ""), "inconclusive"},
	} {
		f := period{0, 1e9, c.nodes, "later"}.judge(looks(parse(t, c.run)))
		got := string(f.Verdict) + ": " + f.Why
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// crashed is a run in which three workers are killed and come back as the arguments say: where the first one runs later,
// and the pid of a worker that was not concerned.
func crashed(later, other string) string {
	const whereis = `%d-%d %s %s whereis "%s" => {"pid":"%s.%d"}` + "\n"
	run := fmt.Sprintf(whereis, 0, 1, first, "c", "worker_9", "c", 9)
	for i, w := range []string{"worker_1", "worker_2", "worker_3"} {
		from := 1000 + 2000*i
		node := string("abc"[i])
		run += fmt.Sprintf(whereis, from, from+1, killer, node, w, node, i+20)
		run += fmt.Sprintf(`%d-%d %s %s proc "self" => "ok"`+"\n", from+2, from+3, killer, node)
	}
	run += strings.ReplaceAll(at(2100, "AA 4 7 10", "2 5 8", "3 6 9"), "worker_AA", later)
	run += at(4100, "1 4 7 10", "2 5 8", "3 6 9") + at(6100, "1 4 7 10", "2 5 8", "3 6 9")
	return run + fmt.Sprintf(whereis, 7000, 7001, last, "c", "worker_9", "c", 9) + other
}

// TestRestarted judges what becomes of workers that crash.
func TestRestarted(t *testing.T) {
	for _, c := range []struct{ name, run, want string }{
		{"all is well", crashed("worker_1", ""), "pass"},
		{"it does not come back", crashed("nobody", ""), "fail: worker_1 crashed on a and does not run there again"},
		{"a worker that had not crashed is another process", crashed("worker_1", `7100-7101 after c whereis "worker_9" => {"pid":"c.77"}`),
			"fail: worker_9 ran on c and was not concerned, but after the crash of worker_1, worker_2 and worker_3 it is another process"},
		{"nobody was killed", "1-2 killer a whereis \"worker_1\" => \"undefined\"", "inconclusive"},
	} {
		f := restarted(parse(t, c.run))
		got := string(f.Verdict) + ": " + f.Why
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// TestLoss judges a node's loss and return, and whether the loss bit.
func TestLoss(t *testing.T) {
	l := loss{how: "kill", victim: "c", others: []kit.NodeName{"a", "b"}}
	before := often(0, "1 4 7 10", "2 5 8", "3 6 9")
	taken := often(6200, "1 4 7 10 6", "2 5 8 3 9", "-")
	run := before + "1000 kill c\n" + at(1500, "1 4 7 10", "2 5 8", "-") + taken + "7500 restart c\n"
	f := l.takenOver(parse(t, run))
	if f.Verdict != "pass" || len(f.Receipts) != 1 || !f.Receipts[0].Bit {
		t.Errorf("%+v", f)
	}
	if f := l.takenOver(parse(t, before+"1000 kill c\n"+often(6200, "1 4 7 10", "2 5 8", "-")+"7500 restart c\n")); !strings.HasPrefix(f.Why, "5s after c was killed, worker_3, worker_6 and worker_9 run nowhere") {
		t.Error(f.Why)
	}
	if f := l.returned(parse(t, run+often(12600, "1 4 7 10", "2 5 8", "3 6 9")+"13000-13001 x a read => 1")); f.Verdict != "pass" {
		t.Error(f.Why)
	}
	if f := l.returned(parse(t, run+often(12600, "1 4 7 10 6", "2 5 8 3 9", "3 6 9")+"13000-13001 x a read => 1")); !strings.HasPrefix(f.Why, "5s after c was back, worker_3, worker_6 and worker_9 run more than once") {
		t.Error(f.Why)
	}
	if f := l.takenOver(parse(t, often(0, "1 4 7 10 6 9", "2 5 8 3", "")+"1000 kill c\n"+often(6200, "1 4 7 10 6", "2 5 8 3 9", "-")+"7500 restart c\n")); f.Receipts[0].Bit {
		t.Error("no worker ran on the node that was lost, so nothing was lost")
	}
}
