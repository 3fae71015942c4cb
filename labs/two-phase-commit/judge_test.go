package twophasecommit

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"netsplit/kit/grade"
	"netsplit/kit/history"
)

// seen writes what the grader saw in all accounts at the end; those that are not named hold what they did at first.
func seen(rows map[string]string) string {
	var b strings.Builder
	b.WriteString("phase observe\n")
	line := 900
	for _, n := range nodes {
		for _, name := range accounts[n] {
			row, ok := rows[name]
			if !ok {
				row = `100,[]`
			}
			fmt.Fprintf(&b, "%d-%d grader %s dirty [\"dirty_read\",\"account\",{\"s\":%q}] => [{\"t\":[\"account\",{\"s\":%q},%s]}]\n", line, line+1, n, name, name, row)
			line += 2
		}
	}
	return b.String()
}

const pays = `[{"t":["b",{"s":"bob"},-30]},{"t":["c",{"s":"cat"},30]}]`

// TestJudges holds the lab's checks against runs written by hand.
func TestJudges(t *testing.T) {
	ask := func(id, answer string) string {
		return fmt.Sprintf("10-20 ada a transfer {\"s\":%q} %s => %s\n", id, pays, answer)
	}
	entries := func(ids ...string) func(by int) string {
		return func(by int) string {
			var list []string
			for _, id := range ids {
				list = append(list, fmt.Sprintf(`{"t":[{"s":%q},%d]}`, id, by))
			}
			return fmt.Sprintf(`%d,[%s]`, 100+by*len(ids), strings.Join(list, ","))
		}
	}
	none, one, two := entries(), entries("t1"), entries("t1", "t1")
	crashed := crash{coordinator: "a", victim: "c"}
	for _, c := range []struct {
		name  string
		judge grade.Judge
		run   string
		want  string // the verdict, and a piece of what is said
	}{
		{"in both", grade.All(whole, sound), ask("t1", `"committed"`) + seen(map[string]string{"bob": one(-30), "cat": one(30)}), "pass"},
		{"in neither", grade.All(whole, sound), ask("t1", `"aborted"`) + seen(nil), "pass"},
		{"in one", whole, ask("t1", `"committed"`) + seen(map[string]string{"bob": one(-30), "cat": none(30)}), "fail: the client of the transfer t1 was told that it is committed, and on c (account cat) nothing of it was done"},
		{"nobody was told", whole, "10-? ada a transfer {\"s\":\"t1\"} " + pays + " => ?\n" + seen(map[string]string{"bob": one(-30)}), "fail: half of the transfer t1 was done"},
		{"aborted and done", whole, ask("t1", `"aborted"`) + seen(map[string]string{"cat": one(30)}), "fail: the client of the transfer t1 was told that it is aborted, and on c (account cat) it was done"},
		{"an account that nobody could read", whole, ask("t1", `"committed"`), "inconclusive"},
		{"twice", sound, ask("t1", `"committed"`) + seen(map[string]string{"bob": one(-30), "cat": two(30)}), "fail: the transfer t1 is twice in the account cat on c"},
		{"what nobody asked for", sound, ask("t1", `"committed"`) + seen(map[string]string{"bob": one(-31)}), "fail: the account bob on b has -31 of t1, which nobody asked for"},
		{"a statement that does not add up", sound, seen(map[string]string{"bob": `70,[]`}), "fail: the account bob on b is not what its statement says"},
		{"overdrawn", sound, strings.ReplaceAll(ask("t1", `"committed"`), "30", "130") + seen(map[string]string{"bob": one(-130), "cat": one(130)}), "fail: the account bob on b is overdrawn"},
		{"one who does not know", decided, ask("t1", `{"error":"unknown"}`), "fail: a, which was asked for the transfer t1, does not know"},
		{"one who refuses", decided, ask("t1", `{"error":"unavailable"}`), "pass"},
		{"no decision", decided, ask("t1", `"ok"`), "fail: the transfer t1 was answered with something else"},
		{"could be borne", asItShould, ask("t1", `"aborted"`), "fail: the transfer t1 was not committed, although every account could bear it"},
		{"could not", asItShould, strings.ReplaceAll(ask("t1", `"committed"`), "30", "130"), "fail: the transfer t1 was committed, although bob on b has 100, and 130 are to be taken"},
		{"a gift", recovered, "10-20 grader a transfer {\"s\":\"gift-1\"} " + pays + " => \"committed\"", "pass"},
		{"a gift to a locked account", recovered, "10-20 grader a transfer {\"s\":\"gift-1\"} " + pays + " => \"aborted\"", "fail: 5s after everything was whole again a could not carry out a gift"},
		{"a change that was taken back", unseen, ask("t1", `"aborted"`) + "12-13 watcher b dirty [\"dirty_read\",\"account\",{\"s\":\"bob\"}] => [{\"t\":[\"account\",{\"s\":\"bob\"}," + one(-30) + "]}]\n" + seen(nil),
			"fail: a change of t1 was seen on b (account bob) before it was decided"},
		{"the living go on", crashed.goesOn, "5 kill c\n10-20 bo a transfer {\"s\":\"t1\"} [{\"t\":[\"a\",{\"s\":\"abe\"},-3]},{\"t\":[\"b\",{\"s\":\"ben\"},3]}] => \"aborted\"", "fail: c was killed, and a aborts a transfer that c has no part in"},
	} {
		h, err := history.Parse(c.run)
		if err != nil {
			t.Fatalf("%s: %v\n%s", c.name, err, c.run)
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

// TestReceipts says when a kill has hit a transfer.
func TestReceipts(t *testing.T) {
	c := crash{coordinator: "a", victim: "c"}
	for run, want := range map[string]bool{
		"10-20 ada a transfer {\"s\":\"t1\"} " + pays + " => \"committed\"\n15 kill c":                         true,
		"10-20 ada a transfer {\"s\":\"t1\"} " + pays + " => \"committed\"\n25 kill c":                         false, // nothing was under way
		"10-20 ada a transfer {\"s\":\"t1\"} [{\"t\":[\"b\",{\"s\":\"bob\"},-1]}] => \"committed\"\n15 kill c": false, // it has no part in it
		"10-20 ada a transfer {\"s\":\"t1\"} " + pays + " => \"committed\"":                                    false, // no kill
	} {
		h, err := history.Parse(run)
		if err != nil {
			t.Fatal(err)
		}
		if r := c.receipt(h); r.Bit != want {
			t.Errorf("%s\nbit is %v: %s", run, r.Bit, r.Evidence)
		}
	}
}

// TestEveryStep holds the plans to what they promise: seeds in a row kill at every step, and cut in every way.
func TestEveryStep(t *testing.T) {
	var hows []string
	participant, coordinator := map[int]bool{}, map[int]bool{}
	for seed := uint64(1); seed <= coordinatorSteps; seed++ {
		p, c := participantOf(seed), coordinatorOf(seed)
		participant[p.steps], coordinator[c.steps] = true, true
		if p.victim == p.coordinator || c.victim != c.coordinator {
			t.Errorf("seed %d kills %s of %s, and %s of %s", seed, p.victim, p.coordinator, c.victim, c.coordinator)
		}
		if how := cutOf(seed).how; !slices.Contains(hows, how) {
			hows = append(hows, how)
		}
	}
	if len(participant) != participantSteps || len(coordinator) != coordinatorSteps || len(hows) != len(ways) {
		t.Errorf("%d and %d steps, %d ways", len(participant), len(coordinator), len(hows))
	}
}
