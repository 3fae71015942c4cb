package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"netsplit/kit"
	"netsplit/kit/wire"
)

// DefaultIdleExit is how long a real node lives when nobody uses its lab's doors: an abandoned lab ends by itself.
const DefaultIdleExit = 4 * time.Hour

// MaxPeers is how many other nodes a node can know.
const MaxPeers = 64

// Config is everything a node is told when it starts. In the real world it is a JSON file, named by the
// environment (see Environment); in the simulator the host gives it.
type Config struct {
	Node       kit.NodeName               `json:"node"`
	Cookie     string                     `json:"cookie"`
	Peers      []wire.Peer                `json:"peers,omitempty"` // the other nodes it connects to by itself
	Addr       string                     `json:"addr,omitempty"`  // HOST:PORT to listen on; empty for a free port
	Rules      map[kit.NodeName]wire.Rule `json:"rules,omitempty"` // in force from the start
	StartStore bool                       `json:"start_store,omitempty"`
	Seed       uint64                     `json:"seed,omitempty"`   // of the chances that rules ask for
	Manual     bool                       `json:"manual,omitempty"` // connect only when asked to
	Static     bool                       `json:"static,omitempty"` // no gossip: Peers are all there is
	Hidden     bool                       `json:"hidden,omitempty"` // watches the cluster without being part of it (peer.Config.Hidden)
	// Incarnation tells this life of the node from earlier ones, and grows; 0 takes the clock.
	Incarnation uint64 `json:"incarnation,omitempty"`
	// Boot counts the starts of the node in its lab, from 1, so that pids of an earlier life are not those of new
	// processes; 0 takes the clock.
	Boot uint64 `json:"boot,omitempty"`
	// PreventOverlap disconnects nodes further after a partial cut, so that no node is in two parts of the cluster: what
	// Erlang does by default since OTP 25 (prevent_overlapping_partitions) and nodes here do not.
	PreventOverlap bool `json:"prevent_overlapping_partitions,omitempty"`

	// The rest is for real nodes only.
	Disc     string        `json:"disc,omitempty"`    // folder of the disc copies; empty for none
	Backups  string        `json:"backups,omitempty"` // folder of the node's own files; empty: they lie on the disc
	Door     string        `json:"door,omitempty"`    // path of the unix socket
	Lab      string        `json:"lab,omitempty"`
	LabFile  string        `json:"lab_file,omitempty"` // the node ends when this file vanishes or has another ID than LabID
	LabID    string        `json:"lab_id,omitempty"`
	Journal  string        `json:"journal,omitempty"`   // journal.jsonl for what the node reports; empty for none
	Log      string        `json:"log,omitempty"`       // the file behind its standard output, kept below MaxLog
	Ended    string        `json:"ended,omitempty"`     // file that says why the node ended, written when it was orderly
	Used     string        `json:"used,omitempty"`      // file whose time of change says when a door of the lab was used last
	IdleExit time.Duration `json:"idle_exit,omitempty"` // 0 for DefaultIdleExit, negative for never
	Leash    bool          `json:"leash,omitempty"`     // end when standard input ends: its starter has gone
}

// MaxLog is the size in bytes at which a node's log is begun anew, so that a chatty program cannot fill the disc.
const MaxLog = 32 << 20

// EndedOrdered is what the file Config.Ended holds after somebody ordered the node to stop; after other orderly
// ends it holds prose.
const EndedOrdered = "ordered"

// validate fills defaults and refuses what cannot work.
func (c *Config) validate() error {
	bad := func(format string, args ...any) error {
		return &kit.Error{Op: "configure node", What: fmt.Sprintf("%.64q", string(c.Node)), Kind: kit.Invalid, Err: fmt.Errorf(format, args...)}
	}
	switch {
	case !c.Node.Valid():
		return bad("that cannot name a node")
	case c.Cookie == "":
		return bad("it has no cookie")
	case len(c.Peers) > MaxPeers:
		return bad("%d peers, the limit is %d", len(c.Peers), MaxPeers)
	}
	for _, p := range c.Peers {
		if !p.Node.Valid() || p.Node == c.Node {
			return bad("%.64q cannot be its peer", string(p.Node))
		}
	}
	if c.IdleExit == 0 {
		c.IdleExit = DefaultIdleExit
	}
	return nil
}

// ParseConfig reads a configuration.
func ParseConfig(b []byte) (Config, error) {
	var c Config
	if err := json.Unmarshal(b, &c); err != nil {
		return c, &kit.Error{Op: "read node configuration", Kind: kit.Corrupt, Err: err}
	}
	return c, c.validate()
}

// Ready is what a real node says to whoever started it, as one line of JSON: where it can be reached, or why it
// could not start.
type Ready struct {
	Addr  string `json:"addr,omitempty"`
	Error string `json:"error,omitempty"`
	Hint  string `json:"hint,omitempty"`
	Kind  int    `json:"kind,omitempty"` // of the error, a kit.Kind
}

// err gives the error that the node reported, or nil.
func (r Ready) err() error {
	if r.Error == "" {
		return nil
	}
	return &kit.Error{Kind: kit.Kind(r.Kind), Err: errors.New(r.Error), Hint: r.Hint}
}
