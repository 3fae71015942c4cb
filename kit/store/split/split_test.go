package split

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"netsplit/kit"
	"netsplit/kit/term"
)

// shelf is a Files in memory. What is written is there at once; room bounds it.
type shelf struct {
	mu    sync.Mutex
	files map[string][]byte
	room  int
}

var errNoRoom = errors.New("no room")

func newShelf() *shelf { return &shelf{files: map[string][]byte{}, room: 1 << 30} }

func (s *shelf) put(name string, p []byte, fresh bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.room -= len(p); s.room < 0 {
		return errNoRoom
	}
	if fresh {
		s.files[name] = nil
	}
	s.files[name] = append(s.files[name], p...)
	return nil
}

func (s *shelf) WriteFile(name string, content func(io.Writer) error) error {
	var b strings.Builder
	if err := content(&b); err != nil {
		return err
	}
	return s.put(name, []byte(b.String()), true)
}

func (s *shelf) AppendFile(name string) (interface {
	io.WriteCloser
	Sync() error
}, error) {
	return appender{s, name}, s.put(name, nil, true)
}

type appender struct {
	s    *shelf
	name string
}

func (a appender) Write(p []byte) (int, error) { return len(p), a.s.put(a.name, p, false) }
func (a appender) Close() error                { return nil }
func (a appender) Sync() error                 { return nil }

func (s *shelf) OpenFile(name string) (io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.files[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return io.NopCloser(strings.NewReader(string(b))), nil
}

func (s *shelf) RemoveFile(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.files, name)
	return nil
}

// model is a journal as one would write it without limits.
type model struct {
	rows  map[string]int
	seen  map[kit.NodeName]map[string]string // by peer and key
	order []kit.NodeName
}

func (m *model) change(key string, op Op, value int) {
	before := "none"
	if v := m.rows[key]; v > 0 {
		before = fmt.Sprint(v)
	}
	for _, p := range m.order {
		first := op.String() + " " + before
		if was, ok := m.seen[p][key]; ok {
			first, _, _ = strings.Cut(was, " then ")
		}
		m.seen[p][key] = first + " then " + op.String()
	}
	m.rows[key] = value
}

func known(t *testing.T, j *Journal, peer kit.NodeName) map[string]string {
	t.Helper()
	out := map[string]string{}
	last := ""
	for c, err := range j.Changes("t", peer) {
		if err != nil {
			t.Fatal(err)
		}
		if c.ID <= last {
			t.Fatalf("%q after %q", c.ID, last)
		}
		last = c.ID
		before := "none"
		if len(c.Before) > 0 {
			before = term.String(c.Before[0][2])
		}
		out[c.ID] = c.First.String() + " " + before + " then " + c.Latest.String()
	}
	return out
}

// TestModel does the same to a journal with room for a few dozen changes in memory and to a plain map, loses and finds
// peers, and kills the node now and then.
func TestModel(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 1))
		files := newShelf()
		limits := Limits{Memory: 2 << 10, Disc: 1 << 20}
		j := New(files, limits)
		m := &model{rows: map[string]int{}, seen: map[kit.NodeName]map[string]string{}}
		for step := range 3000 {
			switch n := r.IntN(1000); {
			case step == 0 || n == 0 && len(m.order) < 3:
				p := kit.NodeName("b" + fmt.Sprint(len(m.order)))
				if err := j.Begin(p, "t", "u"); err != nil {
					t.Fatal(err)
				}
				m.order = append(m.order, p)
				m.seen[p] = map[string]string{}
			case n < 3: // the node dies: all that was written to files is there
				j.tasks.Wait()
				j = New(files, limits)
				if err := j.Load(); err != nil {
					t.Fatal(err)
				}
			default:
				key, op, value := fmt.Sprintf("k%02d", r.IntN(80)), Op(1+r.IntN(3)), 0
				if op == Write {
					value = 1 + r.IntN(9)
				}
				j.Add(Note{Table: "t", ID: key, Key: term.Atom(key), Op: op, Before: func() []term.Tuple {
					if m.rows[key] == 0 {
						return nil
					}
					return []term.Tuple{term.T(term.Atom("t"), term.Atom(key), term.Int(m.rows[key]))}
				}})
				m.change(key, op, value)
			}
		}
		for _, p := range m.order {
			got := known(t, j, p)
			for k, want := range m.seen[p] {
				if got[k] != want {
					t.Fatalf("seed %d, %s without %s: %q, not %q", seed, k, p, got[k], want)
				}
			}
			if len(got) != len(m.seen[p]) {
				t.Fatalf("seed %d: %d keys, not %d", seed, len(got), len(m.seen[p]))
			}
		}
		if _, mem, disc := j.Size(); mem > limits.Memory || disc > limits.Disc {
			t.Fatalf("seed %d: %d bytes in memory, %d on the disc", seed, mem, disc)
		}
		for _, p := range m.order {
			if err := errors.Join(j.Forget("t", p), j.Forget("u", p)); err != nil {
				t.Fatal(err)
			}
		}
		if err := j.Close(); err != nil || j.Active() || len(files.files) > 0 {
			t.Fatalf("seed %d: left behind: %v %v", seed, slices.Collect(func(yield func(string) bool) {
				for n := range files.files {
					yield(n)
				}
			}), err)
		}
	}
}

func fill(j *Journal, n int) {
	for i := range n {
		k := fmt.Sprintf("%06d", i)
		j.Add(Note{Table: "t", ID: k, Key: term.Bin(k), Op: Write, Before: func() []term.Tuple { return nil }})
	}
}

// A journal whose bound is reached says so, and keeps what it has.
func TestFull(t *testing.T) {
	noRoom := newShelf()
	for what, c := range map[string]struct {
		files *shelf
		why   string
	}{"memory": {nil, whyMemory}, "disc": {newShelf(), whyDisc}, "a full disc": {noRoom, errNoRoom.Error()}} {
		j := New(nil, Limits{Memory: 4 << 10, Disc: 8 << 10})
		if c.files != nil {
			j.files = c.files
		}
		if err := j.Begin("b", "t"); err != nil {
			t.Fatal(err)
		}
		noRoom.room = 1000
		fill(j, 5000)
		s := j.Starts()
		if _, mem, disc := j.Size(); len(s) != 1 || s[0].Truncated != c.why || mem > 5<<10 || disc > 8<<10 {
			t.Errorf("%s: %+v, %d bytes in memory, %d on the disc", what, s, mem, disc)
		}
		if j.Wants("t") || len(known(t, j, "b")) == 0 {
			t.Errorf("%s: it goes on, or has lost what it had", what)
		}
	}
}

// Damage is told; the unfinished end of the log is not damage.
func TestDamage(t *testing.T) {
	files := newShelf()
	j := New(files, Limits{Memory: 1 << 10})
	if err := j.Begin("b", "t"); err != nil {
		t.Fatal(err)
	}
	fill(j, 100)
	j.tasks.Wait()
	for name, good := range files.files {
		for i := 0; i < len(good); i += 7 {
			bad := slices.Clone(good)
			bad[i] ^= 0x10
			changed := &shelf{files: maps.Clone(files.files), room: 1 << 20}
			changed.files[name] = bad
			k := New(changed, Limits{})
			err := k.Load()
			if err == nil {
				for _, e := range k.Changes("t", "b") {
					err = errors.Join(err, e)
				}
			}
			if log := strings.HasSuffix(name, ".log"); !log && kit.KindOf(err) != kit.Corrupt || log && err != nil {
				t.Fatalf("%s changed at %d: %v", name, i, err)
			}
		}
	}
}
