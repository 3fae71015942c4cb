package main

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"netsplit/kit"
	"netsplit/kit/lab"
)

func newHintCmd() *cobra.Command {
	var reset bool
	cmd := &cobra.Command{
		Use:   "hint LAB TASK",
		Short: "A hint for a task; each time one level more",
		Long: "Shows the hints of a task from the first to the next one that you have not seen. They begin vague and\n" +
			"end nearly telling. In a workspace the lab's name may be left out.",
		Example: "  netsplit hint dirty-reads wrong-total\n  netsplit hint dirty-reads wrong-total --reset",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runHint(cmd, args, reset)
		},
	}
	cmd.Flags().BoolVar(&reset, "reset", false, "begin again at the first")
	return cmd
}

func runHint(cmd *cobra.Command, args []string, reset bool) error {
	c, err := catalog()
	if err != nil {
		return err
	}
	l, task, err := hintTask(c, args)
	if err != nil {
		return err
	}
	if len(task.Hints) == 0 {
		return &kit.Error{Op: "find hint", What: task.Name, Kind: kit.NotFound, Err: errors.New("this task has none"),
			Hint: fmt.Sprintf("read the lesson again: netsplit read %s", task.Lesson)}
	}
	b, err := book()
	if err != nil {
		return err
	}
	shown, more, err := b.Hint(l, task, reset)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "%s: %s\n", task.Name, task.Title)
	for i, h := range shown {
		fmt.Fprintf(out, "\n%d. %s\n", i+1, folded(h, "   "))
	}
	if more > 0 {
		fmt.Fprintf(out, "\n(%d more; try first, then ask again)\n", more)
	} else if task.Lesson != "" {
		fmt.Fprintf(out, "\n(that was the last; the lesson is \"netsplit read %s\")\n", task.Lesson)
	}
	return nil
}

// folded breaks text between words into lines for a terminal; all but the first are indented.
func folded(text, indent string) string {
	var b strings.Builder
	at := len(indent)
	for i, word := range strings.Fields(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case at+1+n > defaultWidth:
			b.WriteString("\n" + indent)
			at = len(indent)
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += n
	}
	return b.String()
}

// hintTask reads LAB TASK, or TASK alone in a workspace.
func hintTask(c lab.Catalog, args []string) (*lab.Lab, lab.Task, error) {
	if len(args) == 1 {
		if l, err := c.Find(args[0]); err == nil {
			return nil, lab.Task{}, &kit.Error{Op: "find hint", What: l.Slug, Kind: kit.Invalid, Err: errors.New("which task?"),
				Hint: "its tasks are " + strings.Join(l.Manifest.TaskNames(), ", ")}
		}
		_, m, err := lab.FindWorkspace(".")
		if err != nil {
			return nil, lab.Task{}, err
		}
		args = []string{m.Lab, args[0]}
	}
	l, err := c.Find(args[0])
	if err != nil {
		return nil, lab.Task{}, err
	}
	task, ok := l.Manifest.Task(args[1])
	if ok {
		return l, task, nil
	}
	hint := "its tasks are " + strings.Join(l.Manifest.TaskNames(), ", ")
	if near := kit.Near(args[1], l.Manifest.TaskNames()); len(near) > 0 {
		hint = fmt.Sprintf("did you mean %s?", strings.Join(near, " or "))
	}
	return nil, lab.Task{}, &kit.Error{Op: "find task", What: fmt.Sprintf("%q of lab %s", args[1], l.Slug), Kind: kit.NotFound,
		Err: errors.New("there is no such task"), Hint: hint}
}
