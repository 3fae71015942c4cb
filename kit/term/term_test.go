package term

import (
	"bytes"
	"encoding/json"
	"math"
	"math/big"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"netsplit/kit"
)

func num(s string) Term {
	i, ok := new(big.Int).SetString(s, 10)
	if !ok {
		panic(s)
	}
	return Integer(i)
}

// ordered lists terms from least to greatest, one of every kind at least.
var ordered = []Term{
	num("-123456789012345678901234567890"), Int(math.MinInt64), Int(-7), Float(-0.5), Int(0), Float(2.5), Int(3), Float(1 << 53),
	Int(1<<53 + 1), Int(math.MaxInt64), num("9223372036854775808"), num("123456789012345678901234567890"), Float(1e300),
	Atom(""), Atom("alpha"), Atom("false"), Atom("true"), Atom("zeta"), Atom("é"),
	Opaque{"ref"}, Opaque{"fun"}, Pid{"a", 1}, Pid{"a", 2}, Pid{"b", 1}, Process("p1"),
	T(), T(Int(9)), T(Int(1), Int(2)), T(Int(1), Int(3)), T(Atom("x"), Atom("y"), Atom("z")),
	Map{}, MakeMap(Pair{Int(1), Int(2)}), MakeMap(Pair{Int(1), Int(3)}), MakeMap(Pair{Int(2), Int(0)}), MakeMap(Pair{Float(1), Int(0)}),
	MakeMap(Pair{Int(1), Int(1)}, Pair{Int(2), Int(2)}),
	L(), L(Int(1)), L(Int(1), Int(2)), Str("abc"), L(Atom("x")), L(T()), L(L()),
	Bin(""), Bin("bim"), Bin("bin"), Bin("\xff\x00"),
}

func TestOrder(t *testing.T) {
	for i, a := range ordered {
		for j, b := range ordered {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := Compare(a, b); got != want {
				t.Errorf("Compare(%s, %s) = %d, want %d", String(a), String(b), got, want)
			}
			if Equal(a, b) != (i == j) || (Key(a) == Key(b)) != (i == j) {
				t.Errorf("Equal or Key of %s, %s", String(a), String(b))
			}
		}
	}
}

// Integers and floats are one key in an ordered_set and two in a set, also inside other terms.
func TestNumbersOfTwoKinds(t *testing.T) {
	pairs := [][2]Term{{Int(1), Float(1)}, {L(Int(1)), L(Float(1))}, {T(Atom("k"), Int(1)), T(Atom("k"), Float(1))},
		{MakeMap(Pair{Int(1), Int(2)}), MakeMap(Pair{Int(1), Float(2)})}, {num("36893488147419103232"), Float(1 << 65)}}
	for _, p := range pairs {
		if Compare(p[0], p[1]) != 0 || Equal(p[0], p[1]) || Key(p[0]) == Key(p[1]) {
			t.Errorf("%s and %s", String(p[0]), String(p[1]))
		}
	}
	zero, minus := Float(0), Float(math.Copysign(0, -1))
	if !Equal(zero, minus) || Key(zero) != Key(minus) || Key(T(zero)) != Key(T(minus)) {
		t.Error("0.0 and -0.0 are equal")
	}
	m := MakeMap(Pair{Int(1), Atom("i")}, Pair{Float(1), Atom("f")}, Pair{Int(1), Atom("j")})
	if v, _ := m.Get(Int(1)); len(m) != 2 || v != Atom("j") {
		t.Errorf("a map keeps 1 and 1.0 apart: %s", String(m))
	}
}

// values are terms with their JSON, Erlang and Elixir forms.
var values = []struct {
	term              Term
	json, erl, elixir string
}{
	{Atom("foo"), `"foo"`, `foo`, `:foo`},
	{Atom("$1"), `"$1"`, `'$1'`, `:"$1"`},
	{Atom("it's"), `"it's"`, `'it\'s'`, `:"it's"`},
	{Atom("Elixir.Foo.Bar"), `"Elixir.Foo.Bar"`, `'Elixir.Foo.Bar'`, `Foo.Bar`},
	{Atom("end"), `"end"`, `'end'`, `:end`},
	{True, `true`, `true`, `true`},
	{Int(-12), `-12`, `-12`, `-12`},
	{num("12345678901234567890"), `12345678901234567890`, `12345678901234567890`, `12345678901234567890`},
	{Float(1.5), `{"f":"1.5"}`, `1.5`, `1.5`},
	{Float(1), `{"f":"1.0"}`, `1.0`, `1.0`},
	{Float(1e22), `{"f":"1.0e22"}`, `1.0e22`, `1.0e22`},
	{Bin("text"), `{"s":"text"}`, `<<"text">>`, `"text"`},
	{Bin("né\n\"\\"), `{"s":"né\n\"\\"}`, `<<"né\n\"\\"/utf8>>`, `"né\n\"\\"`},
	{Bin("\xff\x00"), `{"b64":"/wA="}`, `<<255,0>>`, `<<255, 0>>`},
	{Bin(""), `{"s":""}`, `<<>>`, `""`},
	{Bin("\x01"), `{"s":"\u0001"}`, `<<1>>`, `<<1>>`},
	{T(Atom("person"), Bin("hernan"), Int(31)), `{"t":["person",{"s":"hernan"},31]}`, `{person,<<"hernan">>,31}`, `{:person, "hernan", 31}`},
	{L(), `[]`, `[]`, `[]`},
	{L(Int(1), Int(2)), `[1,2]`, `[1,2]`, `[1, 2]`},
	{Str("abc"), `[97,98,99]`, `"abc"`, `~c"abc"`},
	{L(T(Atom("a"), Int(1)), T(Atom("b c"), L())), `[{"t":["a",1]},{"t":["b c",[]]}]`, `[{a,1},{'b c',[]}]`, `[a: 1, "b c": []]`},
	{MakeMap(Pair{Int(2), Int(3)}, Pair{Atom("a"), Int(1)}), `{"m":[[2,3],["a",1]]}`, `#{2 => 3,a => 1}`, `%{2 => 3, :a => 1}`},
	{MakeMap(Pair{Atom("a"), Int(1)}), `{"m":[["a",1]]}`, `#{a => 1}`, `%{a: 1}`},
	{Pid{"a", 5}, `{"pid":"a.5"}`, `<a.5>`, `#PID<a.5>`},
	{Process("p1"), `{"pid":"p1"}`, `<p1>`, `#PID<p1>`},
	{Opaque{"fun"}, `{"fun":"?"}`, `#Fun<?>`, `#Function<?>`},
	{Opaque{"ref"}, `{"ref":"?"}`, `#Ref<?>`, `#Reference<?>`},
}

func TestForms(t *testing.T) {
	for _, v := range values {
		b, err := ToJSON(v.term)
		if err != nil || string(b) != v.json || !json.Valid(b) {
			t.Errorf("ToJSON(%s) = %s, %v; want %s", v.erl, b, err, v.json)
		}
		back, err := FromJSON([]byte(v.json))
		if err != nil || !Equal(back, v.term) {
			t.Errorf("FromJSON(%s) = %v, %v", v.json, back, err)
		}
		if got := String(v.term); got != v.erl {
			t.Errorf("String: %s, want %s", got, v.erl)
		}
		if got := Elixir(v.term); got != v.elixir {
			t.Errorf("Elixir: %s, want %s", got, v.elixir)
		}
	}
}

func TestFloatForm(t *testing.T) {
	for f, want := range map[float64]string{0: "0.0", 100: "100.0", 1000: "1.0e3", 1234: "1234.0", 12340: "12340.0", 123400: "1.234e5", 1234000: "1.234e6",
		0.001: "0.001", 0.0001: "0.0001", 0.00001: "1.0e-5", 0.00012: "1.2e-4", 0.1: "0.1", -2.5: "-2.5", 1e22: "1.0e22", 9007199254740991: "9007199254740991.0",
		9007199254740992: "9.007199254740992e15", 5e-324: "5.0e-324", 1.7976931348623157e308: "1.7976931348623157e308", 17.29: "17.29"} {
		if got := string(appendFloat(nil, f)); got != want {
			t.Errorf("%g: %s, want %s", f, got, want)
		}
	}
}

func TestJSONInputForms(t *testing.T) {
	for in, want := range map[string]Term{
		` {"str":"abc"} `: Str("abc"), `{"i":"12"}`: Int(12), `{"i":"-12345678901234567890"}`: num("-12345678901234567890"),
		`{"node":"a"}`: Atom("a"), `"true"`: True, `{"m":[]}`: Map{}, `{"m":[["b",1],["a",2]]}`: MakeMap(Pair{Atom("a"), Int(2)}, Pair{Atom("b"), Int(1)}),
		"[1 , 2]": L(Int(1), Int(2)), `"é\ud83d\ude00"`: Atom("é😀"), `{"f":"1.0e22"}`: Float(1e22), `-0`: Int(0),
	} {
		if got, err := FromJSON([]byte(in)); err != nil || !Equal(got, want) {
			t.Errorf("%s: %v, %v; want %v", in, got, err, want)
		}
	}
}

func TestJSONRefused(t *testing.T) {
	deep := strings.Repeat("[", MaxDepth+2) + strings.Repeat("]", MaxDepth+2)
	for _, in := range []string{``, ` `, `1.5`, `01`, `-`, `1 2`, `[1,]`, `[1`, `[,]`, `{}`, `{"x":1}`, `{"s":1}`, `{"s":"a","s":"b"}`, `{"t":"a"}`, `null`, `nope`,
		`{"f":"nan"}`, `{"f":"1e400"}`, `{"f":"0x1p4"}`, `{"b64":"*"}`, `{"m":[[1]]}`, `{"m":[[1,2],[1,3]]}`, `{"i":"1.0"}`, `{"i":""}`, `{"pid":"a.b"}`, `{"pid":""}`,
		`{"fun":"x"}`, "\"a\nb\"", "\"\xff\"", `"abc`, `"\x"`, deep, `"` + strings.Repeat("a", MaxAtom+1) + `"`, strings.Repeat("9", MaxIntBits)} {
		if got, err := FromJSON([]byte(in)); err == nil || kit.KindOf(err) != kit.Invalid {
			t.Errorf("%.40q: %v, %v", in, got, err)
		}
	}
}

// A step's options are ordinary objects; they become maps with atom keys, and the format's forms stay what they are.
func TestFromStep(t *testing.T) {
	got, err := FromStep([]byte(`{"type":"bag","ram_copies":["a","b"],"t":{"t":[1]},"index":[],"majority":true,"empty":{}}`))
	want := MakeMap(Pair{Atom("type"), Atom("bag")}, Pair{Atom("ram_copies"), L(Atom("a"), Atom("b"))}, Pair{Atom("t"), T(Int(1))},
		Pair{Atom("index"), L()}, Pair{Atom("majority"), True}, Pair{Atom("empty"), Map{}})
	if err != nil || !Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err = FromStep([]byte(`{"t":[1],"x":2}`)); err != nil || len(got.(Map)) != 2 {
		t.Errorf("an object that begins like a tuple: %v, %v", got, err)
	}
	if _, err = FromStep([]byte(`{"x":1,"x":2}`)); err == nil {
		t.Error("a key twice")
	}
}

func TestGoValues(t *testing.T) {
	type text string
	for _, c := range []struct {
		in   any
		want Term
		back any
	}{
		{31, Int(31), 31}, {uint8(3), Int(3), 3}, {uint64(math.MaxUint64), num("18446744073709551615"), num("18446744073709551615").(Big).Int},
		{"hernan", Bin("hernan"), "hernan"}, {text("x"), Bin("x"), "x"}, {[]byte("ab"), Bin("ab"), "ab"}, {true, True, true}, {2.5, Float(2.5), 2.5}, {float32(2.5), Float(2.5), 2.5},
		{[]any{1, "a", []int{2}}, L(Int(1), Bin("a"), L(Int(2))), []any{1, "a", []any{2}}},
		{map[string]int{"b": 2, "a": 1}, MakeMap(Pair{Bin("a"), Int(1)}, Pair{Bin("b"), Int(2)}), map[string]any{"a": 1, "b": 2}},
		{T(Int(1)), T(Int(1)), T(Int(1))}, {nil, Undefined, Undefined},
	} {
		got, err := FromGo(c.in)
		if err != nil || !Equal(got, c.want) {
			t.Errorf("FromGo(%v) = %v, %v", c.in, got, err)
			continue
		}
		if back := ToGo(got); !reflect.DeepEqual(back, c.back) {
			t.Errorf("ToGo(%s) = %#v, want %#v", String(got), back, c.back)
		}
	}
	for _, bad := range []any{make(chan int), func() {}, struct{}{}, math.NaN(), math.Inf(1)} {
		if got, err := FromGo(bad); kit.KindOf(err) != kit.Invalid || err == nil {
			t.Errorf("FromGo(%T) = %v, %v", bad, got, err)
		}
	}
	loop := []any{nil}
	loop[0] = loop
	if _, err := FromGo(loop); err == nil {
		t.Error("a value that contains itself")
	}
}

// randomTerm makes a term of any kind; depth bounds its nesting.
func randomTerm(r *rand.Rand, depth int) Term {
	kinds := 12
	if depth == 0 {
		kinds = 8
	}
	text := func(n int) string {
		b := make([]byte, r.IntN(n))
		for i := range b {
			b[i] = byte(r.IntN(256))
		}
		return string(b)
	}
	terms := func() []Term {
		out := make([]Term, r.IntN(20))
		for i := range out {
			out[i] = randomTerm(r, depth-1)
		}
		return out
	}
	switch r.IntN(kinds) {
	case 0:
		return Int(r.IntN(256) - 64)
	case 1:
		return Int(r.Uint64())
	case 2:
		i := new(big.Int).SetBytes([]byte(text(40)))
		return Integer(i.Sub(i, big.NewInt(1<<40)))
	case 3:
		return Float(r.NormFloat64() * 1e10)
	case 4:
		return Atom(strings.ToValidUTF8(text(60), "é"))
	case 5, 6:
		return Bin(text(100))
	case 7:
		return []Term{Pid{"node-a", r.Uint64()}, Opaque{"fun"}, Opaque{"ref"}, Process("p1")}[r.IntN(4)]
	case 8, 9:
		return Tuple(terms())
	case 10:
		return List(terms())
	}
	pairs := []Pair{}
	for _, k := range terms() {
		pairs = append(pairs, Pair{k, randomTerm(r, depth-1)})
	}
	return MakeMap(pairs...)
}

func TestRoundTrips(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		in := randomTerm(r, 3)
		raw := Append(nil, in)
		out, rest, err := Decode(append(raw, "rest"...))
		if err != nil || !Equal(in, out) || string(rest) != "rest" || !bytes.Equal(Append(nil, out), raw) {
			t.Fatalf("binary: %s: %v, %q, %v", String(in), out, rest, err)
		}
		text, err := ToJSON(in)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := FromJSON(text); err != nil || !Equal(in, back) {
			t.Fatalf("json: %s: %v", text, err)
		}
		if len(raw) > 1 {
			cut := r.IntN(len(raw))
			if got, _, err := Decode(raw[:cut]); err == nil {
				t.Fatalf("%x cut at %d decodes as %s", raw, cut, String(got))
			}
		}
	}
}

func TestDecodeRefused(t *testing.T) {
	deep := append(bytes.Repeat([]byte{shortTuple | 1}, MaxDepth+1), shortInt)
	wide := append([]byte{tagList, 0xff, 0xff, 0xff, 0x7f}, make([]byte, 100)...)
	for _, raw := range [][]byte{nil, {0}, {0x0c}, {tagInt}, {tagInt, 2}, {tagInt, 0x80}, {tagInt, 0x81, 0}, {tagFloat, 1}, {tagFloat, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0}, {shortAtom | 1, 0xff},
		{tagAtom, 1, 'a'}, {tagBin, 2, 'a', 'b'}, {tagBigPos, 1, 1}, {tagBigPos, 8, 0, 1, 1, 1, 1, 1, 1, 1}, {tagMap, 2, 0x82, 0x80, 0x81, 0x80}, {tagMap, 2, 0x81, 0x80, 0x81, 0x80},
		{tagMap, 0xff, 0xff, 0xff, 0xff, 0x0f}, {tagPid, 200}, deep, wide} {
		if got, _, err := Decode(raw); err == nil || kit.KindOf(err) != kit.Corrupt {
			t.Errorf("%x: %v, %v", raw[:min(len(raw), 12)], got, err)
		}
	}
}

func TestTooDeepToWrite(t *testing.T) {
	var deep Term = Int(1)
	for range MaxDepth + 5 {
		deep = L(deep)
	}
	if _, err := ToJSON(deep); err == nil {
		t.Error("a term deeper than MaxDepth was written")
	}
	if _, err := ToJSON(L(nil)); err == nil {
		t.Error("a nil term was written")
	}
	if _, err := ToJSON(Float(math.NaN())); err == nil {
		t.Error("NaN was written")
	}
}

func FuzzDecode(f *testing.F) {
	for _, t := range ordered {
		f.Add(Append(nil, t))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, rest, err := Decode(raw)
		behind, skipErr := Skip(raw)
		if err != nil {
			return
		}
		if skipErr != nil || len(behind) != len(rest) {
			t.Fatalf("%x: %d bytes left, skipped to %d, %v", raw, len(rest), len(behind), skipErr)
		}
		if again := Append(nil, v); !bytes.Equal(again, raw[:len(raw)-len(rest)]) {
			t.Fatalf("%x decodes as %s, which encodes as %x", raw, String(v), again)
		}
		_ = Elixir(v)
		text, err := ToJSON(v)
		if err != nil {
			return // a name that is no text
		}
		if back, err := FromJSON(text); err == nil && Key(back) != Key(v) && !strings.Contains(string(text), "pid") {
			t.Fatalf("%s reads back as %s", text, String(back))
		}
	})
}

func FuzzFromJSON(f *testing.F) {
	for _, v := range values {
		f.Add([]byte(v.json))
	}
	f.Add([]byte(`{"type":"bag","t":[1],"x":{"m":[]}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, err := FromJSON(raw)
		if w, werr := FromStep(raw); err == nil && (werr != nil || !Equal(v, w)) {
			t.Fatalf("%s: strict %v, lenient %v %v", raw, v, w, werr)
		}
		if err != nil {
			return
		}
		if !json.Valid(raw) {
			t.Fatalf("accepted what is no JSON: %s", raw)
		}
		text, err := ToJSON(v)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := FromJSON(text); err != nil || !Equal(v, back) {
			t.Fatalf("%s: %v", text, err)
		}
	})
}

func account() Tuple {
	return T(Atom("account"), Int(4711), Int(0), Int(-73214), T(num("12345678901234567890"), num("12345678901234567891"), Int(1<<60)))
}

func person() Tuple {
	return T(Atom("person"), Int(4711), Undefined, Int(-4711), L(Atom("ulla"), Atom("bella")))
}

func BenchmarkAppend(b *testing.B) {
	for name, t := range map[string]Term{"person": person(), "account": account()} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			buf := make([]byte, 0, 256)
			for b.Loop() {
				buf = Append(buf[:0], t)
			}
			b.SetBytes(int64(len(buf)))
		})
	}
}

func BenchmarkDecode(b *testing.B) {
	for name, t := range map[string]Term{"person": person(), "account": account()} {
		raw := Append(nil, t)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(raw)))
			for b.Loop() {
				if _, _, err := Decode(raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkKey(b *testing.B) {
	for name, t := range map[string]Term{"int": Int(1 << 40), "atom": Atom("x"), "tuple": T(Int(1), Int(4711))} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			m := map[any]int{Key(t): 1}
			for b.Loop() {
				if m[Key(t)] != 1 {
					b.Fatal("lost")
				}
			}
		})
	}
}

func BenchmarkJSON(b *testing.B) {
	text, _ := ToJSON(account())
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		var buf []byte
		for b.Loop() {
			buf, _ = AppendJSON(buf[:0], account())
		}
	})
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := FromJSON(text); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func TestKeyOfScalarsDoesNotAllocate(t *testing.T) {
	terms := []Term{Int(1 << 40), Atom("x"), Bin("y"), Float(1.5), Pid{"a", 1}}
	m := map[any]int{}
	if n := testing.AllocsPerRun(100, func() {
		for _, k := range terms {
			_ = m[Key(k)]
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestSortedIsStable(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	shuffled := slices.Clone(ordered)
	r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	slices.SortFunc(shuffled, Compare)
	for i := range ordered {
		if !Equal(ordered[i], shuffled[i]) {
			t.Fatalf("place %d: %s, want %s", i, String(shuffled[i]), String(ordered[i]))
		}
	}
}

func TestWord(t *testing.T) {
	for _, c := range []struct {
		t    Term
		want string
	}{{Atom("stop"), "stop"}, {Bin("stop"), "stop"}, {Str("stop"), ""}, {Int(7), ""}, {T(Atom("stop")), ""}, {nil, ""}} {
		if got := Word(c.t); got != c.want {
			t.Errorf("%v says %q, want %q", c.t, got, c.want)
		}
	}
}
