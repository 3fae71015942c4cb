package shell

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"netsplit/kit/mnesia"
	"netsplit/kit/term"
)

func TestEntries(t *testing.T) {
	datadriven.RunTest(t, "testdata/entries.txt", func(_ *testing.T, d *datadriven.TestData) string {
		var b strings.Builder
		switch d.Cmd {
		case "split":
			for _, e := range Entries(d.Input) {
				fmt.Fprintf(&b, "%d: %q\n", e.Line, e.Text)
			}
		case "lines": // each line is an entry of its own, with \n for a line break
			for line := range strings.Lines(d.Input) {
				src := strings.ReplaceAll(strings.TrimSuffix(line, "\n"), `\n`, "\n")
				fmt.Fprintf(&b, "%-5v %q\n", Complete(src), src)
			}
		}
		return b.String()
	})
}

func TestCompletion(t *testing.T) {
	s, _ := session(t, Options{})
	for _, src := range []string{`a.db.create_table("person", attributes=["name", "age"])`, `a.db.create_table("place", attributes=["name", "x"])`,
		`r = ("person", "ada", 1)`, `a.db.dirty_write(r)`, `row = a.db.dirty_read("person", "ada")[0]`, `t1 = a.db.begin()`} {
		if err := s.Eval(t.Context(), "typed", src); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ text, prefix, want string }{
		{"a.db.dirty_re", "a.db.dirty_re", "a.db.dirty_read"},
		{"x = [a.db.dirty_d", "a.db.dirty_d", "a.db.dirty_delete a.db.dirty_delete_object"},
		{"a.n", "a.n", "a.name a.nodes"},
		{"cut(a, ", "", ""},
		{"awa", "awa", "await_down await_event await_up"},
		{`a.db.dirty_read("pe`, `"pe`, `"person"`},
		{`a.db.dirty_read('p`, `'p`, `'person' 'place'`},
		{`a.db.dirty_read("person", row.a`, "row.a", "row.age"},
		{"t1.wr", "t1.wr", "t1.wread t1.write t1.write_lock_table"},
		{"a.db.transaction(lambda tx: tx.wr", "tx.wr", "tx.wread tx.write tx.write_lock_table"},
		{"a.db.wread", "a.db.wread", ""},
		{"nosuch.x", "nosuch.x", ""},
		{"a.db.dirty_read(", "", ""},
		{`# "pe`, "pe", ""},
	} {
		prefix, list := s.Complete(c.text)
		var got []string
		for _, x := range list {
			got = append(got, x.Value)
		}
		if prefix != c.prefix || strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q %q", c.text, prefix, got)
		}
	}
	if _, list := s.Complete(""); len(list) < 30 {
		t.Errorf("nothing typed: %d candidates", len(list))
	}
}

// TestHelpKnowsEverything looks for functions without a text, texts too wide for 80 columns, and two functions
// of one name.
func TestHelpKnowsEverything(t *testing.T) {
	s, _ := session(t, Options{})
	for _, p := range s.pages() {
		if p.doc == "" || !strings.HasSuffix(p.doc, ".") {
			t.Errorf("%s: %q is no text", p.name, p.doc)
		}
		for line := range strings.Lines(s.helpOn(p.name)) {
			if len(line) > 120 {
				t.Errorf("%s: a line of %d columns", p.name, len(line))
			}
		}
	}
	for _, topic := range topics {
		for line := range strings.Lines(topic.text) {
			if len(strings.TrimRight(line, "\n")) > 84 {
				t.Errorf("%s: %q is too wide", topic.name, line)
			}
		}
	}
	seen := map[string]bool{}
	for i := range verbs {
		if seen[verbs[i].name] {
			t.Errorf("%s is listed twice", verbs[i].name)
		}
		seen[verbs[i].name] = true
		if verbs[i].build == nil && len(verbs[i].params) == 0 && strings.Contains(verbs[i].example, ",") {
			t.Errorf("%s: its example has arguments that it does not take", verbs[i].name)
		}
	}
}

// TestExamplesOfHelpParse runs every example of the help through the parser.
func TestExamplesOfHelpParse(t *testing.T) {
	s, _ := session(t, Options{})
	for _, p := range s.pages() {
		if p.example == "" {
			continue
		}
		if _, err := fileOptions().Parse(p.name, p.example, 0); err != nil {
			t.Errorf("%s: %v", p.name, err)
		}
	}
}

func TestExport(t *testing.T) {
	data := map[string]term.Term{
		"keys": term.List{term.Bin("k7"), term.Bin("dup"), term.Bin("dup")}, "amount": term.Int(412), "small": term.Int(3),
		"rate": term.Float(2.75), "state": term.Atom("open"), "by": term.MakeMap(term.Pair{Key: term.Bin("x"), Value: term.Bin("inner")}),
	}
	datadriven.RunTest(t, "testdata/export.txt", func(t *testing.T, d *datadriven.TestData) string {
		var steps []Step
		for line := range strings.Lines(d.Input) {
			kind, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
			rest = strings.ReplaceAll(rest, `\n`, "\n")
			step := Step{}
			switch kind {
			case "ok":
				step.Entry = Entry{Source: rest, OK: true}
			case "bad":
				step.Entry = Entry{Source: rest, Outcome: "it went wrong"}
			case "cli":
				step.Fault = strings.Fields(rest)
			default:
				t.Fatalf("no kind %q", kind)
			}
			if d.HasArg("slow") {
				step.At = step.At.AddDate(2025, 0, len(steps))
			}
			steps = append(steps, step)
		}
		text := Export("demo", data, steps)
		if _, err := fileOptions().Parse("run.star", text, 0); err != nil {
			t.Errorf("the script does not parse: %v\n%s", err, text)
		}
		_, text, _ = strings.Cut(text, "\n\n")
		return text
	})
}

func TestEntriesAndDataSurviveTheJournal(t *testing.T) {
	e := Entry{Source: "a\nb", OK: true, Outcome: "\"x\"", Took: 1500}
	back, err := DecodeEntry(EncodeEntry(e))
	if e.Took = 1000; err != nil || back != e { // kept in microseconds
		t.Errorf("%+v %v", back, err)
	}
	raw, err := json.Marshal(LabData{Seed: 1 << 63, Data: map[string]term.Term{"k": term.Tuple{term.Atom("a"), term.Bin("b")}}})
	if err != nil {
		t.Fatal(err)
	}
	var data LabData
	err = json.Unmarshal(raw, &data)
	if err != nil || data.Seed != 1<<63 || !term.Equal(data.Data["k"], term.Tuple{term.Atom("a"), term.Bin("b")}) {
		t.Errorf("%v %v", data, err)
	}
	for _, bad := range []string{"[]", `{"data":{"k":{"t":1}}}`, "{", `{"seed":-1}`} {
		if err := json.Unmarshal([]byte(bad), &data); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}

// TestStoreHasNothingThatTheShellLacks compares the shell's functions with what a node's door offers, so that a new
// verb or operation is not forgotten here, and no function asks for more than it takes.
func TestStoreHasNothingThatTheShellLacks(t *testing.T) {
	elsewhere := []string{"abort", "raise", "try", "sleep", "transaction", "activity", "api", "foldl", "foldr", "incr", "incr_r", // lambdas do these
		"write1", "dirty_write1", "nest_begin", "nest_commit", "nest_abort",
		"dirty", "repeat_dirty", "measure", "fill", "create_table_raw", "tx_begin", "tx_op", "tx_wait", "tx_commit", "tx_kill", "tx_info", "tx_id",
		"events", "boot_events", "ops", "damage", "file_get", "file_put"}
	check := func(name string, params []string) {
		v := verbNamed(name)
		if v == nil {
			for i := range verbs {
				if verbs[i].doorName() == name {
					v = &verbs[i]
				}
			}
		}
		switch {
		case v == nil && !slices.Contains(elsewhere, name):
			t.Errorf("the store has %s(%s), the shell does not", name, strings.Join(params, ", "))
		case v != nil && v.build == nil && len(v.params) != len(params):
			t.Errorf("%s takes %v, the shell gives %d arguments", name, params, len(v.params))
		}
	}
	known := map[string]bool{}
	for _, o := range mnesia.Ops() {
		check(o.Name, o.Params)
		known[o.Name] = true
	}
	for _, v := range mnesia.New(nil).Verbs() {
		check(v.Name, v.Params)
		known[v.Name] = true
	}
	later := []string{"dump_tables", "select_chunks"} // help has them, the store does not yet
	for i := range verbs {
		if !slices.Contains(later, verbs[i].name) && !known[verbs[i].doorName()] {
			t.Errorf("the shell has %s, the store has no %s", verbs[i].name, verbs[i].doorName())
		}
	}
}
