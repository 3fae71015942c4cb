package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"netsplit/kit"
	"netsplit/kit/cluster"
	"netsplit/kit/door"
	"netsplit/kit/lab"
	"netsplit/kit/shell"
	"netsplit/kit/term"
)

// runFileName is the script that a workspace hands in.
const runFileName = "run.star"

func newLabExportCmd() *cobra.Command {
	var labName string
	var force, toStdout bool
	cmd := &cobra.Command{
		Use:   "export [DIR]",
		Short: "Write what was done to the lab as " + runFileName,
		Long: "Writes what was typed in the shell and the faults of the command line, as far as they succeeded, as a script that\n" +
			"\"netsplit grade\" can run on a fresh cluster. Values that are the lab's random data become lab.data[...].\n" +
			"DIR is the workspace; without it, the one that the lab was started from, else the current folder. In a workspace\n" +
			"its lab may be down already: what was done is kept until the lab is started anew.\n\n" +
			"In a lab of kind answer it writes what was handed in with answer(name, value) into answers.yaml instead.",
		Example: "  netsplit lab export\n  netsplit lab export ./my-work --force\n  netsplit lab export --stdout",
		Args:    atMostOneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			target := strings.Join(args, "")
			name, dir, err := exportedLab(labName, target)
			if err != nil {
				return err
			}
			dir = cmp.Or(target, dir, ".")
			if l := answerLab(name); l != nil {
				return exportAnswers(cmd, l, dir, force, toStdout)
			}
			text, n, err := exportText(name)
			if err != nil {
				return err
			}
			if toStdout {
				fmt.Fprint(cmd.OutOrStdout(), text)
				return nil
			}
			path := filepath.Join(dir, runFileName)
			if err := writeExport(path, text, force); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "wrote %s: %d steps\nnext: read it through, then \"netsplit grade %s\"\n", path, n, dir)
			return nil
		},
	}
	cmd.Flags().StringVar(&labName, "lab", "", "which lab, when several are running")
	cmd.Flags().BoolVar(&force, "force", false, "overwrite a "+runFileName+" that is there")
	cmd.Flags().BoolVar(&toStdout, "stdout", false, "print it instead of writing the file")
	return cmd
}

// exportedLab finds the lab to export and its workspace: the lab that is named, else the one whose workspace the target
// or the current folder is, else the only one that is running.
func exportedLab(name, target string) (slug, dir string, err error) {
	if root, m, err := lab.FindWorkspace(cmp.Or(target, ".")); err == nil && (name == "" || name == m.Lab) && hasJournal(m.Lab) {
		return m.Lab, root, nil
	}
	c, err := cluster.Open("", name, "cli")
	if err == nil {
		defer c.Close()
		return c.Lab(), c.Dir(), nil
	}
	if name != "" && hasJournal(name) {
		return name, "", nil
	}
	return "", "", err
}

// hasJournal reports whether it is known what was done in a lab, be it up or down.
func hasJournal(name string) bool {
	path, err := cluster.JournalPath("", name)
	if err != nil {
		return false
	}
	_, err = os.Stat(path)
	return err == nil
}

// exportText makes the script of a lab's journal, and counts its steps.
func exportText(name string) (string, int, error) {
	path, err := cluster.JournalPath("", name)
	if err != nil {
		return "", 0, err
	}
	entries, _, err := door.ReadJournal(path, 0)
	if err != nil {
		return "", 0, err
	}
	steps, data, err := journalSteps(entries)
	if err != nil {
		return "", 0, err
	}
	n := 0
	for _, s := range steps {
		if s.Fault != nil || s.Entry.OK {
			n++
		}
	}
	if n == 0 {
		return "", 0, &kit.Error{Op: "export lab", What: name, Kind: kit.NotFound, Err: errors.New("nothing has been done to it yet"),
			Hint: "do the lab in \"netsplit sh\", then export it"}
	}
	return shell.Export(name, data, steps), n, nil
}

// journalSteps picks what a person did out of a journal: entries of the shell, faults of the command line.
func journalSteps(entries []door.Entry) (steps []shell.Step, data map[string]term.Term, err error) {
	for _, e := range entries {
		switch {
		case e.Kind == shell.JournalData:
			var d shell.LabData
			if err := json.Unmarshal(e.Data, &d); err != nil {
				return nil, nil, err
			}
			data = d.Data
		case e.Kind == shell.JournalCommand && e.Who == "shell":
			entry, err := shell.DecodeEntry(e.Data)
			if err != nil {
				continue // too long for the journal
			}
			steps = append(steps, shell.Step{At: e.Time, Entry: entry})
		case e.Kind == shell.JournalFault && e.Who == "cli":
			var f cluster.Fault
			if json.Unmarshal(e.Data, &f) == nil && f.Do != "" && f.Do != "link" {
				steps = append(steps, shell.Step{At: e.Time, Fault: strings.Fields(f.String())})
			}
		}
	}
	return steps, data, nil
}

// writeExport does not overwrite a script that somebody may have edited, unless told to; a starter's untouched file
// may be overwritten, and one in which nothing but comments stands.
func writeExport(path, text string, force bool) error {
	old, err := os.ReadFile(path)
	switch {
	case err == nil && !force && !onlyComments(string(old)) && !untouched(filepath.Dir(path), old):
		return &kit.Error{Op: "export lab to", What: path, Kind: kit.Exists, Err: errors.New("the file has contents"),
			Hint: "--force overwrites it, --stdout prints the script"}
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return &kit.Error{Op: "export lab to", What: path, Kind: kit.Invalid, Err: err}
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		hint := ""
		if errors.Is(err, fs.ErrNotExist) {
			hint = "the folder is not there; \"netsplit lab start LAB DIR\" makes a workspace"
		}
		return &kit.Error{Op: "export lab to", What: path, Kind: kit.Invalid, Err: err, Hint: hint}
	}
	return nil
}

// untouched reports whether the script of a workspace is still the lab's starter.
func untouched(dir string, old []byte) bool {
	m, err := lab.ReadMarker(dir)
	if err != nil {
		return false
	}
	c, err := catalog()
	if err != nil {
		return false
	}
	l, err := c.Find(m.Lab)
	if err != nil {
		return false
	}
	src, err := fs.ReadFile(l.Starter(), runFileName)
	return err == nil && bytes.Equal(src, old)
}

func onlyComments(src string) bool {
	for line := range strings.Lines(src) {
		if text := strings.TrimSpace(line); text != "" && !strings.HasPrefix(text, "#") {
			return false
		}
	}
	return true
}
