package door

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"netsplit/kit"
)

// Limits of a journal.
const (
	MaxEntry   = 64 << 10 // bytes of one line; Data that would break it is left out, long Text is cut
	maxEntries = 1 << 20  // entries that one Read gives
)

// Entry is one line of a lab's journal: a command somebody gave, a fault, or something a node reports.
type Entry struct {
	Time time.Time       `json:"time"`
	Who  string          `json:"who"`            // "cli", "shell", "grade", or the node's name
	Kind string          `json:"kind"`           // "command", "fault", "event", "lab", ...; the writer's choice
	Text string          `json:"text"`           // one line for people
	Data json.RawMessage `json:"data,omitempty"` // the same for programs
}

// Journal is a lab's journal.jsonl: what was done to the lab and what it did, a JSON object a line. Any number
// of processes append at once, since each line is one write to a file opened for appending.
type Journal struct {
	path string
	mu   sync.Mutex
	file *os.File
}

// OpenJournal opens or makes the journal at path (mode 0600).
func OpenJournal(path string) (*Journal, error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, &kit.Error{Op: "open journal", What: path, Kind: kit.Broken, Err: err}
	}
	return &Journal{path: path, file: f}, nil
}

// Append writes one entry; a zero Time becomes now. It is in the file, not on disc, when Append returns.
func (j *Journal) Append(e Entry) error {
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	e.Time = e.Time.UTC().Round(0)
	line, err := json.Marshal(e)
	if err == nil && len(line) >= MaxEntry {
		line, err = json.Marshal(shorten(e))
	}
	if err != nil {
		return &kit.Error{Op: "append to journal", What: j.path, Kind: kit.Invalid, Err: err}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return &kit.Error{Op: "append to journal", What: j.path, Kind: kit.Unavailable, Err: fs.ErrClosed}
	}
	if _, err := j.file.Write(append(line, '\n')); err != nil {
		return &kit.Error{Op: "append to journal", What: j.path, Kind: kit.Broken, Err: err}
	}
	return nil
}

// shorten makes an entry fit a line; a letter can take six bytes of JSON.
func shorten(e Entry) Entry {
	const most = MaxEntry / 16
	e.Who, e.Kind = clip(e.Who, MaxName), clip(e.Kind, MaxName)
	e.Data = json.RawMessage(fmt.Sprintf(`{"left_out":%d}`, len(e.Data)))
	e.Text = clip(e.Text, most)
	return e
}

func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return s[:most] + "…"
}

// Close closes the file; safe twice.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return nil
	}
	err := j.file.Close()
	j.file = nil
	return err
}

// ReadJournal reads the entries from a byte offset on (0: all) and gives the offset to go on from. A journal
// that is not there is empty; a last line without its end is left for the next time; a line that is no
// entry is skipped, as after a full disc.
func ReadJournal(path string, from int64) ([]Entry, int64, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, from, &kit.Error{Op: "read journal", What: path, Kind: kit.Broken, Err: err}
	}
	defer f.Close()
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return nil, from, &kit.Error{Op: "read journal", What: path, Kind: kit.Broken, Err: err}
	}
	var entries []Entry
	r := bufio.NewReaderSize(f, MaxEntry+1)
	for len(entries) < maxEntries {
		line, err := r.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			break // the end, or a line still being written
		}
		from += int64(len(line))
		var e Entry
		if err == nil && json.Unmarshal(line, &e) == nil && !e.Time.IsZero() {
			entries = append(entries, e)
		}
	}
	return entries, from, nil
}
