package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"netsplit/kit"
	"netsplit/kit/cluster"
	"netsplit/kit/grade"
	"netsplit/kit/lab"
)

// checkFlags are the flags of "check".
type checkFlags struct {
	lab.Options
	json   bool
	soak   int
	ledger string
	record string
}

func newCheckCmd() *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{
		Use:   "check [LAB...]",
		Short: "Prove that labs and lessons are sound",
		Long: "For each lab: the starter fails, the solution passes, and every wrong answer that the lab ships gets the\n" +
			"verdict that is pinned for it. The matrix has a line for each of them and a column for each task. Without a\n" +
			"name all labs are checked, and the lessons, too. The exit status is 1 when a lab is not sound.\n\n" +
			"With --soak the solution is then graded on that many seeds, whatever they say, and the starter and each wrong\n" +
			"answer on an eighth of them. What came out, with bounds, is the lab's ledger. In a checkout of this project it\n" +
			"is written to labs/LAB/ledger.json, or below the folder that --ledger names; elsewhere it is only printed. A\n" +
			"soak that is interrupted goes on where it stood. A lab whose ledger has a solution that failed is not sound.",
		Example: "  netsplit check\n  netsplit check dirty-reads --json\n  netsplit check failover --soak 400",
		RunE:    func(cmd *cobra.Command, args []string) error { return runCheck(cmd, args, f) },
	}
	cmd.Args = cobra.ArbitraryArgs
	flags := cmd.Flags()
	flags.BoolVar(&f.json, "json", false, "print a list of proofs as JSON")
	flags.Uint64Var(&f.Seed, "seed", 1, "the first seed")
	flags.IntVar(&f.Seeds, "seeds", 0, "how many runs for the solution and each mutant (default: what the lab says)")
	flags.IntVar(&f.soak, "soak", 0, "then so many runs of the solution, into the lab's ledger")
	flags.StringVar(&f.ledger, "ledger", "", "the folder of the labs to write ledgers below (default: labs in this checkout)")
	flags.StringVar(&f.record, "record", "", "write what each wrong answer of a code lab is told into this folder, for labs/explained_test.go")
	_ = flags.MarkHidden("record") // there is such a flag
	return grading(cmd)
}

func runCheck(cmd *cobra.Command, args []string, f checkFlags) error {
	list, err := labsNamed(args)
	if err != nil {
		return err
	}
	ledgers, err := f.settle()
	if err != nil {
		return err
	}
	system := &lab.System{}
	defer system.Close()
	view := viewOn(cmd.ErrOrStderr())
	g := &lab.Grader{Env: system.Env(), Version: lab.Version(), TestJobs: testJobs(), Progress: view.progress()}
	proofs, sound := []lab.Proof{}, true
	for _, l := range list {
		p, err := f.check(cmd, g, l, ledgers)
		view.clear()
		if err != nil {
			return err
		}
		proofs, sound = append(proofs, p), sound && p.OK
		if !f.json {
			printProof(cmd.OutOrStdout(), p)
		}
	}
	if f.json {
		out := json.NewEncoder(cmd.OutOrStdout())
		out.SetIndent("", "  ")
		if err := out.Encode(proofs); err != nil {
			return err
		}
	}
	if len(args) == 0 { // every lab was asked for, so the lessons that lead to them are, too
		if _, err := loadCourse(); err != nil {
			return exitCode{grade.ExitFail, err}
		}
	}
	if !sound {
		return exitCode{code: grade.ExitFail}
	}
	return nil
}

func labsNamed(names []string) ([]*lab.Lab, error) {
	c, err := catalog()
	if err != nil || len(names) == 0 {
		return c.All(), err
	}
	var list []*lab.Lab
	for _, name := range names {
		l, err := c.Find(name)
		if err != nil {
			return nil, err
		}
		list = append(list, l)
	}
	return list, nil
}

// settle refuses figures that make no sense, and opens the folder that ledgers go to; nil when there is none.
func (f checkFlags) settle() (*os.Root, error) {
	switch {
	case f.soak < 0 || f.Seeds < 0:
		return nil, &kit.Error{Kind: kit.Invalid, Err: errors.New("a number of runs is 1 or more")}
	case f.soak == 0 && f.ledger != "":
		return nil, &kit.Error{Kind: kit.Invalid, Err: errors.New("--ledger goes with --soak"), Hint: "say how many runs, as in --soak 400"}
	case f.soak == 0:
		return nil, nil
	case f.ledger != "":
		root, err := os.OpenRoot(f.ledger)
		if err != nil {
			return nil, &kit.Error{Op: "open folder of ledgers", Kind: kit.NotFound, Err: err, Hint: "it holds a folder for each lab"}
		}
		return root, nil
	}
	checkout, err := openCheckout()
	if err != nil {
		return nil, nil // a soak elsewhere is printed, no more
	}
	defer checkout.Close()
	return checkout.OpenRoot("labs")
}

// check proves one lab, soaks it and records it as far as that is asked for.
func (f checkFlags) check(cmd *cobra.Command, g *lab.Grader, l *lab.Lab, ledgers *os.Root) (lab.Proof, error) {
	o := f.Options
	var told lab.Tellings
	if f.record != "" && l.Manifest.Kind == lab.Code {
		o.Shown, o.Shrink = told.Add, lab.ShrinkLimits{Runs: lab.DefaultShrink.Runs, Wall: time.Hour} // the same on every machine
	}
	p, err := g.Check(cmd.Context(), l, o)
	if err == nil {
		err = context.Cause(cmd.Context()) // a search that was interrupted gives a result, which must not be recorded
	}
	if err != nil {
		return p, err
	}
	if f.record != "" {
		if err := told.Write(filepath.Join(f.record, l.Slug), l); err != nil {
			return p, err
		}
	}
	if f.soak == 0 {
		p.CheckLedger(l)
		return p, nil
	}
	return f.soakLab(cmd, g, l, p, ledgers)
}

// soakLab makes the lab's ledger anew and holds the proof against it.
func (f checkFlags) soakLab(cmd *cobra.Command, g *lab.Grader, l *lab.Lab, p lab.Proof, ledgers *os.Root) (lab.Proof, error) {
	home, err := cluster.Home()
	if err != nil {
		return p, err
	}
	led, err := g.Soak(cmd.Context(), l, lab.SoakOptions{Seed: f.Seed, Runs: f.soak, Partial: filepath.Join(home, "soak", l.Slug+".jsonl"),
		Tell: func(line string) { fmt.Fprintln(cmd.ErrOrStderr(), grade.Clean(line)) }})
	if err != nil {
		if cmd.Context().Err() != nil {
			return p, fmt.Errorf("%w; the same command goes on where it stood", context.Cause(cmd.Context()))
		}
		return p, err
	}
	l.Ledger, p.Ledger = led, led
	p.CheckLedger(l)
	if ledgers == nil {
		return p, nil
	}
	src, err := led.JSON()
	if err == nil {
		err = replace(ledgers, filepath.Join(l.Slug, lab.LedgerFile), src)
	}
	if err != nil {
		return p, &kit.Error{Op: "write ledger", What: l.Slug, Kind: kit.Refused, Err: err}
	}
	return p, nil
}

// matrixWidth is the terminal's width, or what a page takes.
func matrixWidth(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
			return columns
		}
	}
	return defaultWidth
}

func printProof(w io.Writer, p lab.Proof) {
	word := "sound"
	if !p.OK {
		word = "NOT SOUND"
	}
	fmt.Fprintf(w, "%s: %s (starter %s, solution %s on %d runs, %d mutants, %.1f s)\n\n%s\n", p.Lab, word, p.Starter, p.Solution, p.Seeds,
		len(p.Mutants), float64(p.Millis)/1000, p.Matrix(matrixWidth(w)))
	if p.Ledger != nil {
		fmt.Fprintln(w, p.Ledger.Text())
	}
	for _, f := range p.Faults {
		fmt.Fprintf(w, "  fault: %s\n", grade.Clean(f))
	}
	for _, t := range p.Warnings {
		fmt.Fprintf(w, "  note: %s\n", grade.Clean(t))
	}
	if len(p.Faults)+len(p.Warnings) > 0 {
		fmt.Fprintln(w)
	}
}
