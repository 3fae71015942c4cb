package lab

import (
	"math"
	"testing"
)

// TestBoundsAreClopperAndPearson compares with published values: the two-sided 95 % intervals that textbooks print have
// 2.5 % on each side.
func TestBoundsAreClopperAndPearson(t *testing.T) {
	for _, c := range []struct {
		hits, runs int
		alpha      float64
		low, high  float64
	}{
		{0, 10, 0.025, 0, 0.3085},
		{1, 10, 0.025, 0.0025, 0.4450},
		{5, 10, 0.025, 0.1871, 0.8129},
		{10, 10, 0.025, 0.6915, 1},
		{1, 20, 0.025, 0.0013, 0.2487},
		{10, 100, 0.025, 0.0490, 0.1762},
		{81, 263, 0.025, 0.2527, 0.3676}, // Newcombe 1998, table I
		{15, 148, 0.025, 0.0578, 0.1617},
		{0, 20, 0.025, 0, 0.1684},
		{1, 29, 0.025, 0.0009, 0.1776},
		{1, 10, 0.05, 0.0051, 0.3942},
	} {
		low, high := lowerBound(c.hits, c.runs, c.alpha), upperBound(c.hits, c.runs, c.alpha)
		if math.Abs(low-c.low) > 5e-5 || math.Abs(high-c.high) > 5e-5 {
			t.Errorf("%d of %d: %.4f to %.4f, want %.4f to %.4f", c.hits, c.runs, low, high, c.low, c.high)
		}
	}
}

// TestNoFailure has a formula of its own, and the rule of three comes close to it.
func TestNoFailure(t *testing.T) {
	for _, n := range []int{1, 10, 50, 400, 10_000} {
		want := 1 - math.Pow(0.05, 1/float64(n))
		if got := upperBound(0, n, 0.05); math.Abs(got-want) > 1e-9 {
			t.Errorf("0 of %d: at most %v, want %v", n, got, want)
		}
		if three := 3 / float64(n); n >= 50 && math.Abs(three-want) > want/30 {
			t.Errorf("0 of %d: the rule of three says %v, not about %v", n, three, want)
		}
	}
	if r := rateOf(0, 400); r.Estimate != 0 || r.AtLeast != 0 || r.AtMost != 0.00747 {
		t.Errorf("0 of 400: %+v", r)
	}
	if r := rateOf(400, 400); r.AtLeast != 0.99253 || r.AtMost != 1 {
		t.Errorf("400 of 400: %+v", r)
	}
	if r := rateOf(0, 0); r != (Rate{AtMost: 1}) {
		t.Errorf("of no runs: %+v", r)
	}
}

// TestBoundsHoldWhatTheyPromise counts, exactly, how often each bound is wrong: never more often than 5 %.
func TestBoundsHoldWhatTheyPromise(t *testing.T) {
	const n = 30
	for p := 0.01; p < 1; p += 0.01 {
		high, low := 0.0, 0.0
		for k := 0; k <= n; k++ {
			chance := atMost(k, n, p)
			if k > 0 {
				chance -= atMost(k-1, n, p)
			}
			r := rateOf(k, n)
			if p > r.AtMost {
				high += chance
			}
			if p < r.AtLeast {
				low += chance
			}
		}
		if high > 0.05+1e-9 || low > 0.05+1e-9 {
			t.Errorf("rate %.2f: the bounds are wrong with %.4f and %.4f", p, high, low)
		}
	}
}

func TestSeedsNeeded(t *testing.T) {
	for _, c := range []struct {
		p    float64
		want int
	}{{0.5, 10}, {0.3, 20}, {1, 1}, {0, 0}, {0.999, 1}, {0.05, 135}} {
		if got := seedsFor(c.p, missLimit); got != c.want {
			t.Errorf("rate %v: %d seeds, want %d", c.p, got, c.want)
		}
	}
	if m := missed(0.5, 10); math.Abs(m-1.0/1024) > 1e-12 {
		t.Errorf("ten coins: %v", m)
	}
}
