package lab

import (
	"math"
)

// confidence is what each bound of a Rate holds with, by itself.
const confidence = 0.95

// Rate is what so many hits of so many runs say about how often a thing happens. AtLeast and AtMost are the bounds
// of Clopper and Pearson (Biometrika 26, 1934), each of which holds by itself with 95 % confidence; they promise
// nothing about seeds that were chosen, only about seeds that nobody chose.
type Rate struct {
	Estimate float64 `json:"estimate"`
	AtLeast  float64 `json:"at_least"`
	AtMost   float64 `json:"at_most"`
}

// rateOf gives the rate of hits in runs, the bounds rounded away from the estimate, so that they stay true. Of no runs
// it says nothing: 0 to 1.
func rateOf(hits, runs int) Rate {
	if runs <= 0 {
		return Rate{AtMost: 1}
	}
	const digits = 1e5
	return Rate{Estimate: math.Round(digits*float64(hits)/float64(runs)) / digits,
		AtLeast: math.Floor(digits*lowerBound(hits, runs, 1-confidence)) / digits,
		AtMost:  math.Ceil(digits*upperBound(hits, runs, 1-confidence)) / digits}
}

// upperBound gives the greatest rate at which so few hits or fewer still come about with probability alpha. Of no
// hits it is 1-alpha^(1/runs), about 3/runs for alpha 0.05.
func upperBound(hits, runs int, alpha float64) float64 {
	if hits >= runs {
		return 1
	}
	low, high := float64(hits)/float64(runs), 1.0
	for range 60 { // halving: the rest is below what a float64 can tell
		mid := (low + high) / 2
		if atMost(hits, runs, mid) > alpha {
			low = mid
		} else {
			high = mid
		}
	}
	return high
}

// lowerBound is the mirror of upperBound.
func lowerBound(hits, runs int, alpha float64) float64 {
	return 1 - upperBound(runs-hits, runs, alpha)
}

// atMost is the probability of k hits or fewer in n runs with rate p between 0 and 1. The terms are added from their
// logarithms, so that none vanishes for thousands of runs.
func atMost(k, n int, p float64) float64 {
	if p <= 0 {
		return 1
	}
	if p >= 1 {
		return 0
	}
	sum := 0.0
	all, _ := math.Lgamma(float64(n + 1))
	for i := 0; i <= k; i++ {
		some, _ := math.Lgamma(float64(i + 1))
		rest, _ := math.Lgamma(float64(n - i + 1))
		sum += math.Exp(all - some - rest + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
	}
	return min(sum, 1)
}

// missed is the probability that n seeds all miss what each shows with rate p.
func missed(p float64, n int) float64 { return math.Pow(1-p, float64(n)) }

// seedsFor is how many seeds miss what each shows with rate p with a probability below most; 0 when no number does.
func seedsFor(p, most float64) int {
	switch {
	case p <= 0:
		return 0
	case p >= 1:
		return 1
	}
	return int(math.Ceil(math.Log(most)/math.Log1p(-p) - 1e-9)) // a whole number stays one
}
