package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"netsplit/kit"
	"netsplit/kit/cluster"
)

// maxDelay is the longest delay of a link: past a minute no timeout of anything waits for it.
const maxDelay = time.Minute

// faultCmd is a verb that does one fault to nodes of a running lab. do gets the arguments after the nodes.
type faultCmd struct {
	use, short, long, example string
	nodes                     int // how many of the arguments are nodes
	more                      int // how many arguments follow them
	optional                  bool
	oneWay, silent            bool // which flags it has
	do                        func(c *cluster.Cluster, f faultArgs) (said string, err error)
}

// faultArgs is a fault's command line, taken apart.
type faultArgs struct {
	nodes          []kit.NodeName
	more           []string
	oneWay, silent bool
}

// arrow names a link as a reader would.
func (f faultArgs) arrow() string {
	if f.oneWay {
		return fmt.Sprintf("%s -> %s", f.nodes[0], f.nodes[1])
	}
	return fmt.Sprintf("%s - %s", f.nodes[0], f.nodes[1])
}

func (v faultCmd) command() *cobra.Command {
	var lab string
	var f faultArgs
	cmd := &cobra.Command{
		Use: v.use, Short: v.short, Long: v.long, Example: v.example,
		Args: func(cmd *cobra.Command, args []string) error {
			if want := v.nodes + v.more; len(args) != want && !(v.optional && len(args) == 0) {
				return usage(cmd, fmt.Sprintf("it is \"netsplit %s\", not %d arguments", v.use, len(args)))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := openLab(cmd.Context(), lab)
			if err != nil {
				return err
			}
			defer c.Close()
			for _, a := range args[:min(v.nodes, len(args))] {
				f.nodes = append(f.nodes, kit.NodeName(a))
			}
			f.more = args[len(f.nodes):]
			said, err := v.do(c, f)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), said)
			return nil
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return completeNodes(lab, args, v.nodes)
		},
	}
	cmd.Flags().StringVar(&lab, "lab", "", "which lab, when several are running")
	if v.silent {
		cmd.Flags().BoolVar(&f.silent, "silent", false, "packets vanish and nobody is told; without it connections close at once")
	}
	if v.oneWay {
		cmd.Flags().BoolVar(&f.oneWay, "one-way", false, "only what A sends to B")
	}
	return cmd
}

// completeNodes offers the nodes that are not on the command line yet.
func completeNodes(lab string, args []string, most int) ([]string, cobra.ShellCompDirective) {
	if len(args) >= most {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	c, err := cluster.Open("", lab, "cli")
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	defer c.Close()
	var names []string
	for _, n := range c.Nodes() {
		if !slices.Contains(args, string(n)) {
			names = append(names, string(n))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// faultVerbs is every fault that the command line knows.
func faultVerbs() []*cobra.Command {
	faults := []faultCmd{cutCmd(), healCmd(), slowCmd(), lossCmd(), killCmd(), restartCmd(), pauseCmd(), resumeCmd()}
	cmds := make([]*cobra.Command, 0, len(faults))
	for _, f := range faults {
		cmds = append(cmds, f.command())
	}
	return cmds
}

func cutCmd() faultCmd {
	return faultCmd{use: "cut A B", nodes: 2, silent: true, oneWay: true,
		short:   "Cut the link between two nodes",
		long:    "Cuts the link between two nodes until it is healed, also when a node restarts meanwhile.",
		example: "  netsplit cut a b            # both see the other go down at once\n  netsplit cut a b --silent   # packets vanish, as when a cable is pulled",
		do: func(c *cluster.Cluster, f faultArgs) (string, error) {
			how := "loud"
			if f.silent {
				how = "silent"
			}
			return fmt.Sprintf("%s is cut (%s)", f.arrow(), how), c.Cut(f.nodes[0], f.nodes[1], f.silent, f.oneWay)
		},
	}
}

func healCmd() faultCmd {
	return faultCmd{use: "heal [A B]", nodes: 2, optional: true,
		short:   "Take the faults off a link, or off all links",
		example: "  netsplit heal a b\n  netsplit heal",
		do: func(c *cluster.Cluster, f faultArgs) (string, error) {
			if len(f.nodes) == 0 {
				return "all links are whole", c.HealAll()
			}
			return f.arrow() + " is whole", c.Heal(f.nodes[0], f.nodes[1])
		},
	}
}

func slowCmd() faultCmd {
	return faultCmd{use: "slow A B DELAY", nodes: 2, more: 1, oneWay: true,
		short:   "Delay what two nodes send each other",
		example: "  netsplit slow a b 200ms\n  netsplit slow a b 0s        # as fast as before",
		do: func(c *cluster.Cluster, f faultArgs) (string, error) {
			d, err := time.ParseDuration(f.more[0])
			if err != nil || d < 0 || d > maxDelay {
				return "", &kit.Error{Op: "slow", Kind: kit.Invalid, Err: fmt.Errorf("%.64q is no delay", f.more[0]), Hint: "say for example 200ms or 1.5s; the most is 1m"}
			}
			return fmt.Sprintf("%s is %v late", f.arrow(), d), c.Slow(f.nodes[0], f.nodes[1], d, f.oneWay)
		},
	}
}

func lossCmd() faultCmd {
	return faultCmd{use: "loss A B PERCENT", nodes: 2, more: 1, oneWay: true,
		short:   "Lose part of what two nodes send each other",
		long:    "Loses part of what two nodes send each other. Gossip packets vanish; on a connection, as TCP does, each loss\ncosts the time of a retransmission.",
		example: "  netsplit loss a b 30%\n  netsplit loss a b 0",
		do: func(c *cluster.Cluster, f faultArgs) (string, error) {
			p, err := strconv.ParseFloat(strings.TrimSuffix(f.more[0], "%"), 64)
			if err != nil || !(p >= 0 && p <= 100) {
				return "", &kit.Error{Op: "loss", Kind: kit.Invalid, Err: fmt.Errorf("%.64q is no share", f.more[0]), Hint: "say for example 30%; a link that loses all is \"netsplit cut A B --silent\""}
			}
			return fmt.Sprintf("%s loses %g%%", f.arrow(), p), c.Loss(f.nodes[0], f.nodes[1], p/100, f.oneWay)
		},
	}
}

func killCmd() faultCmd {
	return faultCmd{use: "kill A", nodes: 1,
		short:   "Kill a node's process, as kill -9 does",
		long:    "Kills a node's process at once: nothing is flushed and nobody is told. Its disc stays for \"restart\".",
		example: "  netsplit kill b",
		do: func(c *cluster.Cluster, f faultArgs) (string, error) {
			return fmt.Sprintf("%s is killed", f.nodes[0]), c.Kill(f.nodes[0])
		},
	}
}

func restartCmd() faultCmd {
	return faultCmd{use: "restart A", nodes: 1,
		short:   "Start a node again: empty memory, the same disc",
		long:    "Starts a killed or crashed node again with the disc that it left. A running node is stopped in an orderly way first.\nIts store is not started by itself.",
		example: "  netsplit restart b",
		do: func(c *cluster.Cluster, f faultArgs) (string, error) {
			return fmt.Sprintf("%s is running", f.nodes[0]), c.Restart(f.nodes[0])
		},
	}
}

func pauseCmd() faultCmd {
	return faultCmd{use: "pause A", nodes: 1,
		short:   "Stop a node's process where it stands",
		long:    "Stops a node's process (SIGSTOP): it keeps its connections and its locks, and says nothing.",
		example: "  netsplit pause b",
		do: func(c *cluster.Cluster, f faultArgs) (string, error) {
			return fmt.Sprintf("%s is paused", f.nodes[0]), c.Pause(f.nodes[0])
		},
	}
}

func resumeCmd() faultCmd {
	return faultCmd{use: "resume A", nodes: 1,
		short:   "Let a paused node go on",
		example: "  netsplit resume b",
		do: func(c *cluster.Cluster, f faultArgs) (string, error) {
			return fmt.Sprintf("%s is running", f.nodes[0]), c.Resume(f.nodes[0])
		},
	}
}
