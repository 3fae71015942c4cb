package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"netsplit/kit"
	"netsplit/kit/cluster"
)

// newLabCmd is the parent of what is done with labs as a whole.
func newLabCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "Start, list and end lab clusters",
		Example: "  netsplit lab up dirty-reads   # start the lab's nodes\n" +
			"  netsplit lab ps               # what is running\n" +
			"  netsplit lab down             # end it",
		Args: refuseUnknown,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(labVerbs()...)
	return cmd
}

// labVerbs is what stands under "lab", in the order of the help.
func labVerbs() []*cobra.Command {
	return []*cobra.Command{
		newLabListCmd(), newLabStartCmd(), newLabUpCmd(), newLabPsCmd(), newLabDownCmd(), newLabExportCmd(),
	}
}

func newLabUpCmd() *cobra.Command {
	var nodes int
	var asJSON, prevent, manual bool
	var hidden []string
	var seed uint64
	cmd := &cobra.Command{
		Use:   "up LAB|DIR",
		Short: "Start a lab's nodes on this machine",
		Long: "Starts the nodes of a lab as processes of their own that run on after this command, and returns when\n" +
			"each of them sees all others and the lab's tables are there. DIR is a workspace made by \"lab start\". The name\n" +
			"\"playground\" stands for a cluster without a task; further ones are \"playground-2\" and so on.",
		Example: "  netsplit lab up dirty-reads\n  netsplit lab up ./my-work\n  netsplit lab up playground --nodes 5\n" +
			"  netsplit lab up playground --hidden observer   # a node that sees the others, and is in nobody's nodes()",
		Args: oneArg("LAB", "netsplit lab list"),
		RunE: func(cmd *cobra.Command, args []string) error {
			spec, err := labSpec(cmd.Context(), cmd.ErrOrStderr(), args[0], nodes, cmd.Flags().Changed("nodes"), seed)
			if err != nil {
				return err
			}
			spec.PreventOverlap, spec.Manual = prevent, manual
			for _, name := range hidden {
				spec.Hidden = append(spec.Hidden, kit.NodeName(name))
			}
			return labUp(cmd, spec, asJSON)
		},
		ValidArgsFunction: completeUp,
	}
	cmd.Flags().IntVar(&nodes, "nodes", 0, "how many nodes (default: what the lab says, else 3)")
	cmd.Flags().StringSliceVar(&hidden, "hidden", nil, "also start a hidden node of this name, to watch the others from (Erlang's -hidden)")
	cmd.Flags().BoolVar(&manual, "manual", false, "nodes connect only when somebody asks them to or sends something, as Erlang nodes do;\n"+
		"without it they connect at the start and again after every heal")
	cmd.Flags().BoolVar(&prevent, "prevent-overlapping-partitions", false, "after a cut between two nodes, those who still reach both leave them, so that no\n"+
		"node is in two parts of the cluster: Erlang's default since OTP 25")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the nodes as JSON, as \"lab ps --json\" does")
	cmd.Flags().Uint64Var(&seed, "seed", 0, "what decides the lab's random data (default: the workspace's in a lab of kind answer, else drawn)")
	return cmd
}

func labUp(cmd *cobra.Command, spec cluster.Spec, asJSON bool) error {
	begun := time.Now()
	c, err := cluster.Up(cmd.Context(), spec)
	if err != nil {
		return err
	}
	defer c.Close()
	took := time.Since(begun)
	if c.Cleared {
		fmt.Fprintf(cmd.ErrOrStderr(), "cleared what an earlier lab %s had left\n", c.Lab())
	}
	lab := c.Look()
	if asJSON {
		return printJSON(cmd.OutOrStdout(), psRows([]cluster.Lab{lab}))
	}
	fmt.Fprintf(cmd.OutOrStdout(), "lab %s is up: %d nodes, ready in %d ms\n\n", c.Lab(), len(lab.Nodes), took.Milliseconds())
	if err := printPs(cmd.OutOrStdout(), []cluster.Lab{lab}); err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "\nnext: \"netsplit sh\" talks to the nodes, \"netsplit lab down\" ends them\n")
	return nil
}

func newLabPsCmd() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "ps",
		Short:   "List the node processes of running labs",
		Example: "  netsplit lab ps\n  netsplit lab ps --json | jq '.[].address'",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			labs, err := liveLabs(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), psRows(labs))
			}
			if len(labs) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "no lab is running; \"netsplit lab up LAB\" starts one")
				return nil
			}
			if err := printPs(cmd.OutOrStdout(), labs); err != nil {
				return err
			}
			return printLinks(cmd.OutOrStdout(), labs)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a list of {lab, node, pid, state, address, since}")
	return cmd
}

// liveLabs lists the running labs, and clears away those whose processes are gone, saying so on w.
func liveLabs(w io.Writer) ([]cluster.Lab, error) {
	labs, err := cluster.List("")
	if err != nil {
		return nil, err
	}
	var live []cluster.Lab
	for _, l := range labs {
		if !l.Stale {
			live = append(live, l)
			continue
		}
		if _, err := cluster.Down("", l.Name); err != nil {
			return nil, err
		}
		fmt.Fprintf(w, "lab %s: its processes are gone; cleared what was left of it (journal and logs stay)\n", l.Name)
	}
	return live, nil
}

// psRow is one node in "lab ps --json"; scripts rely on its form.
type psRow struct {
	Lab     string       `json:"lab"`
	Node    kit.NodeName `json:"node"`
	Pid     int          `json:"pid"` // 0 when no process runs
	State   string       `json:"state"`
	Address string       `json:"address"`
	Since   time.Time    `json:"since"`
}

func psRows(labs []cluster.Lab) []psRow {
	rows := []psRow{}
	for _, l := range labs {
		for _, n := range l.Nodes {
			rows = append(rows, psRow{l.Name, n.Node, n.Pid, n.State, n.Address, n.Since.UTC()})
		}
	}
	return rows
}

func printPs(w io.Writer, labs []cluster.Lab) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "LAB\tNODE\tPID\tSTATE\tADDRESS\tSINCE")
	for _, r := range psRows(labs) {
		pid := "-"
		if r.Pid != 0 {
			pid = fmt.Sprint(r.Pid)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", r.Lab, r.Node, pid, r.State, r.Address, age(time.Since(r.Since)))
	}
	return t.Flush()
}

// age says how long ago something was, in its largest two units.
func age(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds ago", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm ago", int(d.Hours()), int(d.Minutes())%60)
}

// printLinks lists the faults in force on links; nothing when all are whole.
func printLinks(w io.Writer, labs []cluster.Lab) error {
	for _, l := range labs {
		c, err := cluster.Open("", l.Name, "cli")
		if err != nil {
			return err
		}
		rules := c.Rules()
		for _, from := range c.Nodes() {
			for _, to := range c.Nodes() {
				if r, ok := rules[from][to]; ok {
					fmt.Fprintf(w, "\n%s: %s -> %s is %s", l.Name, from, to, cluster.RuleText(r))
				}
			}
		}
		if len(rules) > 0 {
			fmt.Fprintln(w)
		}
		if err := c.Close(); err != nil {
			return err
		}
	}
	return nil
}

func newLabDownCmd() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:     "down [LAB]",
		Short:   "End a lab: its processes and what they stored",
		Long:    "Ends the nodes of a lab and removes their discs. The journal and the nodes' logs stay until the lab is started anew.",
		Example: "  netsplit lab down\n  netsplit lab down --all",
		Args:    atMostOneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case all && len(args) > 0:
				return usage(cmd, "name a lab or say --all, not both")
			case all:
				return downAll(cmd)
			case len(args) == 1:
				return labDown(cmd, args[0])
			}
			c, err := cluster.Open("", "", "cli")
			if err != nil {
				return downOnlyStale(cmd, err)
			}
			defer c.Close()
			return labDown(cmd, c.Lab())
		},
		ValidArgsFunction: completeLabs,
	}
	cmd.Flags().BoolVar(&all, "all", false, "end every lab, and clear what is left of dead ones")
	return cmd
}

func labDown(cmd *cobra.Command, lab string) error {
	stale, err := cluster.Down("", lab)
	if err != nil {
		return err
	}
	if stale {
		fmt.Fprintf(cmd.OutOrStdout(), "lab %s: its processes were gone; cleared what was left of it\n", lab)
		return nil
	}
	fmt.Fprintf(cmd.OutOrStdout(), "lab %s is down\n", lab)
	return nil
}

// downOnlyStale serves "lab down" when no lab runs: what is left of a dead one is cleared, and that is a success.
func downOnlyStale(cmd *cobra.Command, none error) error {
	if kit.KindOf(none) != kit.NotFound {
		return none
	}
	labs, err := cluster.List("")
	if err != nil {
		return err
	}
	cleared := false
	for _, l := range labs {
		if l.Stale {
			if err := labDown(cmd, l.Name); err != nil {
				return err
			}
			cleared = true
		}
	}
	if cleared {
		return nil
	}
	return none
}

func downAll(cmd *cobra.Command) error {
	labs, err := cluster.List("")
	if err != nil {
		return err
	}
	if len(labs) == 0 {
		fmt.Fprintln(cmd.OutOrStdout(), "no lab is running")
	}
	for _, l := range labs {
		if err := labDown(cmd, l.Name); err != nil {
			return err
		}
	}
	return nil
}

func completeLabs(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	labs, err := cluster.List("")
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var names []string
	for _, l := range labs {
		names = append(names, l.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeUp offers the labs that can be started, and folders.
func completeUp(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	names := []string{playground}
	c, err := catalog()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	for _, l := range c.All() {
		names = append(names, l.Slug)
	}
	return names, cobra.ShellCompDirectiveDefault
}

// printJSON prints one value, indented, as --json of every verb does.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// usage is the error of a command line that makes no sense.
func usage(cmd *cobra.Command, why string) error {
	return &kit.Error{Kind: kit.Invalid, Err: fmt.Errorf("%s", why), Hint: fmt.Sprintf("%q shows how", cmd.CommandPath()+" --help")}
}

// verb is a command without the program's name, which every error begins with.
func verb(cmd *cobra.Command) string { return strings.TrimPrefix(cmd.CommandPath(), "netsplit ") }

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage(cmd, fmt.Sprintf("%s takes no arguments, not %q", verb(cmd), strings.Join(args, " ")))
	}
	return nil
}

func atMostOneArg(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usage(cmd, fmt.Sprintf("%s takes one argument, not %d", verb(cmd), len(args)))
	}
	return nil
}

// oneArg asks for exactly one argument; list is the command that lists what it can be.
func oneArg(name, list string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return &kit.Error{Kind: kit.Invalid, Err: fmt.Errorf("%s needs a %s", verb(cmd), name), Hint: fmt.Sprintf("%q lists them", list)}
		}
		return atMostOneArg(cmd, args)
	}
}

// openLab opens the lab that --lab names, or the only one that runs.
func openLab(_ context.Context, lab string) (*cluster.Cluster, error) {
	return cluster.Open("", lab, "cli")
}
