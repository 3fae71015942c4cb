package term

import (
	"bytes"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// nearly are numbers and texts between which an order is easily lost.
func nearly() []Term {
	big1 := new(big.Int).Lsh(big.NewInt(1), 64)
	ts := []Term{Int(0), Float(0), Float(math.Copysign(0, -1)), Int(math.MaxInt64), Int(math.MinInt64), Float(1 << 63), Float(-(1 << 63)),
		Big{big1}, Big{new(big.Int).Neg(big1)}, Big{new(big.Int).Add(big1, big.NewInt(1))}, Float(1 << 64), Float(math.MaxFloat64),
		Float(math.SmallestNonzeroFloat64), Float(-math.SmallestNonzeroFloat64), Big{new(big.Int).Lsh(big.NewInt(5), 3000)},
		Bin(""), Bin("a"), Bin("a\x00"), Bin("a\x01"), Bin("a\x02"), Bin("ab"), Atom("a"), Atom("ab"), List{}, List{List{}}, Tuple{},
		Pid{"a", 2}, Pid{"a", 256}, Pid{"b", 1}, Opaque{"ref"}, Opaque{"fun"}, Map{}}
	for i := range 62 {
		n := int64(1) << i
		ts = append(ts, Int(n), Int(-n), Int(n+1), Int(n-1), Int(i), Float(n), Float(float64(n)+0.5), Float(-float64(n)), Float(1/float64(n)), Float(float64(i)/3))
	}
	for _, e := range ts[:20] {
		ts = append(ts, Tuple{Int(1), e}, List{e}, List{e, Int(0)}, Tuple{e}, MakeMap(Pair{e, Int(1)}), MakeMap(Pair{Int(1), e}))
	}
	return ts
}

func TestOrderedBytes(t *testing.T) {
	ts := nearly()
	r := rand.New(rand.NewPCG(5, 6))
	for range 100 {
		ts = append(ts, randomTerm(r, 3))
	}
	keys := make([][2][]byte, len(ts))
	for i, e := range ts {
		keys[i] = [2][]byte{AppendOrdered(nil, e, true), AppendOrdered(nil, e, false)}
	}
	for i, a := range ts {
		for j, b := range ts[:i+1] {
			want := Compare(a, b)
			if got := bytes.Compare(keys[i][0], keys[j][0]); got != want {
				t.Fatalf("%s and %s: order %d by value, want %d", String(a), String(b), got, want)
			}
			got := bytes.Compare(keys[i][1], keys[j][1])
			if want != 0 && got != want || (got == 0) != Equal(a, b) {
				t.Fatalf("%s and %s: order %d, want %d, equal %v", String(a), String(b), got, want, Equal(a, b))
			}
		}
	}
}

func TestSkip(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range 500 {
		in := randomTerm(r, 4)
		b := Append(nil, in)
		if rest, err := Skip(append(b, 1, 2, 3)); err != nil || len(rest) != 3 {
			t.Fatalf("%s: %d bytes left, %v", String(in), len(rest), err)
		}
		for range min(len(b), 20) {
			n := r.IntN(len(b))
			if _, err := Skip(b[:n]); err == nil {
				t.Fatalf("%s: no error after %d of %d bytes", String(in), n, len(b))
			}
		}
		tuple, _, err := DecodeTuple(b)
		if _, is := in.(Tuple); is != (err == nil) || is && !Equal(tuple, in) {
			t.Fatalf("%s: %s, %v", String(in), String(tuple), err)
		}
	}
}
