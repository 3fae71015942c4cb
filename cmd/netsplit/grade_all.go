package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"netsplit/kit"
	"netsplit/kit/class"
	"netsplit/kit/lab"
)

// allFlags are the flags of "grade" that only matter with --all.
type allFlags struct {
	all, again bool
	jobs       int
	timeout    time.Duration
	memory     int
}

// onlyAll lists them by name.
var onlyAll = []string{"jobs", "again", "timeout", "memory"}

// allHelp is what "grade --help" says of grading a class.
const allHelp = "With --all it grades a whole class: every DIR that is a workspace is a submission, and of every other DIR each\n" +
	"sub-folder is one. All are for one lab, the one that the workspaces name, or that of --lab, which also takes folders\n" +
	"that are no workspaces and hold the work at their top or in one folder below. The folder of --out (default: grades)\n" +
	"receives results/NAME.json for each as it is done, and " + class.CSVFile + " and " + class.HTMLFile + " with the table of all.\n\n" +
	"All are graded with one seed, drawn once and kept in the folder, so that everybody meets the same hidden data, those\n" +
	"too who hand in late; in a lab of kind answer each is asked about the cluster of its own workspace unless --seed is\n" +
	"given. A second call grades only what is new, has changed (the work, netsplit, --seed, --seeds) or was inconclusive;\n" +
	"--again grades all anew. Each submission is graded by a process of its own within --timeout and --memory: one that\n" +
	"takes its grader down has a row that says so, and the rest goes on. Ctrl-C leaves what is done, and its table.\n" +
	"A table needs no explanations, so nobody waits for a search for shorter runs, unless --shrink asks for them (with --again,\n" +
	"where there is a grade), because students are to read what is in results.\n" +
	"Plan 768 MiB for each of --jobs; what is compiled is shared. The exit status is 0 when everybody passed or failed, 2\n" +
	"when nothing could be said about some, 3 when some have no grade."

func (f *allFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.BoolVar(&f.all, "all", false, "grade many submissions, and write a table")
	flags.IntVar(&f.jobs, "jobs", 0, "with --all: how many at once (default: one for each core for which there are 768 MiB\n"+
		"of memory; 1 where real clusters run, which disturb each other's timing)")
	flags.BoolVar(&f.again, "again", false, "with --all: grade also what an earlier call has graded")
	flags.DurationVar(&f.timeout, "timeout", 15*time.Minute, "with --all: the longest that one submission may take")
	flags.IntVar(&f.memory, "memory", 1536, "with --all: the most MiB that the grader of one submission may take, the compiler\n"+
		"included; 0 is no bound (kept on Linux only)")
}

// check refuses flags that do not go together.
func (f *allFlags) check(cmd *cobra.Command, g gradeFlags, args []string) error {
	if !f.all {
		for _, name := range onlyAll {
			if cmd.Flags().Changed(name) {
				return usage(cmd, "--"+name+" is for --all")
			}
		}
		if len(args) > 1 {
			return &kit.Error{Kind: kit.Invalid, Err: fmt.Errorf("%s takes one argument, not %d", verb(cmd), len(args)), Hint: "--all grades many"}
		}
		return nil
	}
	switch {
	case g.solution:
		return usage(cmd, "--all grades submissions, not the --solution")
	case cmd.Flags().Changed("format"):
		return usage(cmd, "--all writes JSON, CSV and HTML, and takes no --format")
	case len(args) == 0:
		return usage(cmd, "--all needs a DIR")
	case f.jobs < 0 || f.jobs > 256:
		return usage(cmd, "--jobs takes 1 to 256")
	case f.timeout < time.Second:
		return usage(cmd, "--timeout takes a second or more")
	case f.memory < 0:
		return usage(cmd, "--memory takes 0 or more")
	}
	return nil
}

// runGradeAll grades a class.
func runGradeAll(cmd *cobra.Command, dirs []string, f allFlags, g gradeFlags) error {
	out := g.out
	if out == "" {
		out = "grades"
	}
	c, err := catalog()
	if err != nil {
		return err
	}
	l, found, err := classOf(c, dirs, g.lab, out)
	if err != nil {
		return err
	}
	seed, err := classSeed(out, l, g.seed)
	if err != nil {
		return err
	}
	program, build, err := self()
	if err != nil {
		return err
	}
	own := g.seed == 0
	s := &class.Session{Lab: l, Out: out, Seed: seed, Seeds: g.seeds, Jobs: jobsFor(l, f.jobs), Again: f.again, Build: build,
		Version: lab.Version(), Now: time.Now}
	members := class.Read(found, l, seed, own)
	errOut := cmd.ErrOrStderr()
	if own && l.Manifest.Kind == lab.Answer {
		s.Seed = 0
	}
	saySession(errOut, s, len(members), f.jobs)
	s.Grade = grader(program, l, s, f, g)
	width := len(strconv.Itoa(len(members)))
	s.Say = func(r class.Row, done, all int) { fmt.Fprintf(errOut, "[%*d/%d] %s\n", width, done, all, r.Line()) }
	table, err := s.Run(cmd.Context(), members)
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s\n%s\n%s\n", table.Summary(), filepath.Join(out, class.CSVFile), filepath.Join(out, class.HTMLFile))
	if cmd.Context().Err() != nil {
		fmt.Fprintln(errOut, "interrupted; the same command goes on with the rest")
	}
	return exitCode{code: table.ExitCode()}
}

// classOf finds the submissions and the lab that they are for.
func classOf(c lab.Catalog, dirs []string, slug, out string) (*lab.Lab, []class.Found, error) {
	var l *lab.Lab
	if slug != "" {
		var err error
		if l, err = c.Find(slug); err != nil {
			return nil, nil, err
		}
	}
	found, err := class.Find(dirs, l, out)
	if err != nil || l != nil {
		return l, found, err
	}
	slugs := class.Labs(found)
	bad := func(kind kit.Kind, err error, hint string) error {
		return &kit.Error{Op: "find submissions", Kind: kind, Err: err, Hint: hint}
	}
	switch len(slugs) {
	case 0:
		return nil, nil, bad(kit.NotFound, errors.New("none of them is a workspace"), "say which lab they are for with --lab LAB")
	case 1:
		l, err = c.Find(slugs[0])
		return l, found, err
	}
	return nil, nil, bad(kit.Invalid, fmt.Errorf("they are for several labs: %s", strings.Join(slugs[:min(len(slugs), 8)], ", ")),
		"say which one to grade with --lab LAB; a lab has a table, and an --out, of its own")
}

// classSeed is the seed that was given, else the one that the class was graded with before, else a new one.
func classSeed(out string, l *lab.Lab, given uint64) (uint64, error) {
	if given != 0 {
		return given, nil
	}
	kept, err := class.ReadKept(out)
	switch {
	case err != nil:
		return 0, err
	case kept.Lab != "" && kept.Lab != l.Slug:
		return 0, &kit.Error{Op: "write grades", What: out, Kind: kit.Exists, Err: fmt.Errorf("it has the grades of lab %s", kept.Lab), Hint: "name another folder with --out"}
	case kept.Seed != 0:
		return kept.Seed, nil
	}
	return lab.DrawSeed(), nil
}

// jobsFor says how many submissions are graded at once.
func jobsFor(l *lab.Lab, asked int) int {
	switch {
	case asked > 0:
		return asked
	case l.Manifest.Kind != lab.Code:
		return 1
	}
	memory, err := memoryThere()
	return gradersFor(runtime.GOMAXPROCS(0), memory, err)
}

func saySession(w io.Writer, s *class.Session, n, asked int) {
	seed := fmt.Sprintf("seed %d", s.Seed)
	if s.Seed == 0 {
		seed = "each about the cluster of its own workspace"
	}
	fmt.Fprintf(w, "%s: %d submissions, %s, %d at a time\n", s.Lab.Slug, n, seed, s.Jobs)
	switch {
	case s.Jobs == 1 && s.Lab.Manifest.Kind != lab.Code:
		fmt.Fprintln(w, "one at a time, because real clusters run and would disturb each other's timing; --jobs overrides")
	case asked == 0 && s.Jobs < runtime.GOMAXPROCS(0):
		fmt.Fprintf(w, "no more than that, because each takes up to %d MiB of memory; --jobs overrides\n", graderMemory>>20)
	}
}

// grader gives what grades one submission. The first one is alone, so that the others find the kit compiled.
func grader(program string, l *lab.Lab, s *class.Session, f allFlags, g gradeFlags) func(context.Context, class.Member) class.Ended {
	child := class.Child{Program: program, Wall: f.timeout, Memory: int64(f.memory) << 20, Cores: max(1, runtime.GOMAXPROCS(0)/s.Jobs)}
	child.Heap = childHeap(child.Memory, s.Jobs)
	var first sync.Mutex
	warm := l.Manifest.Kind != lab.Code || s.Jobs == 1
	return func(ctx context.Context, m class.Member) class.Ended {
		c := child
		c.Args = childArgs(l, s.Seeds, m, g)
		first.Lock()
		if warm {
			first.Unlock()
			return c.Grade(ctx, m)
		}
		defer first.Unlock()
		warm = true
		return c.Grade(ctx, m)
	}
}

// childArgs is the command line that grades one submission, before where its result goes.
func childArgs(l *lab.Lab, seeds int, m class.Member, g gradeFlags) []string {
	args := []string{"grade", "DIR", "--lab", l.Slug}
	if m.Seed != 0 {
		args = append(args, "--seed", "SEED")
	}
	if seeds > 0 {
		args = append(args, "--seeds", strconv.Itoa(seeds))
	}
	if g.shrinking(false).Runs == 0 {
		args = append(args, "--no-shrink")
	}
	return args
}

// self finds this program and names its content.
func self() (program, build string, err error) {
	program, err = os.Executable()
	if err == nil {
		var f *os.File
		if f, err = os.Open(program); err == nil {
			defer f.Close()
			h := sha256.New()
			_, err = io.Copy(h, f)
			build = hex.EncodeToString(h.Sum(nil))[:16]
		}
	}
	if err != nil {
		return "", "", &kit.Error{Op: "find own program", Kind: kit.Broken, Err: err}
	}
	return program, build, nil
}
