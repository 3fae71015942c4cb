package class

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"netsplit/kit"
	"netsplit/kit/grade"
	"netsplit/kit/lab"
)

// Ended says how the grading of one submission ended.
type Ended struct {
	Result []byte // what "grade --format json" wrote; nil when it wrote nothing
	State  State  // Broke, TimedOut, TooLarge or Waiting when there is no result, and Why
	Why    string
	Took   time.Duration
}

// Session is one call on one class.
type Session struct {
	Lab     *lab.Lab
	Out     string // the folder for the results and the table
	Seed    uint64 // of all; 0 when each member has its own
	Seeds   int    // how many runs each; 0 is what the lab says
	Jobs    int    // how many at once, at least 1
	Again   bool   // grade also what is graded
	Build   string // names the program that grades
	Version string
	// Grade grades one submission. It must return soon after its context ends.
	Grade func(ctx context.Context, m Member) Ended
	// Say is told of each row as it is done, one call at a time, in the order in which they are done.
	Say func(r Row, done, all int)
	Now func() time.Time

	mu    sync.Mutex
	table *Table
	done  int
	all   int
	err   error
}

// The files of an output folder.
const (
	CSVFile    = "grades.csv"
	HTMLFile   = "grades.html"
	ResultsDir = "results"
	classFile  = "class.json"
)

// Kept is what an output folder remembers of the class, so that a later call is as fair as the first.
type Kept struct {
	Lab   string `json:"lab"`
	Seed  uint64 `json:"seed"`
	Seeds int    `json:"seeds"`
}

// maxKept bounds the files of an output folder.
const maxKept = 64 << 20

// ReadKept reads what an earlier call has left in a folder; the zero value when there was none.
func ReadKept(out string) (Kept, error) {
	var k Kept
	path := filepath.Join(out, classFile)
	src, err := readBounded(path)
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	if err == nil {
		err = json.Unmarshal(src, &k)
	}
	if err != nil {
		return k, &kit.Error{Op: "read", What: path, Kind: kit.Corrupt, Err: err, Hint: "move the folder away, or name another one with --out"}
	}
	return k, nil
}

func readBounded(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxKept {
		return nil, errors.New("it is no file that this program wrote")
	}
	return os.ReadFile(path)
}

// Run grades the members that have no grade that still stands, and writes the results as they come and the table after
// each of them. When ctx ends before all are graded, the rest is Waiting. An error means that nothing could be
// written; what became of submissions is in the table.
func (s *Session) Run(ctx context.Context, members []Member) (*Table, error) {
	s.table, s.all = newTable(s.Lab), len(members)
	s.table.Seed, s.table.Seeds, s.table.Version = s.Seed, s.runs(), s.Version
	if err := s.prepare(); err != nil {
		return nil, err
	}
	queue := s.plan(members)
	if err := s.write(); err != nil {
		return nil, err
	}
	work := make(chan int)
	var wg sync.WaitGroup
	for range max(1, s.Jobs) {
		wg.Go(func() {
			for i := range work {
				s.enter(ctx, i, members[i])
			}
		})
	}
feed:
	for _, i := range queue {
		select {
		case <-ctx.Done():
			break feed
		case work <- i:
		}
	}
	close(work)
	wg.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.table, errors.Join(s.err, s.write())
}

// runs is how many runs a grade of this session rests on.
func (s *Session) runs() int {
	if s.Seeds > 0 {
		return s.Seeds
	}
	return s.Lab.Manifest.Seeds
}

func (s *Session) prepare() error {
	err := os.MkdirAll(filepath.Join(s.Out, ResultsDir), 0o755)
	if err == nil {
		var src []byte
		src, err = json.MarshalIndent(Kept{Lab: s.Lab.Slug, Seed: s.Seed, Seeds: s.runs()}, "", "  ")
		if err == nil {
			err = replace(filepath.Join(s.Out, classFile), append(src, '\n'))
		}
	}
	if err != nil {
		return &kit.Error{Op: "write grades", What: s.Out, Kind: kit.Refused, Err: err, Hint: "name a folder that can be written with --out"}
	}
	return nil
}

// plan fills the table with what is known already, and gives the indices of what is to be graded.
func (s *Session) plan(members []Member) []int {
	var queue []int
	for i, m := range members {
		row := blank(m, Waiting, "")
		if m.Problem != "" {
			row = blank(m, Unread, m.Problem)
		} else if r := s.earlier(m); r != nil {
			row = s.table.graded(m, r)
			row.Kept, row.Result = true, ResultsDir+"/"+m.File()
		}
		s.table.Rows = append(s.table.Rows, row)
		switch row.State {
		case Waiting, Broke:
			queue = append(queue, i)
		default:
			s.say(row)
		}
	}
	return queue
}

// earlier gives the grade of an earlier call, if it still stands.
func (s *Session) earlier(m Member) *grade.Result {
	if s.Again {
		return nil
	}
	src, err := readBounded(filepath.Join(s.Out, ResultsDir, m.File()))
	if err != nil {
		return nil
	}
	r, err := grade.ReadJSON(bytes.NewReader(src))
	if err != nil || Stale(r, m, s.Lab.Slug, s.Build, s.runs()) != "" {
		return nil
	}
	return r
}

// enter grades one member and enters its row.
func (s *Session) enter(ctx context.Context, i int, m Member) {
	if ctx.Err() != nil {
		return
	}
	end := s.Grade(ctx, m)
	s.mu.Lock()
	defer s.mu.Unlock()
	row, err := s.judge(m, end)
	if row.Took == 0 {
		row.Took = end.Took
	}
	s.table.Rows[i] = row
	if row.State != Waiting {
		s.say(row)
	}
	if s.err == nil {
		s.err = errors.Join(err, s.write())
	}
}

// judge turns the end of a grading into a row, and keeps the result.
func (s *Session) judge(m Member, end Ended) (Row, error) {
	if end.Result == nil {
		return blank(m, end.State, end.Why), nil
	}
	r, err := grade.ReadJSON(bytes.NewReader(end.Result))
	if err != nil {
		return blank(m, Broke, "the grader wrote a result that cannot be read: "+err.Error()), nil
	}
	row := s.table.graded(m, r)
	if !row.State.Graded() {
		return row, nil
	}
	r.Build = s.Build
	var b bytes.Buffer
	if err := grade.JSON(&b, r); err != nil {
		return row, err
	}
	if err := replace(filepath.Join(s.Out, ResultsDir, m.File()), b.Bytes()); err != nil {
		return row, &kit.Error{Op: "write result", Kind: kit.Refused, Err: err}
	}
	row.Result = ResultsDir + "/" + m.File()
	return row, nil
}

func (s *Session) say(r Row) {
	s.done++
	if s.Say != nil {
		s.Say(r, s.done, s.all)
	}
}

// write writes the table as it is now.
func (s *Session) write() error {
	s.table.At = s.Now()
	for _, f := range []struct {
		name  string
		write func(*Table, io.Writer) error
	}{{CSVFile, (*Table).CSV}, {HTMLFile, (*Table).HTML}} {
		var b bytes.Buffer
		err := f.write(s.table, &b)
		if err == nil {
			err = replace(filepath.Join(s.Out, f.name), b.Bytes())
		}
		if err != nil {
			return &kit.Error{Op: "write table", Kind: kit.Refused, Err: err}
		}
	}
	return nil
}

// replace writes a file so that a reader finds the old or the new one, never half of it.
func replace(name string, src []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".netsplit-")
	if err != nil {
		return err
	}
	_, err = f.Write(src)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// Broken lists the rows without a grade, for a summary.
func (t *Table) Broken() []Row {
	var out []Row
	for _, r := range t.Rows {
		if !r.State.Graded() {
			out = append(out, r)
		}
	}
	return out
}

// Line says in one line what became of a submission.
func (r Row) Line() string {
	s := fmt.Sprintf("%s: %s", r.Name, r.State.Said())
	if r.State.Graded() {
		s += fmt.Sprintf(" %d/%d", r.Score, r.Max)
	}
	if r.Kept {
		return s + " (unchanged, kept)"
	}
	if r.State != Passed && r.Why != "" {
		s += "; " + r.Why
	}
	return s
}
