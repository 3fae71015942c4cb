package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"netsplit/kit"
	"netsplit/kit/grade"
	"netsplit/kit/lab"
)

// replayArgs is replay's command line.
type replayArgs struct {
	check, full, log, json bool
	at, scenario, task     string
	nodes, what            []string
	from, to               time.Duration
	limit                  int
}

func newReplayCmd() *cobra.Command {
	var a replayArgs
	cmd := &cobra.Command{
		Use:   "replay RESULT",
		Short: "Run the case behind a grade again",
		Long: "Takes a result that \"netsplit grade --format json\" wrote and runs its failing case again: the same\n" +
			"work with the same seed. A simulated run is the same to the byte; on a real cluster the data are the same\n" +
			"and the timing is not. With --check it is run twice and compared.\n\n" +
			"Where the result explains a failure with a shorter run, that is what is shown, also by --log and --at: the times\n" +
			"and events of the explanation are its own. With --full the whole run is shown.\n\n" +
			"Of a simulated run --log shows all that happened: boots, messages, writes, requests and faults, with their times.\n" +
			"With --at it is run again up to a moment, and shown is how everything stands there: what each node has\n" +
			"on its disc and in its tables, what is on its way, which requests wait, and what happens next.",
		Example: "  netsplit grade --format json --out result.json\n  netsplit replay result.json --check\n" +
			"  netsplit replay result.json --log --node b --what send,receive,drop\n  netsplit replay result.json --at 1.25s\n  netsplit replay result.json --at '#345'",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.run(cmd, args[0])
		},
	}
	f := cmd.Flags()
	f.BoolVar(&a.check, "check", false, "run it twice and compare")
	f.BoolVar(&a.full, "full", false, "show the whole run, not the shorter one that explains a failure")
	f.BoolVar(&a.log, "log", false, "show what happened in the run, event by event")
	f.StringVar(&a.at, "at", "", "show how everything stands at a `moment`: a time like 1.25s, or the number of an event")
	f.BoolVar(&a.json, "json", false, "print the log or the moment as JSON")
	f.StringVar(&a.scenario, "scenario", "", "which part of the lab; that of the first failing task, when nothing is said")
	f.StringVar(&a.task, "task", "", "the run that explains this task; the first failing one, when nothing is said")
	f.StringSliceVar(&a.nodes, "node", nil, "with --log: only what these nodes do or have done to them")
	f.StringSliceVar(&a.what, "what", nil, "with --log: only these kinds of event")
	f.DurationVar(&a.from, "from", 0, "with --log: only from this time on")
	f.DurationVar(&a.to, "to", 0, "with --log: only until this time")
	f.IntVar(&a.limit, "limit", lab.DefaultLogLimit, "with --log: the most events shown")
	return grading(cmd)
}

// stray reports flags that mean nothing together.
func (a replayArgs) stray(cmd *cobra.Command) error {
	look := a.log || a.at != ""
	if a.check && look || a.log && a.at != "" {
		return usage(cmd, "--check, --log and --at are three things; take one")
	}
	for _, name := range []string{"node", "what", "from", "to", "limit"} {
		if cmd.Flags().Changed(name) && !a.log {
			return usage(cmd, fmt.Sprintf("--%s goes with --log", name))
		}
	}
	for _, name := range []string{"json", "scenario", "task"} {
		if cmd.Flags().Changed(name) && !look {
			return usage(cmd, fmt.Sprintf("--%s goes with --log or --at", name))
		}
	}
	return nil
}

func (a replayArgs) run(cmd *cobra.Command, name string) error {
	if err := a.stray(cmd); err != nil {
		return err
	}
	old, l, err := readResult(name)
	if err != nil {
		return err
	}
	system := &lab.System{}
	defer system.Close()
	view := viewOn(cmd.ErrOrStderr())
	defer view.clear()
	g := &lab.Grader{Env: system.Env(), Version: lab.Version(), TestJobs: testJobs(), Progress: view.progress()}
	switch {
	case a.log:
		return a.showLog(cmd, g, view, l, old)
	case a.at != "":
		return a.showMoment(cmd, g, view, l, old)
	}
	rep, err := g.Replay(cmd.Context(), l, old, lab.ReplayOptions{Twice: a.check, Full: a.full})
	view.clear()
	if err != nil {
		return err
	}
	return a.sayReplay(cmd.OutOrStdout(), rep)
}

// readResult reads a result and finds its lab.
func readResult(name string) (*grade.Result, *lab.Lab, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, &kit.Error{Op: "open result", Kind: kit.NotFound, Err: err, Hint: `a result is what "netsplit grade --format json --out FILE" writes`}
	}
	defer f.Close()
	old, err := grade.ReadJSON(f)
	if err != nil {
		return nil, nil, err
	}
	c, err := catalog()
	if err != nil {
		return nil, nil, err
	}
	l, err := c.Find(old.Lab)
	return old, l, err
}

func (a replayArgs) sayReplay(out io.Writer, rep lab.Replay) error {
	if err := printResult(out, rep.Result); err != nil {
		return err
	}
	if len(rep.Differences) > 0 {
		fmt.Fprintf(out, "\nThe run was not the same:\n  %s\n", strings.Join(rep.Differences, "\n  "))
		if a.check {
			return exitCode{code: grade.ExitBroken}
		}
	} else {
		fmt.Fprintln(out, "\nThe run was the same as the recorded one.")
	}
	return exitCode{code: rep.Result.Verdict.ExitCode()}
}

func (a replayArgs) which() lab.Which {
	return lab.Which{Scenario: a.scenario, Task: a.task, Full: a.full}
}

func (a replayArgs) showLog(cmd *cobra.Command, g *lab.Grader, seen *view, l *lab.Lab, old *grade.Result) error {
	o := lab.LogOptions{Which: a.which(), What: a.what, From: a.from, To: a.to, Limit: a.limit}
	for _, n := range a.nodes {
		o.Nodes = append(o.Nodes, kit.NodeName(n))
	}
	log, err := g.Log(cmd.Context(), l, old, o)
	seen.clear()
	if err != nil {
		return err
	}
	return a.show(cmd.OutOrStdout(), log, log.Text, log.Differences)
}

func (a replayArgs) showMoment(cmd *cobra.Command, g *lab.Grader, seen *view, l *lab.Lab, old *grade.Result) error {
	m, err := lab.ParseMoment(a.at)
	if err != nil {
		return err
	}
	s, err := g.Stand(cmd.Context(), l, old, a.which(), m)
	seen.clear()
	if err != nil {
		return err
	}
	return a.show(cmd.OutOrStdout(), s, s.Text, s.Differences)
}

// show prints a look at a run. One at another run than the recorded one is no look at that.
func (a replayArgs) show(out io.Writer, v any, text func(io.Writer) error, differences []string) error {
	if a.json {
		doc := json.NewEncoder(out)
		doc.SetIndent("", "  ")
		doc.SetEscapeHTML(false)
		if err := doc.Encode(v); err != nil {
			return err
		}
	} else if err := text(out); err != nil {
		return err
	}
	if len(differences) > 0 {
		return exitCode{code: grade.ExitBroken}
	}
	return nil
}
