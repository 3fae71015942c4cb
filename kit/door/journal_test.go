package door

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal.jsonl")
	if entries, _, err := ReadJournal(path, 0); err != nil || len(entries) != 0 {
		t.Fatalf("no journal yet: %v %v", entries, err)
	}
	var writers sync.WaitGroup
	for _, who := range []string{"a", "b", "c"} {
		writers.Go(func() {
			j, err := OpenJournal(path)
			if err != nil {
				t.Error(err)
				return
			}
			defer j.Close()
			for range 50 {
				if err := j.Append(Entry{Who: who, Kind: "event", Text: strings.Repeat(who, 3000)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	entries, end, err := ReadJournal(path, 0)
	if err != nil || len(entries) != 150 {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	j, err := OpenJournal(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Append(Entry{Who: "x", Kind: "event", Text: strings.Repeat("\x01é", MaxEntry), Data: json.RawMessage(`"` + strings.Repeat("x", MaxEntry) + `"`)}); err != nil {
		t.Error(err)
	}
	entries, end, err = ReadJournal(path, end)
	if err != nil || len(entries) != 1 || entries[0].Who != "x" {
		t.Fatalf("after the offset: %v %v", entries, err)
	}
	// A torn line is left for later; one that is no entry is skipped.
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString("garbage\n" + strings.Repeat("y", 3*MaxEntry) + "\n{\"time\":")
	f.Close()
	if entries, _, err = ReadJournal(path, end); err != nil || len(entries) != 0 {
		t.Errorf("garbage: %v %v", entries, err)
	}
	if err := j.Close(); err != nil || j.Close() != nil {
		t.Error("closing twice")
	}
	if err := j.Append(Entry{}); err == nil {
		t.Error("appending to a closed journal")
	}
}
