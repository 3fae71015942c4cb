package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"netsplit/kit"
)

// exitCode lets a verb end with a status of its own (grade: 1 fail, 2 inconclusive, 3 broken harness).
// A nil err means that the verb has said all there is to say.
type exitCode struct {
	code int
	err  error
}

func (e exitCode) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e exitCode) Unwrap() error { return e.err }

// verbs is the command line, in the order of the help. A verb is a file of its own.
func verbs() []*cobra.Command {
	return slices.Concat([]*cobra.Command{
		newServeCmd(),
		newReadCmd(),
		newLabCmd(),
		newBenchCmd(),
		newShCmd(),
		newGradeCmd(),
		newHintCmd(),
		newReplayCmd(),
		newCheckCmd(),
		newNewCmd(),
		newExportCmd(),
		newNodeCmd(),
		newBenchNodeCmd(),
		newScriptCmd(),
	}, faultVerbs())
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "netsplit",
		Short: "A hands-on course on distributed stores",
		Long: "Netsplit is a hands-on course on distributed stores. It serves lessons, starts lab clusters of a\n" +
			"replicated store on this machine, lets you break and mend them, and grades what you did.",
		Example:       "  netsplit serve            # the course in the browser\n  netsplit lab list         # what there is to do",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          refuseUnknown,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddCommand(verbs()...)
	return root
}

// refuseUnknown is the Args of a command that only has subcommands: cobra would print help and exit 0.
func refuseUnknown(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := fmt.Sprintf("%q lists the commands", cmd.CommandPath()+" --help")
	cmd.SuggestionsMinimumDistance = 2 // cobra's own default, which it sets only on its own path here
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = fmt.Sprintf("did you mean %q?", cmd.CommandPath()+" "+near[0])
	}
	return &kit.Error{Op: "run", What: cmd.CommandPath() + " " + args[0], Kind: kit.Invalid,
		Err: errors.New("there is no such command"), Hint: hint}
}

// run executes one command line and gives its exit code. Errors go to stderr, cause and hint apart.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &kit.Error{Kind: kit.Invalid, Err: err, Hint: fmt.Sprintf("%q lists the flags", cmd.CommandPath()+" --help")}
	})
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	var exit exitCode
	if errors.As(err, &exit) {
		if exit.err != nil {
			printError(errOut, exit.err)
		}
		return exit.code
	}
	printError(errOut, err)
	return 1
}

// printError prints the cause on one line and the hint on the next.
func printError(w io.Writer, err error) {
	fmt.Fprintf(w, "netsplit: %s\n", strings.TrimSpace(err.Error()))
	if hint := kit.HintOf(err); hint != "" {
		fmt.Fprintf(w, "hint: %s\n", hint)
	}
}
