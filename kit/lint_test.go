package kit_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestLint runs gofmt, go vet (for this machine and for the simulator's) and staticcheck over the module, so
// that the one test command is the whole gate. Each is asked in the way in which the tests and the programs that
// they need are compiled: what is compiled for one serves all, which saves minutes where nothing is cached.
func TestLint(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: the linters take a minute when nothing is cached")
	}
	staticcheck := filepath.Join(t.TempDir(), "staticcheck")
	for _, c := range []struct {
		name string
		env  []string
		args []string
	}{
		{"gofmt", nil, []string{"gofmt", "-l", "cmd", "kit", "labs", "lessons", "site", "solutions"}},
		{"vet", nil, []string{"go", "vet", "-race", "./..."}},
		{"vet simulated", []string{"GOOS=wasip1", "GOARCH=wasm"}, []string{"go", "vet", "-trimpath", "./cmd/node", "./kit/node", "./kit/simlink"}},
		{"build staticcheck", nil, []string{"go", "build", "-trimpath", "-o", staticcheck, "honnef.co/go/tools/cmd/staticcheck"}},
		{"staticcheck", []string{"GOFLAGS=-race"}, []string{staticcheck, "./..."}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := exec.Command(c.args[0], c.args[1:]...)
			cmd.Dir = ".."
			cmd.Env = append(os.Environ(), c.env...)
			var found, said strings.Builder
			cmd.Stdout, cmd.Stderr = &found, &said // go says on stderr what it downloads, which is no finding
			err := cmd.Run()
			if err != nil || strings.TrimSpace(found.String()) != "" {
				t.Errorf("%s: %v\n%s%s", strings.Join(c.args, " "), err, found.String(), said.String())
			}
		})
	}
}
