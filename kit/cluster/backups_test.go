package cluster

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"netsplit/kit"
	"netsplit/kit/term"
)

// A node's backups lie beside its disc: they stay when it is emptied, and go with the lab. No name leads out of their folder.
func TestBackupsOutliveDisc(t *testing.T) {
	s := spec(t, home(t), "demo")
	s.Nodes = []kit.NodeName{"c"}
	c := up(t, s)
	ask(t, c, "c", "start_store")
	if got := ask(t, c, "c", "dump_to_textfile", term.Bin("monday")); strings.Contains(got, "error") {
		t.Fatal(got)
	}
	for _, out := range []string{"../evil", "/tmp/evil", "a/b"} {
		if got := ask(t, c, "c", "dump_to_textfile", term.Bin(out)); !strings.Contains(got, "enoent") {
			t.Errorf("%s: %s", out, got)
		}
	}
	must(t, c.Kill("c"))
	must(t, c.WipeDisc("c"))
	must(t, c.Restart("c"))
	if got := ask(t, c, "c", "file_get", term.Bin("monday"), term.Int(0)); !strings.Contains(got, "tables") {
		t.Errorf("the file did not outlive the disc: %s", got)
	}
	if got := ask(t, c, "c", "file_get", term.Bin("../node.json"), term.Int(0)); !strings.Contains(got, "enoent") {
		t.Errorf("a way out of the folder: %s", got)
	}
	must(t, c.Down(t.Context()))
	if _, err := os.Stat(filepath.Join(c.files.backups("c"), "file.monday")); !os.IsNotExist(err) {
		t.Errorf("it is left behind: %v", err)
	}
}
