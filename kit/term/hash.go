package term

import (
	"hash/maphash"
	"math"
)

// The hash is salted, so that nobody can choose terms that collide: it differs from run to run.
var (
	hashSeed = maphash.MakeSeed()
	hashSalt = maphash.String(hashSeed, "integers")
)

const hashExact = 1 << 63

// Hash gives a number, never 0, that is the same for terms that are Equal. exact says that no other term has it: integers
// of up to 62 bits are mixed without loss, and need not be looked at again to be told apart.
func Hash(t Term) (h uint64, exact bool) {
	if i, ok := t.(Int); ok && i >= -1<<62 && i < 1<<62 {
		return mix(uint64(i)) | hashExact, true
	}
	if h = hash(t) &^ hashExact; h == 0 {
		h = 1
	}
	return h, false
}

// mix spreads the lower 63 bits of a number without loss.
func mix(x uint64) uint64 {
	const low = hashExact - 1
	x = (x ^ hashSalt) & low
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9 & low
	x = (x ^ x>>27) * 0x94d049bb133111eb & low
	return x ^ x>>31
}

func hash(t Term) uint64 {
	switch x := t.(type) {
	case Int:
		return mix(uint64(x)) ^ uint64(x)>>63
	case Bin:
		return maphash.String(hashSeed, string(x))
	case Atom:
		return maphash.String(hashSeed, string(x)) + 1
	case Float:
		if x == 0 {
			return 2 // 0.0 and -0.0 are equal
		}
		return mix(math.Float64bits(float64(x))) + 3
	case Tuple:
		return hashAll(x, 4)
	case List:
		return hashAll(x, 5)
	}
	var room [128]byte
	return maphash.Bytes(hashSeed, AppendOrdered(room[:0], t, false))
}

func hashAll(ts []Term, kind uint64) uint64 {
	h := mix(uint64(len(ts))<<3 + kind)
	for _, t := range ts {
		h = mix(h<<1^h>>62) + hash(t)
	}
	return h
}
