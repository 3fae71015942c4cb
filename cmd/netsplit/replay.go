package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"netsplit/kit"
	"netsplit/kit/grade"
	"netsplit/kit/lab"
)

func newReplayCmd() *cobra.Command {
	var how lab.ReplayOptions
	cmd := &cobra.Command{
		Use:   "replay RESULT",
		Short: "Run the case behind a grade again",
		Long: "Takes a result that \"netsplit grade --format json\" wrote and runs its failing case again: the same\n" +
			"work with the same seed. A simulated run is the same to the byte; on a real cluster the data are the same\n" +
			"and the timing is not. With --check it is run twice and compared.\n\n" +
			"Where the result explains a failure with a shorter run, that is run as well and shown; with --full the whole\n" +
			"run is shown.",
		Example: "  netsplit grade --format json --out result.json\n  netsplit replay result.json --check",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runReplay(cmd, args[0], how)
		},
	}
	cmd.Flags().BoolVar(&how.Twice, "check", false, "run it twice and compare")
	cmd.Flags().BoolVar(&how.Full, "full", false, "explain with the whole run, not with a shorter one")
	return grading(cmd)
}

func runReplay(cmd *cobra.Command, name string, how lab.ReplayOptions) error {
	f, err := os.Open(name)
	if err != nil {
		return &kit.Error{Op: "open result", Kind: kit.NotFound, Err: err, Hint: `a result is what "netsplit grade --format json --out FILE" writes`}
	}
	defer f.Close()
	old, err := grade.ReadJSON(f)
	if err != nil {
		return err
	}
	c, err := catalog()
	if err != nil {
		return err
	}
	l, err := c.Find(old.Lab)
	if err != nil {
		return err
	}
	system := &lab.System{}
	defer system.Close()
	progress, done := progressTo(cmd.ErrOrStderr())
	g := &lab.Grader{Env: system.Env(), Version: lab.Version(), Progress: progress}
	rep, err := g.Replay(cmd.Context(), l, old, how)
	done()
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if err := grade.Text(out, rep.Result); err != nil {
		return err
	}
	if len(rep.Differences) > 0 {
		fmt.Fprintf(out, "\nThe run was not the same:\n  %s\n", strings.Join(rep.Differences, "\n  "))
		if how.Twice {
			return exitCode{code: grade.ExitBroken}
		}
	} else {
		fmt.Fprintln(out, "\nThe run was the same as the recorded one.")
	}
	return exitCode{code: rep.Result.Verdict.ExitCode()}
}
