package main

import (
	"cmp"
	"errors"
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// heapShare is how much of the memory that there is the Go heap of this process may take before garbage is collected more often
// than Go does by itself. The rest is for what Go's collector does not count: machine code, the memory of simulated nodes, and
// the Go toolchain, which builds one program of a submission while another runs. What the grader makes machine code of leaves
// several times more garbage than it keeps. Transaction-history, the largest lab, graded within 768 MiB and half a core, with
// empty caches, takes 472 MB and 190 s at this share. A share of 0.45 was a tenth faster and took 110 MB more, 0.34 a third slower; with
// no limit it was killed.
const heapShare = 0.4

// boundMemory tells Go's garbage collector how much memory there is. It is a soft limit, which costs nothing while there is room. The
// environment's GOMEMLIMIT has the last word.
func boundMemory() {
	// Where nothing can be learned of the memory there is no limit, as in any other Go program.
	_, _ = memlimit.Set(memlimit.WithRatio(heapShare), memlimit.WithProvider(memoryThere))
}

// memoryThere is how much memory there is for this process and all that it starts, in bytes: what its control group may take,
// as in a container, or what the machine has, whichever is less.
func memoryThere() (uint64, error) { return least(memlimit.FromCgroup, memlimit.FromSystem)() }

// least gives the smallest of the limits that there are. It fails when there is none.
func least(of ...memlimit.Provider) memlimit.Provider {
	return func() (uint64, error) {
		smallest, found := uint64(0), false
		var why error
		for _, limit := range of {
			n, err := limit()
			switch {
			case err != nil:
				why = errors.Join(why, err)
			case !found || n < smallest:
				smallest, found = n, true
			}
		}
		if found {
			return smallest, nil
		}
		return 0, cmp.Or(why, memlimit.ErrNoLimit)
	}
}

// graderMemory is what a grader takes, in bytes, with all that it starts; see heapShare.
const graderMemory = 768 << 20

// gradersFor says how many graders there is room for beside each other: one for each core, and memory for each. There is always
// room for one.
func gradersFor(cores int, memory uint64, err error) int {
	if err != nil {
		return cores
	}
	return int(max(1, min(uint64(cores), memory/graderMemory)))
}

// twoTestsHeap is the limit of the heap, in bytes, from which on there is memory to compile two programs at once with a submission's
// tests: its share of 1 GiB. Within 768 MiB two linkers beside a grader left 60 MB, and could by chance have taken more.
const twoTestsHeap = heapShare * (1 << 30)

// testJobs is how many programs this process compiles and runs at once with a submission's tests.
func testJobs() int {
	if float64(debug.SetMemoryLimit(-1)) < twoTestsHeap {
		return 1
	}
	return 2
}

// childHeap is the limit of the heap of each of several graders that run side by side, in bytes, for the most that each may take with all
// that it starts; 0 for no such bound. Together they keep within the limit of this process. It is 0, none to set, when the environment's GOMEMLIMIT
// is there, which they inherit.
func childHeap(most int64, side int) int64 {
	if os.Getenv("GOMEMLIMIT") != "" {
		return 0
	}
	heap := debug.SetMemoryLimit(-1) / int64(max(1, side))
	if most > 0 {
		heap = min(heap, int64(float64(most)*heapShare))
	}
	return heap
}
