package lab

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// partial keeps the runs of a soak, in memory and in a file to which each run is appended as a line of JSON.
type partial struct {
	path string
	file *os.File // nil when nothing is kept
	runs map[soakKey]soakRun
}

type soakKey struct {
	who  string
	seed uint64
}

// partialHead is the first line: what the runs were made of. Runs of anything else do not count.
type partialHead struct {
	Lab     string `json:"lab"`
	Digest  string `json:"digest"`
	Version string `json:"version"`
}

// maxPartialLine bounds a line that is read back.
const maxPartialLine = 64 << 10

// openPartial reads what an interrupted soak has left at path, and goes on writing there. Runs of another lab, version or
// state of the lab are thrown away, and so is a last line that was not written whole.
func openPartial(path string, head partialHead) (*partial, error) {
	p := &partial{path: path, runs: map[soakKey]soakRun{}}
	if path == "" {
		return p, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, notKept(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, notKept(err)
	}
	p.file = f
	good, err := p.read(head)
	if err == nil {
		err = f.Truncate(good)
	}
	if err == nil {
		_, err = f.Seek(good, io.SeekStart)
	}
	if err == nil && good == 0 {
		err = p.write(head)
	}
	if err != nil {
		return nil, errors.Join(notKept(err), f.Close())
	}
	return p, nil
}

func notKept(err error) error { return fmt.Errorf("%w: %w", errNotKept, err) }

// read takes over the lines that are whole and gives their length; 0 when they are of something else.
func (p *partial) read(want partialHead) (good int64, err error) {
	r := bufio.NewReaderSize(p.file, maxPartialLine)
	for first := true; ; first = false {
		line, err := r.ReadSlice('\n')
		if errors.Is(err, io.EOF) || errors.Is(err, bufio.ErrBufferFull) {
			return good, nil
		}
		if err != nil {
			return 0, err
		}
		if first {
			var head partialHead
			if json.Unmarshal(line, &head) != nil || head != want {
				return 0, nil
			}
		} else {
			var run soakRun
			if json.Unmarshal(line, &run) != nil || run.Who == "" {
				return good, nil
			}
			p.runs[soakKey{run.Who, run.Seed}] = run
		}
		good += int64(len(line))
	}
}

func (p *partial) write(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = p.file.Write(append(line, '\n'))
	return err
}

func (p *partial) has(who string, seed uint64) bool {
	_, ok := p.runs[soakKey{who, seed}]
	return ok
}

func (p *partial) get(who string, seed uint64) soakRun { return p.runs[soakKey{who, seed}] }

// add records a run.
func (p *partial) add(r soakRun) error {
	p.runs[soakKey{r.Who, r.Seed}] = r
	if p.file == nil {
		return nil
	}
	if err := p.write(r); err != nil {
		return notKept(err)
	}
	return nil
}

// remove ends it: the ledger has all that the file has.
func (p *partial) remove() error {
	if p.file == nil {
		return nil
	}
	if err := os.Remove(p.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return notKept(err)
	}
	return nil
}

// close ends the writing; a soak that did not come to its end keeps its file.
func (p *partial) close() {
	if p.file != nil {
		_ = p.file.Close() // what was appended was written
	}
}
