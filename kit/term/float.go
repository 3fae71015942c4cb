package term

import (
	"math"
	"strconv"
)

// appendFloat appends the shortest decimal form that reads back, as Erlang's float_to_list(F, [short])
// writes it: always with a point, decimal or scientific whichever is shorter (decimal when equal), and
// scientific from 2^53 on, where not every integer can be told from its neighbours.
func appendFloat(dst []byte, f float64) []byte {
	var room [32]byte
	sci := strconv.AppendFloat(room[:0], f, 'e', -1, 64)
	// Go writes 1e+22 and 1.5e-07; Erlang 1.0e22 and 1.5e-7.
	mant, exp := splitExp(sci)
	if math.Abs(f) < 1<<53 {
		fixed := strconv.AppendFloat(make([]byte, 0, 32), f, 'f', -1, 64)
		if !hasPoint(fixed) {
			fixed = append(fixed, ".0"...)
		}
		if len(fixed) <= len(mant)+1+len(exp) || f == 0 {
			return append(dst, fixed...)
		}
	}
	dst = append(dst, mant...)
	dst = append(dst, 'e')
	return append(dst, exp...)
}

// splitExp takes Go's scientific form apart into a mantissa with a point and an exponent without plus and zeros.
func splitExp(sci []byte) (mant, exp []byte) {
	i := len(sci) - 1
	for sci[i] != 'e' {
		i--
	}
	n, _ := strconv.Atoi(string(sci[i+1:]))
	mant = append(make([]byte, 0, 32), sci[:i]...)
	if !hasPoint(mant) {
		mant = append(mant, ".0"...)
	}
	return mant, strconv.AppendInt(nil, int64(n), 10)
}

func hasPoint(b []byte) bool {
	for _, c := range b {
		if c == '.' {
			return true
		}
	}
	return false
}
