package history

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"netsplit/kit/term"
)

type askedObject struct {
	name string
	obj  Object
	ask  func(r *rand.Rand) (string, []term.Term)
}

var objects = []askedObject{
	{"register", Register(term.Int(0)), func(r *rand.Rand) (string, []term.Term) {
		v := term.Int(r.IntN(3))
		switch r.IntN(7) {
		case 0, 1, 2:
			return "read", nil
		case 3, 4:
			return "write", []term.Term{v}
		case 5:
			return "swap", []term.Term{v}
		}
		return "cas", []term.Term{term.Int(r.IntN(3)), v}
	}},
	{"number", Number(0), func(r *rand.Rand) (string, []term.Term) {
		n := []term.Term{term.Int(1 + r.IntN(2))}
		switch r.IntN(4) {
		case 0:
			return "add", n
		case 1:
			return "add_get", n
		case 2:
			return "get_add", n
		}
		return "read", nil
	}},
	{"set", Set(), func(r *rand.Rand) (string, []term.Term) {
		x := []term.Term{term.Int(r.IntN(2))}
		switch r.IntN(5) {
		case 0, 1:
			return "add", x
		case 2:
			return "remove", x
		case 3:
			return "contains", x
		}
		return "members", nil
	}},
	{"queue", Queue(), func(r *rand.Rand) (string, []term.Term) {
		if r.IntN(2) == 0 {
			return "pop", nil
		}
		return "push", []term.Term{term.Int(r.IntN(3))}
	}},
	{"lock", Lock(), func(r *rand.Rand) (string, []term.Term) {
		return []string{"acquire", "release"}[r.IntN(2)], nil
	}},
}

// randomActs lets clients ask an object at random moments that overlap; now and then an answer is wrong, late or missing.
func randomActs(r *rand.Rand, obj Object, ask func(*rand.Rand) (string, []term.Term), most int) []Act {
	acts := make([]Act, 2+r.IntN(most-1))
	state, wrong := obj.Start(""), 1+r.IntN(4)
	states := []term.Term{state}
	for i := range acts {
		a := Act{Op: i + 1, Client: []string{"ann", "ben"}[r.IntN(2)]}
		if a.Name, a.Args = ask(r); r.IntN(40) == 0 {
			a.Args = []term.Term{term.Int(1), term.Atom("x"), term.List{}}[:r.IntN(4)] // what no object knows
		}
		next, answer := obj.Apply(state, a)
		if a.Answer = answer; r.IntN(wrong) == 0 { // as if it came from another moment
			_, a.Answer = obj.Apply(states[r.IntN(len(states))], a)
		}
		if next != nil && r.IntN(6) > 0 { // else it is lost
			state = next
			states = append(states, state)
		}
		moment := time.Duration(3*i) * time.Millisecond
		a.Begin, a.End = moment-time.Duration(r.IntN(5))*time.Millisecond, moment+time.Duration(r.IntN(5))*time.Millisecond
		switch r.IntN(20) {
		case 0, 1, 2, 3:
			a.End, a.Answer = Open, nil
		case 4:
			a.Answer = nil // an answer that says nothing
		}
		acts[i] = a
	}
	r.Shuffle(len(acts), func(i, j int) { acts[i], acts[j] = acts[j], acts[i] })
	return acts
}

// ordered tries all orders.
func ordered(left []Act, obj Object, state term.Term) bool {
	if !slices.ContainsFunc(left, func(a Act) bool { return a.End != Open }) {
		return true
	}
	for i, a := range left {
		if slices.ContainsFunc(left, func(b Act) bool { return b.End != Open && b.End < a.Begin }) {
			continue
		}
		next, answer := obj.Apply(state, a)
		if next == nil || a.End != Open && a.Answer != nil && answer != nil && !term.Equal(answer, a.Answer) {
			continue
		}
		if ordered(slices.Delete(slices.Clone(left), i, i+1), obj, next) {
			return true
		}
	}
	return false
}

// untold gives acts of which nothing is known but that they had begun, apart from some.
func untold(acts []Act, told ...Act) []Act {
	out := slices.Clone(acts)
	for i, a := range out {
		if !slices.ContainsFunc(told, func(t Act) bool { return t.Op == a.Op }) {
			out[i].Answer, out[i].End = nil, Open
		}
	}
	return out
}

// TestLinearizeAgreesWithAllOrders compares verdict and explanation on thousands of small histories with trying all orders.
func TestLinearizeAgreesWithAllOrders(t *testing.T) {
	const histories = 3000
	bad := map[string]int{}
	for seed := range uint64(histories) {
		o := objects[seed%uint64(len(objects))]
		acts := randomActs(rand.New(rand.NewPCG(seed, 11)), o.obj, o.ask, 6)
		l := Linearize(acts, o.obj, 0)
		want := ordered(acts, o.obj, o.obj.Start(""))
		if l.Verdict == Maybe || (l.Verdict == Yes) != want {
			t.Fatalf("seed %d, %s: an order exists: %v; found %v (%s)\n%s", seed, o.name, want, l.Verdict, l.Why, sayActs(acts))
		}
		if !want {
			bad[o.name]++
			checkWhy(t, acts, o.obj, l)
			if t.Failed() {
				t.Fatalf("seed %d, %s:\n%s\nstuck:\n%s\ncore:\n%s", seed, o.name, sayActs(acts), sayActs([]Act{l.Stuck}), sayActs(l.Core))
			}
		}
	}
	t.Logf("%d histories; without an order: %v", histories, bad)
	for _, o := range objects {
		if n := bad[o.name]; n < histories/100 || n > histories/len(objects)*9/10 {
			t.Errorf("%d histories of %s have no order: too one-sided to prove anything", n, o.name)
		}
	}
}

// checkWhy wants the explanation to be true, and no longer than need be.
func checkWhy(t *testing.T, acts []Act, obj Object, l Linearization) {
	start := obj.Start("")
	var before, now []Act // as of the moment before the stuck answer, and of that answer
	for _, a := range acts {
		switch {
		case a.Begin > l.Stuck.End:
			continue
		case a.End == Open || a.End > l.Stuck.End:
			a = untold([]Act{a})[0]
			before, now = append(before, a), append(now, a)
		case a.Op == l.Stuck.Op || a.End == l.Stuck.End:
			before = append(before, untold([]Act{a})[0])
			now = append(now, a)
		default:
			before, now = append(before, a), append(now, a)
		}
	}
	for _, a := range l.Prefix {
		if a.Begin > l.Stuck.End {
			t.Errorf("#%d had not begun when the stuck answer came", a.Op)
		}
	}
	if !ordered(before, obj, start) {
		t.Error("there was no order before the stuck answer came")
	}
	if ordered(now, obj, start) {
		t.Error("there is an order with the stuck answer")
	}
	if ordered(untold(now, append(l.Core, l.Stuck)...), obj, start) {
		t.Error("the core does not prove it")
	}
	for i := range l.Core {
		if !ordered(untold(now, append(slices.Delete(slices.Clone(l.Core), i, i+1), l.Stuck)...), obj, start) {
			t.Errorf("the core does not need %s", sayActs(l.Core[i:i+1]))
		}
	}
	for _, answer := range l.Instead {
		instead := slices.Clone(before) // with answers of the same moment left out
		for i := range instead {
			if instead[i].Op == l.Stuck.Op {
				instead[i].Answer, instead[i].End = answer, l.Stuck.End
			}
		}
		if !ordered(instead, obj, start) {
			t.Errorf("%s would not have fitted either", term.String(answer))
		}
	}
	for n := range term.Int(8) {
		instead := slices.Clone(now)
		for i := range instead {
			if instead[i].Op == l.Stuck.Op {
				instead[i].Answer = n
			}
		}
		_, isInt := l.Stuck.Answer.(term.Int)
		if isInt && l.Instead != nil && ordered(instead, obj, start) && !slices.ContainsFunc(l.Instead, func(t term.Term) bool { return term.Equal(t, n) }) {
			t.Errorf("%d would have fitted, too; only %v is told", n, l.Instead)
		}
	}
}

func sayActs(acts []Act) string {
	var b strings.Builder
	for _, a := range acts {
		fmt.Fprintf(&b, "#%d %s %s%v -> %v [%v,%v]\n", a.Op, a.Client, a.Name, a.Args, a.Answer, a.Begin, a.End)
	}
	return b.String()
}

// TestLinearizeIsBounded: a search that would take for ever is given up after so much work, the same each time; what
// is merely long is not.
func TestLinearizeIsBounded(t *testing.T) {
	reg := Register(term.Int(0))
	var wide []Act // all at once, and a read of what nobody wrote while they were in flight
	for i := range 40 {
		wide = append(wide, Act{Op: i + 1, Name: "cas", Args: []term.Term{term.Int(i), term.Int((i * 7) % 40)}, End: time.Second})
	}
	wide = append(wide, Act{Op: 41, Name: "read", Answer: term.Int(99), End: time.Second})
	first := Linearize(wide, reg, 20_000)
	if again := Linearize(wide, reg, 20_000); first.Verdict != Maybe || first.Why == "" || again.Work != first.Work {
		t.Errorf("%+v\nthen %+v", first, again)
	}

	var long []Act
	const many = 1500
	for i := range many {
		moment := time.Duration(i) * time.Millisecond
		a := Act{Op: i + 1, Name: "write", Args: []term.Term{term.Int(i)}, Begin: moment, End: moment}
		if i%2 == 1 {
			a.Name, a.Args, a.Answer = "read", nil, term.Int(i-1)
		}
		long = append(long, a)
	}
	if l := Linearize(long, reg, 1); l.Verdict != Yes {
		t.Errorf("a long plain history: %+v", l)
	}
	late := &long[many-1]
	late.Answer = term.Int(6)
	l := Linearize(long, reg, 1)
	if l.Verdict != No || l.Stuck.Op != late.Op || len(l.Core) != 2 || len(l.Instead) != 1 {
		t.Errorf("one late read: %v stuck at %d, core of %d, instead %v", l.Verdict, l.Stuck.Op, len(l.Core), l.Instead)
	}
	if l := Linearize(slices.Repeat(long, MaxActs/many+1), reg, 1); l.Verdict != Maybe {
		t.Errorf("too long: %+v", l)
	}
}

// TestLinearizeWithManyUnanswered: requests without an answer make the plain search explode; that none of them helps is seen
// all the same.
func TestLinearizeWithManyUnanswered(t *testing.T) {
	var acts []Act
	for i := range 40 {
		acts = append(acts, Act{Op: i + 1, Name: "write", Args: []term.Term{term.Int(i + 1)}, End: Open})
	}
	acts = append(acts, Act{Op: 41, Name: "write", Args: []term.Term{term.Int(50)}, Begin: 1, End: 2},
		Act{Op: 42, Name: "read", Answer: term.Int(99), Begin: 3, End: 4})
	l := Linearize(acts, Register(term.Int(0)), 0)
	if l.Verdict != No || l.Stuck.Op != 42 || len(l.Core) != 0 {
		t.Errorf("%+v", l)
	}
	acts[41].Answer = term.Int(17)
	if l := Linearize(acts, Register(term.Int(0)), 0); l.Verdict != Yes {
		t.Errorf("%+v", l)
	}
}

// TestLinearizeParts: parts are judged each by itself, and the one without an order is named.
func TestLinearizeParts(t *testing.T) {
	acts := []Act{
		{Op: 1, Part: "x", Name: "write", Args: []term.Term{term.Int(1)}, Begin: 1, End: 2},
		{Op: 2, Part: "y", Name: "read", Answer: term.Int(0), Begin: 3, End: 4},
		{Op: 3, Part: "x", Name: "read", Answer: term.Int(1), Begin: 5, End: 6},
	}
	if l := Linearize(acts, Register(term.Int(0)), 0); l.Verdict != Yes {
		t.Errorf("%+v", l)
	}
	acts[1].Part = "x"
	if l := Linearize(acts, Register(term.Int(0)), 0); l.Verdict != No || l.Part != "x" || l.Stuck.Op != 2 || len(l.Core) != 1 || l.Core[0].Op != 1 {
		t.Errorf("%+v", l)
	}
}

// TestObjects goes through what each object answers.
func TestObjects(t *testing.T) {
	for name, script := range map[string]string{
		"register": "read=0 write(1) read=1 swap(2)=1 read=2 cas(1,5)=false read=2 cas(2,5)=true read=5 delete read=0 delete() jump(1)! write! cas(1)!",
		"number":   "read=0 add(2) read=2 add_get(3)=5 get_add(1)=5 read=6 add_get(-9)=-3 add(\"x\")! add! sub(1)!",
		"set":      "members=[] add(2) add(1) add(2) members=[1,2] contains(1)=true remove(1) remove(1) contains(1)=false members=[2] add! pop(1)!",
		"queue":    "pop=\"empty\" push(1) push(2) push(1) pop=1 pop=2 pop=1 pop=\"empty\" push! peek!",
		"lock":     "release=false acquire=true acquire=false ben:acquire=false ben:release=false release=true ben:acquire=true acquire=false release=false ben:release=true steal!",
	} {
		obj := objects[slices.IndexFunc(objects, func(o askedObject) bool { return o.name == name })].obj
		state := obj.Start("")
		for word := range strings.FieldsSeq(script) {
			impossible := strings.HasSuffix(word, "!")
			ask, want, _ := strings.Cut(strings.TrimSuffix(word, "!"), "=")
			a := Act{Client: "ann", Name: ask}
			if client, rest, ok := strings.Cut(ask, ":"); ok {
				a.Client, a.Name = client, rest
			}
			if verb, args, ok := strings.Cut(a.Name, "("); ok {
				list, err := term.FromStep([]byte("[" + strings.TrimSuffix(args, ")") + "]"))
				if err != nil {
					t.Fatal(err)
				}
				a.Name, a.Args = verb, list.(term.List)
			}
			before := term.String(state)
			next, answer := obj.Apply(state, a)
			if term.String(state) != before {
				t.Errorf("%s: %s changed the state that it was given", name, word)
			}
			got := ""
			if answer != nil {
				raw, _ := term.ToJSON(answer)
				got = string(raw)
			}
			if impossible != (next == nil) || strings.Trim(got, `"`) != strings.Trim(want, `"`) {
				t.Errorf("%s: %s: got %s and the state %v", name, word, got, next)
			}
			if next != nil {
				if obj.Pure != nil && obj.Pure(a) && !term.Equal(next, state) {
					t.Errorf("%s: %s is pure and changes the state", name, word)
				}
				state = next
			}
		}
	}
}

// TestLinearizeBrokenObject: an object that panics settles nothing.
func TestLinearizeBrokenObject(t *testing.T) {
	broken := Object{Start: func(string) term.Term { return term.Int(0) }, Apply: func(term.Term, Act) (next, answer term.Term) { panic("oh") }}
	acts := []Act{{Op: 1, Name: "read", Answer: term.Int(0), End: 1}}
	if l := Linearize(acts, broken, 0); l.Verdict != Maybe || !strings.Contains(l.Why, "oh") {
		t.Errorf("%+v", l)
	}
	broken.Start = func(string) term.Term { panic("no") }
	if l := Linearize(acts, broken, 0); l.Verdict != Maybe {
		t.Errorf("%+v", l)
	}
	if l := Linearize(nil, broken, 0); l.Verdict != Yes {
		t.Errorf("%+v", l)
	}
}

// FuzzLinearize: whatever the bytes, small histories get the verdict that trying all orders gives, and larger ones one in
// bounded time.
func FuzzLinearize(f *testing.F) {
	f.Add(uint64(1), uint64(2), 6)
	f.Add(uint64(3), uint64(5), 200)
	f.Fuzz(func(t *testing.T, kind, seed uint64, most int) {
		most = 2 + max(0, most)%300
		o := objects[kind%uint64(len(objects))]
		acts := randomActs(rand.New(rand.NewPCG(kind, seed)), o.obj, o.ask, most)
		l := Linearize(acts, o.obj, 20_000)
		if most <= 6 && (l.Verdict == Maybe || (l.Verdict == Yes) != ordered(acts, o.obj, o.obj.Start(""))) {
			t.Errorf("%s: %v\n%s", o.name, l.Verdict, sayActs(acts))
		}
		if l.Work > 2_000_000 {
			t.Errorf("%s took %d for %d acts", o.name, l.Work, len(acts))
		}
	})
}
