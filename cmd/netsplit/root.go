package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"netsplit/kit"
	"netsplit/kit/grade"
	"netsplit/kit/lab"
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

// run executes one command line and gives its exit code. Errors go to stderr, cause and hint apart. A panic would end the program
// with status 2, which for "grade" is a verdict; here it is what it is, a program that broke.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	return guarded(errOut, args, func() int { return execute(ctx, args, in, out, errOut) })
}

// guarded gives what f gives, and the status of a broken harness when it panics.
func guarded(errOut io.Writer, args []string, f func() int) (code int) {
	defer func() {
		if p := recover(); p != nil {
			code = grade.ExitBroken
			fmt.Fprintf(errOut, "netsplit: this is a fault of netsplit itself, and says nothing about your work: panic: %v\n"+
				"hint: please report it to whoever gave you netsplit, with the work that it was about and all of this:\n\n"+
				"netsplit %s on %s/%s, called as: netsplit %s\n\n%s", p, lab.Version(), runtime.GOOS, runtime.GOARCH, strings.Join(quoted(args), " "), debug.Stack())
		}
	}()
	return f()
}

// quoted gives a command line's words so that where each ends can be seen.
func quoted(args []string) []string {
	var words []string
	for _, a := range args {
		if a == "" || strings.ContainsFunc(a, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) || r == '"' }) {
			a = strconv.Quote(a)
		}
		words = append(words, a)
	}
	return words
}

func execute(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
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
