package cluster

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/wire"
)

// labFile is lab.json: what later commands must know to find the nodes and to start one again. It is there as
// long as the lab is up; nodes end by themselves when it vanishes or names another ID.
type labFile struct {
	Lab       string         `json:"lab"`
	ID        string         `json:"id"` // new with every start of the lab
	Since     time.Time      `json:"since"`
	Dir       string         `json:"dir,omitempty"`
	Program   []string       `json:"program,omitempty"` // empty: netsplit itself, wherever it is when a node starts
	Nodes     []kit.NodeName `json:"nodes"`
	Hidden    []kit.NodeName `json:"hidden,omitempty"` // those of them that only watch
	Doors     string         `json:"doors"`            // folder of the sockets
	Cookie    string         `json:"cookie"`
	Temporary bool           `json:"temporary,omitempty"`
	Ready     bool           `json:"ready"` // false while it is being started
	// Settings that a restarted node gets again.
	StartStore     bool          `json:"start_store,omitempty"`
	Manual         bool          `json:"manual,omitempty"`
	PreventOverlap bool          `json:"prevent_overlapping_partitions,omitempty"`
	IdleExit       time.Duration `json:"idle_exit,omitempty"`
}

// visible are the nodes that make up the cluster.
func (l labFile) visible() []kit.NodeName {
	return slices.DeleteFunc(slices.Clone(l.Nodes), func(n kit.NodeName) bool { return slices.Contains(l.Hidden, n) })
}

// nodeFile is nodes/NAME/process.json: the node's process as it was started last.
type nodeFile struct {
	Pid     int       `json:"pid"`
	Started string    `json:"started"` // the process's identity beside its pid, see identity
	Address string    `json:"address"`
	Since   time.Time `json:"since"`
	// Ended is set when the node was ended by an order ("killed", "stopped"), and empty while it should run.
	Ended string `json:"ended,omitempty"`
}

// ruleFile is rules.json: the rules in force, by from and to, without the healthy links.
type ruleFile map[kit.NodeName]map[kit.NodeName]wire.Rule

// files knows where a lab keeps what.
type files struct{ home, lab string }

func (f files) dir() string                   { return filepath.Join(f.home, "labs", f.lab) }
func (f files) labJSON() string               { return filepath.Join(f.dir(), "lab.json") }
func (f files) rules() string                 { return filepath.Join(f.dir(), "rules.json") }
func (f files) used() string                  { return filepath.Join(f.dir(), "used") }
func (f files) journal() string               { return filepath.Join(f.dir(), "journal.jsonl") }
func (f files) oldJournal() string            { return filepath.Join(f.dir(), "journal.old.jsonl") }
func (f files) lock() string                  { return filepath.Join(f.home, "locks", f.lab+".lock") }
func (f files) node(n kit.NodeName) string    { return filepath.Join(f.dir(), "nodes", string(n)) }
func (f files) process(n kit.NodeName) string { return filepath.Join(f.node(n), "process.json") }
func (f files) config(n kit.NodeName) string  { return filepath.Join(f.node(n), "node.json") }
func (f files) disc(n kit.NodeName) string    { return filepath.Join(f.node(n), "disc") }
func (f files) backups(n kit.NodeName) string { return filepath.Join(f.node(n), "backups") }
func (f files) ended(n kit.NodeName) string   { return filepath.Join(f.node(n), "ended") }
func (f files) log(n kit.NodeName) string     { return filepath.Join(f.node(n), "log") }

// Home is the folder for everything that Netsplit remembers between commands: $NETSPLIT_HOME, else
// $XDG_STATE_HOME/netsplit, else ~/.local/state/netsplit.
func Home() (string, error) {
	if h := os.Getenv("NETSPLIT_HOME"); h != "" {
		return filepath.Abs(h)
	}
	if h := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(h) {
		return filepath.Join(h, "netsplit"), nil
	}
	h, err := os.UserHomeDir()
	if err != nil {
		return "", &kit.Error{Op: "find state folder", Kind: kit.NotFound, Err: err, Hint: "set NETSPLIT_HOME to a folder"}
	}
	return filepath.Join(h, ".local", "state", "netsplit"), nil
}

// doorFolder gives a folder whose socket paths are short enough: the lab's own when it fits, else one under
// $XDG_RUNTIME_DIR or the temporary folder, which is made and must belong to this user alone.
func (f files) doorFolder(nodes []kit.NodeName) (string, error) {
	longest := 0
	for _, n := range nodes {
		longest = max(longest, len(n))
	}
	fits := func(dir string) bool { return len(dir)+1+longest+len(".sock") <= door.MaxSocketPath }
	own := filepath.Join(f.dir(), "doors")
	if fits(own) {
		return own, os.MkdirAll(own, 0o700)
	}
	sum := sha256.Sum256([]byte(f.dir()))
	name := hex.EncodeToString(sum[:6])
	bases := []string{filepath.Join(os.TempDir(), fmt.Sprintf("netsplit-%d", os.Getuid()))}
	if r := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(r) {
		bases = slices.Insert(bases, 0, filepath.Join(r, "netsplit"))
	}
	var last error
	for _, base := range bases {
		dir := filepath.Join(base, name)
		if !fits(dir) {
			last = fmt.Errorf("%s is too long for a socket", dir)
			continue
		}
		if last = ownFolder(base); last == nil {
			return dir, os.MkdirAll(dir, 0o700)
		}
	}
	return "", &kit.Error{Op: "find a folder for doors", Kind: kit.Refused, Err: last, Hint: "set NETSPLIT_HOME to a folder with a short path"}
}

// ownFolder makes a folder that only this user can enter, or checks that it is so: in a shared temporary folder
// somebody else may have made it first.
func ownFolder(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(dir)
	switch {
	case err != nil:
		return err
	case !info.IsDir() || info.Mode().Perm()&0o077 != 0 || !ownedByMe(info):
		return fmt.Errorf("%s is not a folder of yours alone", dir)
	}
	return nil
}

// readJSON reads a state file; a file that is not there is kit.NotFound, one that cannot be read kit.Corrupt.
func readJSON(path string, v any) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &kit.Error{Op: "read", What: path, Kind: kit.NotFound, Err: err}
	}
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		return &kit.Error{Op: "read", What: path, Kind: kit.Corrupt, Err: err, Hint: "\"netsplit lab down --all\" clears what is left of it"}
	}
	return nil
}

// writeJSON replaces a state file as a whole, readable by the owner only. When it fails the old one is still there.
func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return &kit.Error{Op: "write", What: path, Kind: kit.Broken, Err: err}
	}
	tmp := path + ".new"
	err = os.WriteFile(tmp, append(b, '\n'), 0o600)
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		_ = os.Remove(tmp) // the error that matters is err
		return stateError(path, err)
	}
	return nil
}

// stateError says why a state file cannot be written, and what helps.
func stateError(path string, err error) error {
	e := &kit.Error{Op: "write", What: path, Kind: kit.Broken, Err: err}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		e.Kind, e.Err = kit.Overloaded, fmt.Errorf("the disc is full: %w", err)
		e.Hint = "nothing was changed; free some space and try again (\"netsplit lab ps\" lists labs that take some, \"netsplit lab down LAB\" ends one)"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		e.Hint = "nothing was changed; set NETSPLIT_HOME to a folder that you can write to"
	case errors.Is(err, fs.ErrNotExist):
		e.Hint = "the lab's folder is gone; \"netsplit lab up\" starts it anew"
	}
	return e
}

// doorPath is the node's socket.
func (l labFile) doorPath(n kit.NodeName) string { return filepath.Join(l.Doors, string(n)+".sock") }

// lockLab takes the lab's lock, which makes starting, ending and faults of one lab happen one after another
// across processes. release gives it back.
func (f files) lockLab() (release func(), err error) {
	if err := os.MkdirAll(filepath.Dir(f.lock()), 0o700); err != nil {
		return nil, &kit.Error{Op: "lock lab", What: f.lab, Kind: kit.Broken, Err: err, Hint: "set NETSPLIT_HOME to a folder that you can write to"}
	}
	file, err := os.OpenFile(f.lock(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, &kit.Error{Op: "lock lab", What: f.lab, Kind: kit.Broken, Err: err, Hint: "set NETSPLIT_HOME to a folder that you can write to"}
	}
	if err := flock(file); err != nil {
		file.Close()
		return nil, &kit.Error{Op: "lock lab", What: f.lab, Kind: kit.Broken, Err: err}
	}
	return func() { file.Close() }, nil // closing gives the lock back
}
