package main

import (
	"errors"
	"math"
	"os"
	"runtime/debug"
	"testing"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

func TestLeastOfTheLimits(t *testing.T) {
	none := func() (uint64, error) { return 0, memlimit.ErrNoLimit }
	unknown := errors.New("unknown")
	fails := func() (uint64, error) { return 0, unknown }
	for name, c := range map[string]struct {
		of   []memlimit.Provider
		want uint64
		err  error
	}{
		"container":             {of: []memlimit.Provider{memlimit.Limit(768), memlimit.Limit(2000)}, want: 768},
		"more than the machine": {of: []memlimit.Provider{memlimit.Limit(9000), memlimit.Limit(2000)}, want: 2000},
		"no container":          {of: []memlimit.Provider{none, memlimit.Limit(2000)}, want: 2000},
		"unknown machine":       {of: []memlimit.Provider{memlimit.Limit(768), fails}, want: 768},
		"neither":               {of: []memlimit.Provider{none, fails}, err: unknown},
		"no limit":              {of: []memlimit.Provider{none, none}, err: memlimit.ErrNoLimit},
		"nothing asked":         {err: memlimit.ErrNoLimit},
	} {
		got, err := least(c.of...)()
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %d, %v; want %d, %v", name, got, err, c.want, c.err)
		}
	}
}

// withLimit sets this process's own limit until the test ends.
func withLimit(t *testing.T, bytes int64) {
	old := debug.SetMemoryLimit(bytes)
	t.Cleanup(func() { debug.SetMemoryLimit(old) })
}

func TestBoundMemory(t *testing.T) {
	withLimit(t, math.MaxInt64)
	machine, err := memlimit.FromSystem()
	if err != nil {
		t.Skipf("the memory of this machine is not known: %v", err)
	}
	t.Run("the user's limit stays", func(t *testing.T) {
		t.Setenv("GOMEMLIMIT", "off")
		boundMemory()
		if got := debug.SetMemoryLimit(-1); got != math.MaxInt64 {
			t.Errorf("%d bytes in spite of GOMEMLIMIT", got)
		}
	})
	unsetGOMEMLIMIT(t)
	boundMemory()
	if got := debug.SetMemoryLimit(-1); got <= 0 || float64(got) > heapShare*float64(machine) {
		t.Errorf("%d bytes of heap on a machine with %d", got, machine)
	}
}

func TestHeapOfChildren(t *testing.T) {
	const mb = 1 << 20
	unsetGOMEMLIMIT(t)
	for _, c := range []struct {
		own, most int64
		side      int
		want      int64
	}{
		{own: 9000 * mb, most: 1500 * mb, side: 2, want: 600 * mb}, // what each may take decides
		{own: 300 * mb, most: 1500 * mb, side: 2, want: 150 * mb},  // what there is decides
		{own: 300 * mb, most: 0, side: 1, want: 300 * mb},
		{own: 300 * mb, most: 0, side: 0, want: 300 * mb},
	} {
		withLimit(t, c.own)
		if got := childHeap(c.most, c.side); got != c.want {
			t.Errorf("of %d bytes, %d each, %d side by side: %d, want %d", c.own, c.most, c.side, got, c.want)
		}
	}
	t.Setenv("GOMEMLIMIT", "100MiB")
	if got := childHeap(1500*mb, 2); got != 0 {
		t.Errorf("%d bytes in spite of GOMEMLIMIT", got)
	}
}

func TestTestsSideBySide(t *testing.T) {
	const mb = 1 << 20
	for heap, want := range map[int64]int{
		307 * mb:      1, // within 768 MiB, or one of two graders within twice that
		614 * mb:      2,
		math.MaxInt64: 2,
	} {
		withLimit(t, heap)
		if got := testJobs(); got != want {
			t.Errorf("%d at once with a heap of %d MB, want %d", got, heap/mb, want)
		}
	}
}

func TestGradersSideBySide(t *testing.T) {
	const mb = 1 << 20
	for _, c := range []struct {
		cores  int
		memory uint64
		err    error
		want   int
	}{
		{cores: 2, memory: 24000 * mb, want: 2},
		{cores: 64, memory: 4 * 768 * mb, want: 4},
		{cores: 2, memory: 768 * mb, want: 1},
		{cores: 2, memory: 100 * mb, want: 1},
		{cores: 2, err: memlimit.ErrNoLimit, want: 2},
	} {
		if got := gradersFor(c.cores, c.memory, c.err); got != c.want {
			t.Errorf("%d cores, %d MB: %d at once, want %d", c.cores, c.memory/mb, got, c.want)
		}
	}
}

// unsetGOMEMLIMIT takes what the tester may have set out of the environment until the test ends.
func unsetGOMEMLIMIT(t *testing.T) {
	for _, name := range []string{"GOMEMLIMIT", "AUTOMEMLIMIT"} {
		t.Setenv(name, "") // restores it
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
}
