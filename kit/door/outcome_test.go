package door

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"netsplit/kit"
	"netsplit/kit/term"
)

// sameJSON compares two JSON texts without regard to order of keys.
func sameJSON(t *testing.T, got, want []byte) bool {
	t.Helper()
	var a, b any
	for raw, v := range map[*[]byte]*any{&got: &a, &want: &b} {
		dec := json.NewDecoder(strings.NewReader(string(*raw)))
		dec.UseNumber()
		if err := dec.Decode(v); err != nil {
			t.Fatalf("%s: %v", *raw, err)
		}
	}
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

// Every shape of outcome that real Mnesia's recorded answers have survives reading and writing.
func TestOutcomeShapes(t *testing.T) {
	shapes, err := os.ReadFile(filepath.Join("testdata", "outcomes.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(shapes)) {
		line = strings.TrimSpace(line)
		var o Outcome
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		back, err := json.Marshal(o)
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if !sameJSON(t, back, []byte(line)) {
			t.Errorf("read %s\nwrote %s", line, back)
		}
	}
}

func TestBadOutcomes(t *testing.T) {
	for _, bad := range []string{
		``, `null`, `7`, `{}`, `{"args":[1]}`, `{"ok":1,"aborted":"x"}`, `{"good":1}`, `{"aborted":"x","args":{}}`,
		`{"timeout":"t"}`, `{"aborted":{"t":[1]}`, `{"a":{"ok":1},"b":{"ok":1}}`,
	} {
		var o Outcome
		if err := json.Unmarshal([]byte(bad), &o); err == nil {
			t.Errorf("%s was accepted as %+v", bad, o)
		}
	}
}

// A history may say "failed" only of what certainly did not happen, and "ok" only of what certainly did.
func TestDefinite(t *testing.T) {
	for _, c := range []struct {
		out  Outcome
		want bool
	}{
		{Done(), true},
		{AbortWith("no_exists", term.Atom("t")), true},
		{ErrorWith("nodedown"), true},
		{NotRunning("no socket"), true},
		{LostAnswer("reset"), false},
		{Outcome{Status: Pending}, false},
		{Outcome{Status: Timeout, Tables: []string{"t"}}, false},
		{FromError(&kit.Error{Op: "x", Kind: kit.Overloaded}), true},
		{FromError(errors.New("who knows")), false},
		{FromError(&kit.Error{Op: "x", Kind: kit.Broken}), false},
	} {
		if got := c.out.Definite(); got != c.want {
			t.Errorf("%s (%v): definite %v, want %v", c.out.Status, c.out.Kind, got, c.want)
		}
	}
}

// An error keeps its kind, prose and hint on the way through a door.
func TestErrorThroughTheDoor(t *testing.T) {
	in := &kit.Error{Op: "load table", What: "account", Kind: kit.NotFound, Err: errors.New("no copy"), Hint: "create it"}
	line := EncodeAnswer(Answer{ID: 3, Outcome: FromError(in)})
	a, err := DecodeAnswer(line)
	if err != nil {
		t.Fatal(err)
	}
	out := a.Outcome.Err()
	if kit.KindOf(out) != kit.NotFound || kit.HintOf(out) != "create it" || out.Error() != in.Error() {
		t.Errorf("got %v, kind %v, hint %q", out, kit.KindOf(out), kit.HintOf(out))
	}
	if _, err := a.Outcome.Term(); err == nil {
		t.Error("a failure has a value")
	}
}

func TestErrSaysTheReason(t *testing.T) {
	out := AbortWith("no_exists", term.Atom("nosuch"))
	if got := out.Err().Error(); got != "aborted {no_exists,nosuch}" {
		t.Errorf("got %q", got)
	}
}

func FuzzOutcome(f *testing.F) {
	f.Add([]byte(`{"aborted":"bad_type","args":["t",{"t":["t","short"]}],"how":"exit"}`))
	f.Add([]byte(`{"ok":[{"ok":1},{"aborted":"x"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var o Outcome
		if json.Unmarshal(b, &o) != nil {
			return
		}
		back, err := json.Marshal(o)
		if err != nil {
			t.Fatalf("read %q but cannot write it: %v", b, err)
		}
		var again Outcome
		if err := json.Unmarshal(back, &again); err != nil {
			t.Fatalf("cannot read own %s: %v", back, err)
		}
	})
}
