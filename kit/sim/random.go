package sim

import (
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"
	"time"
)

// Chance is dealt out in streams, each named and derived from the world's seed: what one part draws does not
// change what another one gets, so that leaving out a fault leaves the rest of a run alike.

// stream gives the stream of that name.
func stream(seed uint64, name ...string) *rand.ChaCha8 {
	h := sha256.New()
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], seed)
	h.Write(b[:])
	for _, n := range name {
		h.Write([]byte(n))
		h.Write([]byte{0})
	}
	return rand.NewChaCha8([32]byte(h.Sum(nil)))
}

// randomSource is a guest's random_get.
type randomSource struct{ *rand.ChaCha8 }

// dice is a stream with the draws that the world makes.
type dice struct{ *rand.Rand }

func newDice(seed uint64, name ...string) dice { return dice{rand.New(stream(seed, name...))} }

// between draws a time from the closed range.
func (d dice) between(low, high time.Duration) time.Duration {
	if high <= low {
		return low
	}
	return low + time.Duration(d.Int64N(int64(high-low)+1))
}

// upTo draws a time from 0 to most.
func (d dice) upTo(most time.Duration) time.Duration { return d.between(0, most) }

// chance is true with that probability.
func (d dice) chance(p float64) bool { return p > 0 && d.Float64() < p }
