package lab

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"netsplit/kit"
)

// What is compiled while files of it go is not what was handed in.
func TestBuildOfChangingFiles(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("HOME", t.TempDir()) // where XDG_CACHE_HOME says nothing
	src := Source{Module: "greeter", Files: map[string][]byte{"main.go": []byte("package main\n")}, Tests: map[string][]byte{"main_test.go": []byte("package main\n")}}
	for _, c := range []struct {
		gone, want int // times that a file goes, builds
		fails      bool
	}{{0, 1, false}, {1, 2, false}, {2, 3, false}, {3, 3, true}} {
		builds := 0
		_, err := buildWhole(src, func(dir string) (Program, error) {
			if builds++; builds <= c.gone {
				return nil, errors.Join(os.Remove(filepath.Join(dir, "main_test.go")), errors.New("there is no test"))
			}
			return nil, nil
		})
		if builds != c.want || (err != nil) != c.fails || err != nil && (kit.KindOf(err) != kit.Unavailable || kit.HintOf(err) == "") {
			t.Errorf("a file gone %d times: %d builds, %v", c.gone, builds, err)
		}
	}
}

// The cache is kept small, and nobody loses the folder that he builds in.
func TestPruneSparesWhatIsUsed(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	for name, age := range map[string]time.Duration{"oldest": 9 * time.Hour, "older": 5 * time.Hour, "old": 3 * time.Hour, "used": time.Minute} {
		at := filepath.Join(dir, name)
		if err := errors.Join(os.Mkdir(at, 0o755), os.WriteFile(filepath.Join(at, "main.go"), make([]byte, 1000), 0o600), os.Chtimes(at, now, now.Add(-age))); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		most int64
		want []string
	}{{4000, []string{"old", "older", "oldest", "used"}}, {2500, []string{"old", "used"}}, {0, []string{"used"}}} {
		removeOldest(workspaces(dir), c.most, now.Add(-2*buildWall))
		left := map[string]bool{}
		for _, f := range filesBelow(dir) {
			left[filepath.Base(filepath.Dir(f.path))] = true
		}
		if got := slices.Sorted(maps.Keys(left)); !slices.Equal(got, c.want) {
			t.Errorf("%d bytes: %v is left, want %v", c.most, got, c.want)
		}
	}
}
