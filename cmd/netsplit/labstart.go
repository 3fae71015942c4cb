package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"netsplit/kit/lab"
)

func newLabStartCmd() *cobra.Command {
	var seed uint64
	cmd := &cobra.Command{
		Use:   "start LAB [DIR]",
		Short: "Make a workspace: the brief and what you begin with",
		Long: "Makes a folder with the lab's brief and starter files; for a code lab it is a Go module that builds without\n" +
			"a network. Nothing that exists is overwritten. Without DIR the folder is named after the lab.\n\n" +
			"A lab of kind answer asks about a cluster that is set up otherwise in every workspace, as a seed that is drawn\n" +
			"now says; --seed gives the same cluster again.",
		Example: "  netsplit lab start dirty-reads\n  netsplit lab start transaction-history ~/course/bank\n  netsplit lab start observe-system --seed 42",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := catalog()
			if err != nil {
				return err
			}
			l, err := c.Find(args[0])
			if err != nil {
				return err
			}
			dir := l.Slug
			if len(args) == 2 {
				dir = args[1]
			}
			if seed == 0 {
				seed = lab.DrawSeed()
			}
			if err := l.Start(dir, seed); err != nil {
				return err
			}
			sayStarted(cmd.OutOrStdout(), l, dir)
			return nil
		},
	}
	cmd.Flags().Uint64Var(&seed, "seed", 0, "of a lab of kind answer: what its cluster is made from (default: drawn)")
	return cmd
}

// sayStarted tells what to do in a new workspace.
func sayStarted(out io.Writer, l *lab.Lab, dir string) {
	fmt.Fprintf(out, "%s is ready in %s: %d tasks, %d points, about %d minutes.\n\n", l.Slug, dir, len(l.Manifest.Tasks),
		l.Manifest.Points(), l.Manifest.Minutes)
	fmt.Fprintf(out, "  cd %s\n", dir)
	switch l.Manifest.Kind {
	case lab.Script:
		fmt.Fprintf(out, "  netsplit lab up .   # start its nodes\n  netsplit sh         # work on them\n  netsplit lab export # write what you did to %s\n", lab.ScriptFile)
	case lab.Answer:
		fmt.Fprintf(out, "  netsplit lab up .   # start its nodes, set up as in no other folder\n"+
			"  netsplit sh         # look at them; answer(name, value) notes what you found\n"+
			"  netsplit lab export # write what you noted to %s, or edit it yourself\n", lab.AnswerFile)
	default:
		fmt.Fprintf(out, "  go vet ./...        # does it compile? README.md says what it must do\n")
	}
	fmt.Fprintf(out, "  netsplit grade      # the first grades are red; they say what is missing\n")
}

// labRow is one lab in "lab list --json".
type labRow struct {
	Lab     string   `json:"lab"`
	Title   string   `json:"title"`
	About   string   `json:"about,omitempty"`
	Kind    lab.Kind `json:"kind"`
	Nodes   int      `json:"nodes"`
	Minutes int      `json:"minutes"`
	Points  int      `json:"points"`
	Best    int      `json:"best"`
	Passed  bool     `json:"passed"`
	Grades  int      `json:"grades"`
	Lesson  string   `json:"lesson,omitempty"`
	Tasks   []string `json:"tasks"`

	Standing string `json:"standing,omitempty"` // what is on record of its solution
}

func newLabListCmd() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "The labs, and how far you are",
		Example: "  netsplit lab list\n  netsplit lab list --json",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rows, err := labRows()
			if err != nil {
				return err
			}
			if asJSON {
				out := json.NewEncoder(cmd.OutOrStdout())
				out.SetIndent("", "  ")
				return out.Encode(rows)
			}
			var table strings.Builder
			w := tabwriter.NewWriter(&table, 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "LAB\tKIND\tMINUTES\tBEST\tTITLE")
			for _, r := range rows {
				best := fmt.Sprintf("-/%d", r.Points)
				if r.Grades > 0 {
					best = fmt.Sprintf("%d/%d", r.Best, r.Points)
				}
				if r.Passed {
					best += " ✓"
				}
				fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\n", r.Lab, r.Kind, r.Minutes, best, r.Title)
			}
			if err := w.Flush(); err != nil {
				return err
			}
			_, err = io.WriteString(cmd.OutOrStdout(), screenOf(cmd.OutOrStdout()).fitLast(table.String()))
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the list as JSON")
	return cmd
}

func labRows() ([]labRow, error) {
	c, err := catalog()
	if err != nil {
		return nil, err
	}
	b, err := book()
	if err != nil {
		return nil, err
	}
	p, err := b.Read()
	if err != nil {
		return nil, err
	}
	rows := []labRow{}
	for _, l := range c.All() {
		m := l.Manifest
		row := labRow{Lab: l.Slug, Title: m.Title, About: m.About, Kind: m.Kind, Nodes: m.Nodes, Minutes: m.Minutes, Points: m.Points(),
			Lesson: m.Lesson, Tasks: m.TaskNames(), Standing: l.Standing()}
		if own := p.Labs[l.Slug]; own != nil {
			row.Best, row.Passed, row.Grades = own.Best, own.Passed, own.Grades
		}
		rows = append(rows, row)
	}
	return rows, nil
}
