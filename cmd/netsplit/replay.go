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
	var check bool
	cmd := &cobra.Command{
		Use:   "replay RESULT",
		Short: "Run the case behind a grade again",
		Long: "Takes a result that \"netsplit grade --format json\" wrote and runs its failing case again: the same\n" +
			"work with the same seed. A simulated run is the same to the byte; on a real cluster the data are the same\n" +
			"and the timing is not. With --check it is run twice and compared.",
		Example: "  netsplit grade --format json --out result.json\n  netsplit replay result.json --check",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runReplay(cmd, args[0], check)
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "run it twice and compare")
	return grading(cmd)
}

func runReplay(cmd *cobra.Command, name string, check bool) error {
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
	rep, err := g.Replay(cmd.Context(), l, old, check)
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
		if check {
			return exitCode{code: grade.ExitBroken}
		}
	} else {
		fmt.Fprintln(out, "\nThe run was the same as the recorded one.")
	}
	return exitCode{code: rep.Result.Verdict.ExitCode()}
}
