package labs_test

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"netsplit/kit/grade"
	"netsplit/kit/lab"
	"netsplit/labs"
	"netsplit/solutions"
)

func all(t *testing.T) []*lab.Lab {
	t.Helper()
	c, err := lab.Load(labs.FS, solutions.FS, labs.All())
	if err != nil {
		t.Fatal(err)
	}
	return c.All()
}

// TestHintsHelp wants hints in levels, short, and without a line that could be pasted.
func TestHintsHelp(t *testing.T) {
	for _, l := range all(t) {
		for _, f := range l.HintFaults() {
			t.Errorf("%s: %s", l.Slug, f)
		}
	}
}

// TestExplanations holds what every wrong answer of a code lab is told against what a person has read and found helpful:
// testdata/explained has, for each, the text, and the histories that it is made from. They were recorded once, so that
// the wording is tested without running anything, whatever becomes of the simulator. After a change of the wording
// UPDATE_GOLDEN=1 writes the texts anew; after a change of a lab "go run ./cmd/netsplit check LAB --record
// labs/testdata/explained" records the histories, too. Read the difference before you commit it.
func TestExplanations(t *testing.T) {
	for _, l := range all(t) {
		dir := filepath.Join("testdata", "explained", l.Slug)
		told, err := lab.ReadTellings(os.DirFS(dir))
		if errors.Is(err, fs.ErrNotExist) && l.Manifest.Kind != lab.Code {
			continue
		}
		if err != nil {
			t.Errorf("%s: %v; record them", l.Slug, err)
			continue
		}
		for _, m := range l.Mutants {
			if _, ok := told[m.Name]; !ok && !m.Tests && slices.Contains(slices.Collect(maps.Values(m.Tasks)), grade.Fail) {
				t.Errorf("%s: what mutant %s is told is not recorded", l.Slug, m.Name)
			}
		}
		for name := range told {
			text, err := told.Text(l, name)
			if err != nil {
				t.Errorf("%s: %v", l.Slug, err)
				continue
			}
			compare(t, filepath.Join(dir, name+".txt"), text)
		}
	}
}

func compare(t *testing.T, golden, got string) {
	t.Helper()
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Error(err)
		return
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s(UPDATE_GOLDEN=1 rewrites it)", golden, got, want)
	}
}
