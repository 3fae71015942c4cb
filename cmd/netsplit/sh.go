package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	xterm "golang.org/x/term"

	"netsplit/kit"
	"netsplit/kit/cluster"
	"netsplit/kit/door"
	"netsplit/kit/shell"
	"netsplit/kit/term"
)

// maxModule bounds a file that a script loads.
const maxModule = 256 << 10

func newShCmd() *cobra.Command {
	var lab, expr string
	cmd := &cobra.Command{
		Use:   "sh [FILE]",
		Short: "Open the shell on a running lab",
		Long: "Opens the shell on a running lab: nodes are values (a, b, c), their stores are a.db, b.db, c.db, and faults are\n" +
			"functions (cut, heal, kill). With -c it evaluates one text, with FILE it runs a script; text that is piped in is\n" +
			"run entry by entry, as if typed. help() in the shell explains everything else.",
		Example: "  netsplit sh\n  netsplit sh -c 'a.nodes()'\n  netsplit sh run.star\n  echo 'cut(a, b)' | netsplit sh",
		Args:    atMostOneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			if expr != "" && len(args) > 0 {
				return usage(cmd, "give it -c or a file, not both")
			}
			if err := mayOpen(args); err != nil {
				return err
			}
			c, err := cluster.Open("", lab, "shell")
			if err != nil {
				return err
			}
			defer c.Close()
			sh := &shellCmd{cmd: cmd, cluster: c, file: args, expr: expr, hasExpr: cmd.Flags().Changed("command")}
			return sh.run()
		},
	}
	cmd.Flags().StringVarP(&expr, "command", "c", "", "evaluate this text and end")
	cmd.Flags().StringVar(&lab, "lab", "", "which lab, when several are running")
	return cmd
}

// newScriptCmd is the child's side of a script that the grader runs apart.
func newScriptCmd() *cobra.Command {
	return &cobra.Command{
		Use: shell.ChildVerb, Hidden: true, DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if code := shell.ScriptMain(args, cmd.InOrStdin(), cmd.OutOrStdout()); code != 0 {
				return exitCode{code: code}
			}
			return nil
		},
	}
}

// mayOpen looks at the file before the lab, so that a slip in its name is what is reported.
func mayOpen(args []string) error {
	if len(args) == 0 || args[0] == "-" {
		return nil
	}
	info, err := os.Stat(args[0])
	if err == nil && info.Mode().IsRegular() {
		return nil
	}
	if err == nil {
		err = errors.New("it is no file")
	}
	kind := kit.Invalid
	if errors.Is(err, fs.ErrNotExist) {
		kind, err = kit.NotFound, errors.New("there is no such file")
	}
	return &kit.Error{Op: "run", What: args[0], Kind: kind, Err: err, Hint: "to evaluate a text, say -c"}
}

// shellCmd is one call of "netsplit sh".
type shellCmd struct {
	cmd     *cobra.Command
	cluster *cluster.Cluster
	file    []string
	expr    string
	hasExpr bool
}

func (c *shellCmd) run() error {
	opts, err := shellOptions(c.cluster)
	if err != nil {
		return err
	}
	in, tty := c.cmd.InOrStdin(), terminalOf(c.cmd.InOrStdin())
	opts.Out = c.cmd.OutOrStdout()
	interactive := !c.hasExpr && len(c.file) == 0 && tty != nil && terminalOf(opts.Out) != nil && os.Getenv("TERM") != "dumb"
	if interactive {
		opts.Limits.Steps, opts.Limits.Wall = -1, -1 // Ctrl-C is the limit
	}
	dir := "."
	if len(c.file) == 1 && c.file[0] != "-" {
		dir = filepath.Dir(c.file[0])
	}
	opts.Load = loadFrom(dir)
	s, err := shell.New(opts)
	if err != nil {
		return err
	}
	defer s.Close()
	switch {
	case c.hasExpr:
		return c.failed(s.Eval(c.cmd.Context(), "-c", c.expr), strings.Contains(c.expr, "\n"))
	case len(c.file) == 1 && c.file[0] != "-":
		return c.runFile(s, c.file[0])
	case interactive:
		return s.Interact(c.cmd.Context(), c.terminal(tty))
	}
	n, err := s.Piped(c.cmd.Context(), "stdin", in, func(err error) { c.show(err, true) })
	if err == nil && n > 0 {
		return exitCode{code: 1}
	}
	return err
}

// show writes an error to stderr in the shell's own form.
func (c *shellCmd) show(err error, place bool) {
	w := c.cmd.ErrOrStderr()
	shell.ShowError(w, err, shell.Style{Colour: colourful(w), Place: place})
}

func (c *shellCmd) failed(err error, place bool) error {
	if err == nil {
		return nil
	}
	c.show(err, place)
	return exitCode{code: 1}
}

func (c *shellCmd) runFile(s *shell.Session, name string) error {
	src, err := readBounded(name)
	if err != nil {
		return err
	}
	err = s.RunFile(c.cmd.Context(), filepath.Base(name), src)
	outcome := "ok"
	if err != nil {
		outcome = err.Error()
	}
	c.cluster.Journal("script", "sh "+filepath.Base(name)+": "+outcome, nil)
	return c.failed(err, true)
}

func (c *shellCmd) terminal(tty *os.File) shell.Terminal {
	t := shell.Terminal{Prompt: ">>", Colour: colourful(c.cmd.OutOrStdout()), Tty: tty, Out: c.cmd.OutOrStdout()}
	names := make([]string, 0, 8)
	for _, n := range c.cluster.Nodes() {
		names = append(names, string(n))
	}
	t.Greet = fmt.Sprintf("lab %s, nodes %s\nhelp() explains, Ctrl-C stops what runs, Ctrl-D leaves", c.cluster.Lab(), strings.Join(names, ", "))
	if home, err := cluster.Home(); err == nil {
		t.History = filepath.Join(home, "shell_history.jsonl")
	}
	return t
}

// shellOptions are what a session on a running lab works with: its journal, the data it was started with, and the
// functions that the lab adds.
func shellOptions(c *cluster.Cluster) (shell.Options, error) {
	opts := shell.Options{World: c, Lab: c.Lab(), Client: fmt.Sprintf("shell-%d", os.Getpid()),
		Journal: func(e shell.Entry) { c.Journal(shell.JournalCommand, firstLine(e.Source), shell.EncodeEntry(e)) },
		Answer: func(name string, v term.Term) {
			c.Journal(shell.JournalAnswer, "answer "+name, shell.Given{Name: name, Value: v})
		}}
	path, err := cluster.JournalPath("", c.Lab())
	if err != nil {
		return opts, err
	}
	entries, _, err := door.ReadJournal(path, 0)
	if err != nil {
		return opts, err
	}
	for _, e := range slices.Backward(entries) {
		if e.Kind != shell.JournalData {
			continue
		}
		var d shell.LabData
		if err := json.Unmarshal(e.Data, &d); err != nil {
			return opts, err
		}
		opts.Data = d.Data
		opts.Hooks, err = labHooks(c.Lab(), d.Seed)
		return opts, err
	}
	return opts, nil
}

// labHooks gives what a lab adds to the language, made from the seed that its tables were made from.
func labHooks(slug string, seed uint64) (map[string]shell.Hook, error) {
	all, err := catalog()
	if err != nil {
		return nil, err
	}
	l, err := all.Find(slug)
	if err != nil {
		return nil, nil // a playground
	}
	return l.Scenarios[0].New(seed).Hooks, nil
}

func firstLine(s string) string {
	line, rest, more := strings.Cut(s, "\n")
	if more && strings.TrimSpace(rest) != "" {
		line += " ..."
	}
	return line
}

// loadFrom serves load() from one folder: plain names of files that end in .star.
func loadFrom(dir string) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		if !filepath.IsLocal(name) || !strings.HasSuffix(name, ".star") {
			return nil, fmt.Errorf("%q: only files below the script's folder whose names end in .star can be loaded", name)
		}
		return readBounded(filepath.Join(dir, name))
	}
}

func readBounded(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, &kit.Error{Op: "read", What: name, Kind: kit.NotFound, Err: errors.New("it cannot be opened")}
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, maxModule+1))
	if err != nil {
		return nil, &kit.Error{Op: "read", What: name, Kind: kit.Invalid, Err: err}
	}
	if len(src) > maxModule {
		return nil, &kit.Error{Op: "read", What: name, Kind: kit.Overloaded, Err: fmt.Errorf("it has more than %d bytes", maxModule)}
	}
	return src, nil
}

// terminalOf gives the file behind a stream when it is a terminal.
func terminalOf(stream any) *os.File {
	if f, ok := stream.(*os.File); ok && xterm.IsTerminal(int(f.Fd())) {
		return f
	}
	return nil
}

// colourful reports whether escapes for colour may be written to w.
func colourful(w io.Writer) bool {
	return terminalOf(w) != nil && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}
