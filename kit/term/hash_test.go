package term

import (
	"math"
	"math/big"
	"testing"
)

func TestEqualTermsHaveOneHash(t *testing.T) {
	huge := Integer(new(big.Int).Lsh(big.NewInt(1), 100))
	terms := []Term{Int(0), Int(1), Int(-1), Int(1 << 62), Int(-1<<62 - 1), Int(math.MaxInt64), Int(math.MinInt64), huge, Float(0), Float(1), Float(1 << 62),
		Atom(""), Atom("a"), Bin(""), Bin("a"), Tuple{}, List{}, Tuple{Int(1)}, List{Int(1)}, Tuple{Float(1)}, Tuple{Int(1), Tuple{}}, Tuple{Tuple{Int(1)}},
		Tuple{Tuple{}, Int(1)}, MakeMap(Pair{Int(1), Int(2)}), Pid{Node: "a", ID: 1}}
	for i, a := range terms {
		h, exact := Hash(a)
		if h == 0 {
			t.Errorf("%s has no hash", String(a))
		}
		for k, b := range terms {
			g, also := Hash(b)
			if (g == h && exact == also) != (i == k) {
				t.Errorf("%s and %s: hashes %x and %x", String(a), String(b), h, g)
			}
		}
	}
	zero := math.Copysign(0, -1)
	for _, p := range [][2]Term{{Float(0), Float(zero)}, {Tuple{Float(0)}, Tuple{Float(zero)}}, {MakeMap(Pair{Int(1), Float(0)}), MakeMap(Pair{Int(1), Float(zero)})}} {
		a, _ := Hash(p[0])
		if b, _ := Hash(p[1]); a != b || !Equal(p[0], p[1]) {
			t.Errorf("%s and %s are equal", String(p[0]), String(p[1]))
		}
	}
}

func TestSmallIntegersHaveHashesOfTheirOwn(t *testing.T) {
	seen := map[uint64]int{}
	for i := -100_000; i < 100_000; i++ {
		for _, n := range []int{i, i << 40} {
			h, exact := Hash(Int(n))
			if was, ok := seen[h]; !exact || ok && was != n {
				t.Fatalf("%d and %d have the hash %x", was, n, h)
			}
			seen[h] = n
		}
	}
}
