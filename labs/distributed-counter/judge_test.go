package distributedcounter

import (
	"strings"
	"testing"

	"netsplit/kit"
	"netsplit/kit/grade"
	"netsplit/kit/history"
)

// TestJudges holds the lab's own checks against runs written by hand; package grade tests the counter itself.
func TestJudges(t *testing.T) {
	cut := split{how: loud, away: "a", others: []kit.NodeName{"b", "c"}}
	pause := split{how: paused, away: "a", others: []kit.NodeName{"b", "c"}}
	const parted = `
		1-2 ada a increment 5 "a1" => 5
		10 cut a b loud
		10 cut b a loud
		10 cut a c loud
		10 cut c a loud
	`
	const whole = `
		90 heal a b
		90 heal b a
		90 heal a c
		90 heal c a
	`
	for _, c := range []struct {
		name  string
		judge grade.Judge
		run   string
		want  string // the verdict, and a piece of what is said
	}{
		{"one side goes on", cut.goesOn, parted + `20-30 ada a increment 7 "a2" => 12` + whole, "pass"},
		{"nobody does", cut.goesOn, parted + `20-30 ada a increment 7 "a2" => {"error":"unavailable"}` + whole, "fail: while a was cut off nobody could count"},
		{"one that is answered after the heal does not count", cut.goesOn, parted + `20-95 ada a increment 7 "a2" => 12` + whole, "fail: while a was cut off"},
		{"while its node is paused nobody can", pause.goesOn, "10 pause a\n20-30 bo b increment 7 \"b1\" => {\"error\":\"unknown\"}\n90 resume a", "pass"},
		{"all is well in the end", recovered, "phase observe\n1-2 ada a increment 5 \"a1\" => 5", "pass"},
		{"it is not", recovered, "phase observe\n1-2 ada c read => {\"error\":\"unavailable\"}", "fail: 5s after everything was whole again, the counter cannot be reached from c"},
		{"patient clients are judged without the impatient", together{}.shared, `1-2 ada a increment 5 "a1" => 5
			3 note impatient-clients-come true
			4-5 bo a increment 7 "b1" => 12
			4-6 bo b increment 7 "b1" => 19`, "pass"},
		{"nothing was cut, so everything is answered", together{}.shared, `1-2 ada a increment 5 "a1" => {"error":"unknown"}`, "fail: a request was not answered although nothing was cut"},
		{"the impatient count once", together{}.once, `4-5 bo a increment 7 "b1" => 7
			4-6 bo b increment 7 "b1" => 14`, "fail: the request b1 was answered 7 and, asked again, 14"},
	} {
		h, err := history.Parse(c.run)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		f := c.judge(h)
		got := string(f.Verdict)
		if f.Why != "" {
			got += ": " + f.Why
		}
		if !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// TestReceipts says when a fault has bitten.
func TestReceipts(t *testing.T) {
	cut := split{how: silent, away: "a", others: []kit.NodeName{"b", "c"}}
	for run, want := range map[string]bool{
		"1 cut a b silent\n1 cut b a silent\n2-3 ada a read => 1\n2-3 bo b read => 1\n9 note traffic:a>b 4": true,
		"1 cut a b silent\n1 cut b a silent\n2-3 ada a read => 1\n2-3 bo b read => 1":                       false, // nothing was held
		"1 cut a b silent\n1 cut b a silent\n2-3 ada a read => 1\n9 note traffic:a>b 4":                     false, // nobody on the other side
		"2-3 ada a read => 1\n2-3 bo b read => 1":                                                           false, // no cut
	} {
		h, err := history.Parse(run)
		if err != nil {
			t.Fatal(err)
		}
		if r := cut.receipt(h); r.Bit != want {
			t.Errorf("%s\nbit is %v: %s", run, r.Bit, r.Evidence)
		}
	}
}

// TestOpen finds the requests that have to be asked for again in the end.
func TestOpen(t *testing.T) {
	h, err := history.Parse(`
		1-? ada a increment 5 "a1" => ?
		3-4 ada b increment 5 "a1" => {"error":"unavailable"}
		5-6 bo b increment 7 "b1" => {"error":"unavailable"}
		7-? cleo c increment 9 "c1" => ?
		8-9 cleo a increment 9 "c1" => 9`)
	if err != nil {
		t.Fatal(err)
	}
	list := open(h)
	if len(list) != 1 || list[0].ID != 1 {
		t.Errorf("%d requests are open, want the first alone", len(list))
	}
}
