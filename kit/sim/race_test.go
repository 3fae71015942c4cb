//go:build race

package sim

import (
	"os/exec"
	"testing"
)

// slow says that the race detector is at work, under which compiling to machine code takes ten times as long.
const slow = true

// TestWithoutRaceDetector runs the tests that the detector makes too slow, or runs shorter, in a test binary
// without it: the guests themselves are machine code of which it sees nothing.
func TestWithoutRaceDetector(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: compiling the node program takes seconds")
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-trimpath", "-vet=off", "-count=1", "-run", "^(TestNode|TestStrangePrograms|TestDamagedCodeCache|TestOneSeedOneRun|TestThirtySeedsTwice|TestNothingReachable|TestPairsOfFaults|TestIdlePrograms|TestHalt)$", ".")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
