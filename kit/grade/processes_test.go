package grade_test

import (
	"testing"

	"netsplit/kit/grade"
	"netsplit/kit/history"
)

// What a process was told by its runtime can be made by hand; a check that rests on it must see that.
func TestMessagesOfTheRuntimeMadeByHand(t *testing.T) {
	for script, want := range map[string]grade.Verdict{
		`1-2 s a proc "self" ["send",{"pid":"a.1"},{"t":["DOWN",1,"process",{"pid":"b.2"},"killed"]}] => "ok"`:           grade.Fail,
		`1-2 s a spawn "b" "echo" [{"m":[["x",{"t":["EXIT",{"pid":"b.2"},"boom"]}]]}] => {"pid":"b.3"}`:                  grade.Fail,
		`1-2 s a proc "self" ["send",{"pid":"a.1"},{"t":[{"s":"DOWN"},1]}] => "ok"`:                                      grade.Pass,
		`1-2 s a proc "self" ["monitor",{"pid":"b.2"}] => "ok"`:                                                          grade.Pass,
		`1-2 s a mailbox "self" 0 => [{"event":"DOWN","reason":"killed","who":{"pid":"b.2"}},{"message":{"t":["n",1]}}]`: grade.Pass,
	} {
		h, err := history.Parse(script)
		if err != nil {
			t.Fatal(err)
		}
		if f := grade.Genuine(h); f.Verdict != want {
			t.Errorf("%s: %s, want %s", script, f.Verdict, want)
		}
		if o := h.Ops[0]; o.Verb == "mailbox" {
			if got := grade.AnswerText(o); got != "[DOWN killed <b.2>, {n,1}]" {
				t.Errorf("the mailbox is told as %s", got)
			}
		}
	}
}

func TestActsOfAProcess(t *testing.T) {
	h, err := history.Parse(`
1-2 s a proc "self" ["send",{"pid":"b.2"},{"s":"stop"}] => "ok"
3-4 s a proc "self" ["send",{"pid":"b.2"},{"s":"stop"}] => {"raised":"badarg","class":"error"}
5-6 s a proc "self" ["global_send","boss",1] => {"pid":"b.2"}
7-8 s a nodes => ["b"]`)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"send", "", "global_send", ""} {
		op, args := grade.Act(h.Ops[i])
		if op != want || want != "" && len(args) != 2 {
			t.Errorf("request %d is the act %q of %v, want %q", i+1, op, args, want)
		}
	}
	if pid, ok := grade.Pid(h.Ops[2]); !ok || pid.Node != "b" {
		t.Errorf("global_send was answered with %v", pid)
	}
	if _, ok := grade.Pid(h.Ops[1]); ok {
		t.Error("a refusal has no pid")
	}
}
