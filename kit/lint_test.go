package kit_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestLint runs gofmt, go vet (for this machine and for the simulator's) and staticcheck over the module, so
// that the one test command is the whole gate.
func TestLint(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: the linters take a minute when nothing is cached")
	}
	simulated := []string{"GOOS=wasip1", "GOARCH=wasm"}
	for _, c := range []struct {
		name string
		env  []string
		args []string
	}{
		{"gofmt", nil, []string{"gofmt", "-l", "cmd", "kit", "labs", "lessons", "site", "solutions"}},
		{"vet", nil, []string{"go", "vet", "-race", "./..."}}, // with what is compiled for the tests already
		{"vet simulated", simulated, []string{"go", "vet", "./cmd/node", "./kit/node", "./kit/simlink"}},
		{"staticcheck", nil, []string{"go", "tool", "staticcheck", "./..."}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := exec.Command(c.args[0], c.args[1:]...)
			cmd.Dir = ".."
			cmd.Env = append(os.Environ(), c.env...)
			out, err := cmd.CombinedOutput()
			if err != nil || len(strings.TrimSpace(string(out))) > 0 {
				t.Errorf("%s: %v\n%s", strings.Join(c.args, " "), err, out)
			}
		})
	}
}
