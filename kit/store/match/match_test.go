package match

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"netsplit/kit"
	"netsplit/kit/term"
)

// Scripts: "rows" sets the table, a row a line; "match" and "select" say what a pattern or specification makes of
// it, what it knows about keys, and which rows an ordered_set would have to look at.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var rows []term.Tuple
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "rows":
				rows = nil
				for _, line := range strings.Split(strings.TrimSpace(d.Input), "\n") {
					rows = append(rows, value(t, line).(term.Tuple))
				}
				slices.SortFunc(rows, func(a, b term.Tuple) int { return term.Compare(a[keyPos], b[keyPos]) })
				return ""
			case "match":
				return runMatch(value(t, d.Input), rows)
			case "select":
				return runSelect(value(t, d.Input), rows)
			}
			t.Fatalf("unknown command %s", d.Cmd)
			return ""
		})
	})
}

func value(t *testing.T, text string) term.Term {
	t.Helper()
	v, err := term.FromJSON([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func runMatch(pattern term.Term, rows []term.Tuple) string {
	p, err := Compile(pattern)
	if err != nil {
		return refusal(err)
	}
	var b strings.Builder
	for _, r := range rows {
		if p.Match(r) {
			fmt.Fprintln(&b, term.String(r))
		}
	}
	if key, ok := p.Key(); ok {
		fmt.Fprintf(&b, "key %s\n", term.String(key))
	}
	b.WriteString(scanned(p.Range(), rows))
	return b.String()
}

func runSelect(spec term.Term, rows []term.Tuple) string {
	s, err := CompileSpec(spec)
	if err != nil {
		return refusal(err)
	}
	var b strings.Builder
	for _, r := range rows {
		if v, ok := s.Run(r); ok {
			fmt.Fprintln(&b, term.String(v))
		}
	}
	if keys, ok := s.Keys(); ok {
		fmt.Fprintf(&b, "keys %s\n", term.String(term.List(keys)))
	}
	b.WriteString(scanned(s.Range(), rows))
	return b.String()
}

func refusal(err error) string {
	if kit.KindOf(err) != kit.Invalid {
		return fmt.Sprintf("wrong kind: %v\n", err)
	}
	return fmt.Sprintf("badarg: %v\n", err.(*kit.Error).Err)
}

// scanned says how many rows of an ordered_set the range makes one look at, when it is not all of them.
func scanned(r Range, rows []term.Tuple) string {
	if r.Empty() {
		return "looks at no row\n"
	}
	from, _ := r.From()
	n := 0
	for _, row := range rows {
		if term.Compare(row[keyPos], from) < 0 {
			continue
		}
		side := r.Side(row[keyPos])
		if side > 0 {
			break
		}
		n++
	}
	if n == len(rows) {
		return ""
	}
	return fmt.Sprintf("looks at %d of %d rows\n", n, len(rows))
}

// Whatever a range leaves out must not match.
func TestRangeLosesNothing(t *testing.T) {
	var keys []term.Term
	for _, text := range []string{`1`, `{"f":"1.0"}`, `2`, `"a"`, `"b"`, `{"t":[]}`, `{"t":[1]}`, `{"t":[1,2]}`, `{"t":["a",1]}`, `{"t":["a",2]}`, `{"t":["b",1]}`,
		`{"t":["a",1,1]}`, `{"m":[]}`, `[]`, `[1]`, `[1,2]`, `["a"]`, `["a",1]`, `["a",2,3]`, `{"s":"x"}`, `{"t":[["a",1],2]}`} {
		keys = append(keys, value(t, text))
	}
	patterns := append([]term.Term{}, keys...)
	for _, text := range []string{`"_"`, `"$1"`, `{"t":["_"]}`, `{"t":["$1","$1"]}`, `{"t":["a","_"]}`, `{"t":["_",1]}`, `["_"]`, `["a","_"]`, `[1,"$1"]`, `{"t":["a","_","_"]}`, `{"t":[["a","_"],"_"]}`, `{"m":[]}`} {
		patterns = append(patterns, value(t, text))
	}
	for _, p := range patterns {
		for _, op := range []string{"", "<", ">", "=<", ">=", "==", "=:="} {
			for _, limit := range keys {
				checkRange(t, p, op, limit, keys)
			}
		}
	}
}

func checkRange(t *testing.T, key term.Term, op string, limit term.Term, keys []term.Term) {
	t.Helper()
	guards := term.List{}
	if op != "" {
		guards = term.L(term.T(term.Atom(op), term.Atom("$1"), term.T(term.Atom("const"), limit)))
		if key == term.Any {
			key = term.Atom("$1")
		}
	}
	spec := term.L(term.T(term.T(term.Atom("r"), key), guards, term.L(term.True)))
	s, err := CompileSpec(spec)
	if err != nil {
		return // the guard's variable is not in this head
	}
	r := s.Range()
	from, _ := r.From()
	for _, k := range keys {
		if _, ok := s.Run(term.T(term.Atom("r"), k)); ok && (r.Empty() || r.Side(k) != 0 || term.Compare(k, from) < 0) {
			t.Errorf("%s: the range leaves out %s", term.String(spec), term.String(k))
		}
	}
}

func FuzzCompileSpec(f *testing.F) {
	f.Add([]byte(`[{"t":[{"t":["o","$1","$2"]},[{"t":[">","$2",15]}],[{"t":[{"t":["$1","$2"]}]}]]}]`))
	f.Add([]byte(`[{"t":["_",[{"t":["andalso",{"t":["is_list",[1]]},{"t":["bsl",1,{"i":"99999999999"}]}]}],["$$","$_"]]}]`))
	row := term.Rec("o", 1, 20)
	f.Fuzz(func(t *testing.T, raw []byte) {
		spec, err := term.FromJSON(raw)
		if err != nil {
			return
		}
		if p, err := Compile(spec); err == nil {
			p.Match(row)
			p.Range().Side(row)
		}
		if s, err := CompileSpec(spec); err == nil {
			s.Run(row)
			s.Range().From()
		}
	})
}

// BenchmarkSelect is one row of select over {o,'$1','$2'} with a guard.
func BenchmarkSelect(b *testing.B) {
	spec, err := term.FromJSON([]byte(`[{"t":[{"t":["o","$1","$2"]},[{"t":[">","$2",15]}],["$1"]]}]`))
	if err != nil {
		b.Fatal(err)
	}
	s, err := CompileSpec(spec)
	if err != nil {
		b.Fatal(err)
	}
	row := term.Rec("o", 4711, 10)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := s.Run(row); ok {
			b.Fatal("matched")
		}
	}
}

// BenchmarkMatch is one row of match_object with one bound field.
func BenchmarkMatch(b *testing.B) {
	p, err := Compile(term.T(term.Atom("o"), term.Any, term.Int(99), term.Atom("$1"), term.Atom("$1")))
	if err != nil {
		b.Fatal(err)
	}
	row := term.Rec("o", 4711, 99, 1, 1)
	b.ReportAllocs()
	for b.Loop() {
		if !p.Match(row) {
			b.Fatal("lost")
		}
	}
}
