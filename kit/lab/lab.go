package lab

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"netsplit/kit"
	"netsplit/kit/grade"
	"netsplit/kit/shell"
	"netsplit/kit/term"
)

// Kind says how the work of a lab is done and graded.
type Kind string

// The kinds of lab. Script: done live on a lab cluster and graded by replaying run.star on a fresh real cluster.
// Code: a node program, graded from outside in the simulator. Answer: questions about a cluster that was set up
// otherwise for every student, graded by reading the answers off a fresh cluster that was set up alike.
const (
	Script Kind = "script"
	Code   Kind = "code"
	Answer Kind = "answer"
)

// live reports whether a lab of this kind is done, and graded, on real clusters.
func (k Kind) live() bool { return k == Script || k == Answer }

// Definition is what labs/<slug>/lab.go declares: how the lab is set up, driven and judged. Everything that is
// text (title, tasks, points, hints) stands in the front matter of labs/<slug>/README.md.
type Definition struct {
	Slug      string
	Scenarios []Scenario
	// Tests, when set, grades tests that the student writes.
	Tests *TestSuite
}

// Scenario is one way in which a lab is run. Most labs have one; a code lab has one per part when a crash in one
// part must not spoil the verdict on another.
type Scenario struct {
	Name string // "main", when empty
	// Nodes are the names of the cluster's nodes; when empty the first letters, as many as the manifest says.
	Nodes []kit.NodeName
	// New draws the random data of one run from seed, and gives what to do with it. It must depend on seed alone.
	New func(seed uint64) Plan
}

// Plan is one run of a scenario. The functions are called in order; each may be nil. An error from Setup or Observe
// is a broken harness unless the submission's nodes are to blame; a mistake of the student's must become
// a finding, not an error. All three see the world through a recorder, so what they do is in the history.
type Plan struct {
	// Data is what a script finds in lab.data: account names, amounts, whatever differs from run to run.
	Data map[string]term.Term
	// Hooks are functions that this lab adds to the script's language.
	Hooks map[string]shell.Hook
	// Setup makes tables and data before anyone works. "netsplit lab up" calls it too: with another seed in a script
	// lab, with the workspace's in an answer lab. There, what it plants must follow from the seed alone, names and
	// numbers alike, and be there when it returns.
	Setup func(ctx context.Context, w *World) error
	// Drive works on the cluster: in a code lab the clients and the faults; in a script lab it runs beside the
	// student's script (its ctx ends with the script) and is seldom needed.
	Drive func(ctx context.Context, w *World) error
	// Observe reads what is left, through the doors, after the work has ended. Nothing was mended in between: what
	// the student left cut is still cut. In an answer lab it reads the facts that are asked for, before the work: what
	// counts is how the cluster was found.
	Observe func(ctx context.Context, w *World) error
	// Clocks are the nodes whose wall clocks are wrong from the start of a simulated run, and by how much; World.Clock makes
	// them jump later. It is on record as if it had been ordered at the start.
	Clocks map[kit.NodeName]time.Duration
	// Checks judge the history, each for one task. Several checks of one task must all pass.
	Checks []Check
}

// Check judges one task of a lab from a history alone.
type Check struct {
	Task  string
	Judge grade.Judge
}

// TestSuite grades the tests a student writes: compiled with the solution they must pass, compiled with each
// mutant they must fail. The tests run in the simulator's sandbox and never learn which program they test.
type TestSuite struct {
	Task string
	// Mutants are the wrong programs the tests should catch: folders of labs/<slug>/mutants with "tests: true" in
	// their verdict.yaml, found by the loader; this only names the least number to catch for the task to pass.
	// 0 means all of them.
	Catch int
}

// Lab is a whole lab: its definition, its manifest and its files.
type Lab struct {
	Definition
	Manifest Manifest
	Mutants  []Mutant
	Ledger   *FlakeLedger // of the last soak on record; nil when there is none
	files    fs.FS        // labs/<slug>
	solution fs.FS        // solutions/<slug>
}

// Brief is the text of the lab's README.md after the front matter, in Markdown.
func (l *Lab) Brief() string { return l.Manifest.brief }

// Starter is the folder of files that a workspace begins with.
func (l *Lab) Starter() fs.FS { return sub(l.files, "starter") }

// Solution is the folder of the reference answer.
func (l *Lab) Solution() fs.FS { return l.solution }

func sub(fsys fs.FS, dir string) fs.FS {
	s, err := fs.Sub(fsys, dir)
	if err != nil { // only for an invalid name, and ours are constants or checked slugs
		return fsys
	}
	return s
}

// NodeNames are the nodes of the lab's first scenario: what "netsplit lab up" starts.
func (l *Lab) NodeNames() []kit.NodeName { return l.nodes(l.Scenarios[0]) }

func (l *Lab) nodes(s Scenario) []kit.NodeName {
	if len(s.Nodes) > 0 {
		return s.Nodes
	}
	var names []kit.NodeName
	for i := range l.Manifest.Nodes {
		names = append(names, kit.NodeName(rune('a'+i)))
	}
	return names
}

// Prepare runs the set-up of the lab's first scenario on a cluster, for a student to work on.
func (l *Lab) Prepare(ctx context.Context, w *World, seed uint64) error {
	p := l.Scenarios[0].New(seed)
	if p.Setup == nil {
		return nil
	}
	return p.Setup(ctx, w)
}

// Load joins definitions with their files: labs is the folder of all labs, solutions that of all solutions. Every
// mistake in a lab is reported here, so that a lab which loads can be graded.
func Load(labs, solutions fs.FS, defs []Definition) (Catalog, error) {
	var c Catalog
	for _, d := range defs {
		l, err := load(labs, solutions, d)
		if err != nil {
			return Catalog{}, &kit.Error{Op: "load lab", What: d.Slug, Kind: kit.Broken, Err: err}
		}
		if slices.ContainsFunc(c.labs, func(o *Lab) bool { return o.Slug == l.Slug }) {
			return Catalog{}, &kit.Error{Op: "load lab", What: d.Slug, Kind: kit.Broken, Err: fmt.Errorf("it is listed twice")}
		}
		c.labs = append(c.labs, l)
	}
	return c, nil
}

func load(labs, solutions fs.FS, d Definition) (*Lab, error) {
	if !validSlug(d.Slug) {
		return nil, fmt.Errorf("%q is no slug: use lower-case words joined by hyphens", d.Slug)
	}
	l := &Lab{Definition: d, files: sub(labs, d.Slug), solution: sub(solutions, d.Slug)}
	l.Scenarios = slices.Clone(l.Scenarios)
	readme, err := fs.ReadFile(l.files, "README.md")
	if err != nil {
		return nil, err
	}
	if l.Manifest, err = ParseManifest(readme); err != nil {
		return nil, err
	}
	if err := l.checkScenarios(); err != nil {
		return nil, err
	}
	if l.Mutants, err = loadMutants(l); err != nil {
		return nil, err
	}
	if l.Ledger, err = loadLedger(l); err != nil {
		return nil, err
	}
	return l, l.checkFiles()
}

// checkScenarios compares what the code judges with what the manifest promises.
func (l *Lab) checkScenarios() error {
	judged := map[string]bool{}
	if len(l.Scenarios) == 0 {
		return fmt.Errorf("it has no scenario")
	}
	if l.Manifest.Kind.live() && len(l.Scenarios) > 1 {
		return fmt.Errorf("a lab of kind %s has one scenario, because it is done on one cluster", l.Manifest.Kind)
	}
	names := map[string]bool{}
	for i := range l.Scenarios {
		s := &l.Scenarios[i]
		if s.Name == "" {
			s.Name = "main"
		}
		if names[s.Name] {
			return fmt.Errorf("two scenarios are called %q", s.Name)
		}
		names[s.Name] = true
		for _, c := range s.New(1).Checks {
			if _, ok := l.Manifest.Task(c.Task); !ok {
				return fmt.Errorf("a check judges task %q, which the front matter does not have", c.Task)
			}
			judged[c.Task] = true
		}
	}
	if l.Tests != nil {
		if l.Manifest.Kind != Code {
			return fmt.Errorf("only a code lab can grade tests")
		}
		judged[l.Tests.Task] = true
	}
	for _, t := range l.Manifest.Tasks {
		if !judged[t.Name] {
			return fmt.Errorf("nothing judges task %q", t.Name)
		}
	}
	return nil
}

func (l *Lab) checkFiles() error {
	starter, solution := ".go", ".go"
	switch l.Manifest.Kind {
	case Script:
		starter, solution = ScriptFile, ScriptFile
	case Answer: // the answers differ from seed to seed, so the solution is a script that finds them
		starter, solution = AnswerFile, ScriptFile
	}
	for _, part := range []struct {
		name, want string
		fsys       fs.FS
	}{{"starter", starter, l.Starter()}, {"solution", solution, l.solution}} {
		entries, err := fs.ReadDir(part.fsys, ".")
		if err != nil {
			return fmt.Errorf("read its %s: %w", part.name, err)
		}
		if !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return strings.HasSuffix(e.Name(), part.want) }) {
			return fmt.Errorf("its %s has no %s file", part.name, part.want)
		}
	}
	if l.Manifest.Kind != Answer {
		return nil
	}
	src, err := fs.ReadFile(l.Starter(), AnswerFile)
	if err != nil {
		return err
	}
	return l.checkAnswerStarter(src)
}

// Catalog is the list of labs, in the order of the course.
type Catalog struct{ labs []*Lab }

// All lists the labs in the order of the course.
func (c Catalog) All() []*Lab { return slices.Clone(c.labs) }

// Find gives the lab with a slug. When there is none the error names those that are spelt like it.
func (c Catalog) Find(slug string) (*Lab, error) {
	var names []string
	for _, l := range c.labs {
		if l.Slug == slug {
			return l, nil
		}
		names = append(names, l.Slug)
	}
	hint := `"netsplit lab list" names them all`
	if near := kit.Near(slug, names); len(near) > 0 {
		hint = fmt.Sprintf("did you mean %s?", strings.Join(near, " or "))
	}
	return nil, &kit.Error{Op: "find lab", What: fmt.Sprintf("%q", slug), Kind: kit.NotFound,
		Err: fmt.Errorf("there is no such lab"), Hint: hint}
}
