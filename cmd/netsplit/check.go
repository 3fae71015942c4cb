package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"netsplit/kit/grade"
	"netsplit/kit/lab"
)

func newCheckCmd() *cobra.Command {
	var asJSON bool
	var o lab.Options
	cmd := &cobra.Command{
		Use:   "check [LAB...]",
		Short: "Prove that labs and lessons are sound",
		Long: "For each lab: the starter fails, the solution passes, and every wrong answer that the lab ships gets the\n" +
			"verdict that is pinned for it. Without a name all labs are checked, and the lessons, too. The exit status is 1 when a lab is not sound.",
		Example: "  netsplit check\n  netsplit check dirty-reads --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			return runCheck(cmd, args, o, asJSON)
		},
	}
	cmd.Args = cobra.ArbitraryArgs
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a list of proofs as JSON")
	cmd.Flags().Uint64Var(&o.Seed, "seed", 1, "the first seed")
	cmd.Flags().IntVar(&o.Seeds, "seeds", 0, "how many runs for the solution and each mutant (default: what the lab says)")
	return grading(cmd)
}

func runCheck(cmd *cobra.Command, args []string, o lab.Options, asJSON bool) error {
	c, err := catalog()
	if err != nil {
		return err
	}
	list := c.All()
	if len(args) > 0 {
		list = nil
		for _, name := range args {
			l, err := c.Find(name)
			if err != nil {
				return err
			}
			list = append(list, l)
		}
	}
	system := &lab.System{}
	defer system.Close()
	progress, done := progressTo(cmd.ErrOrStderr())
	g := &lab.Grader{Env: system.Env(), Version: lab.Version(), Progress: progress}
	proofs, sound := []lab.Proof{}, true
	for _, l := range list {
		p, err := g.Check(cmd.Context(), l, o)
		done()
		if err != nil {
			return err
		}
		proofs, sound = append(proofs, p), sound && p.OK
		if !asJSON {
			printProof(cmd.OutOrStdout(), p)
		}
	}
	if asJSON {
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

func printProof(w io.Writer, p lab.Proof) {
	word := "sound"
	if !p.OK {
		word = "NOT SOUND"
	}
	fmt.Fprintf(w, "%s: %s (starter %s, solution %s on %d runs, %d mutants, %.1f s)\n%s", p.Lab, word, p.Starter, p.Solution, p.Seeds,
		len(p.Mutants), float64(p.Millis)/1000, p.Matrix())
	for _, f := range p.Faults {
		fmt.Fprintf(w, "  fault: %s\n", grade.Clean(f))
	}
}
