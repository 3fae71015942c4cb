package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"netsplit/kit/lesson"
)

func newReadCmd() *cobra.Command {
	var width int
	cmd := &cobra.Command{
		Use:   "read [LESSON[#SECTION]]",
		Short: "Read a lesson in the terminal",
		Long: "Read a lesson in the terminal, through $PAGER when it is longer than the screen.\n" +
			"Without a name, list the lessons. The beginning of a name is enough. What follows a # names one of its\n" +
			"sections, as grades and links do.",
		Example: "  netsplit read\n  netsplit read welcome\n  netsplit read dirty-operations#what-it-costs",
		Args:    cobra.MaximumNArgs(1),
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return lessonNames(args), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			course, err := loadCourse()
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			screen := screenOf(out)
			if width > 0 {
				screen.text.Width = width
			}
			if len(args) == 0 {
				_, err := io.WriteString(out, course.List(screen.text))
				return err
			}
			l, section, err := course.Ref(args[0])
			if err != nil {
				return err
			}
			return screen.page(out, l.SectionText(course, section.ID, screen.text))
		},
	}
	cmd.Flags().IntVar(&width, "width", 0, fmt.Sprintf("`COLUMNS` to write for, %d to %d; the terminal's own when left out", lesson.MinWidth, lesson.MaxWidth))
	return cmd
}

func lessonNames(args []string) []cobra.Completion {
	course, err := loadCourse()
	if err != nil || len(args) > 0 {
		return nil
	}
	var names []cobra.Completion
	for _, l := range course.Lessons() {
		names = append(names, cobra.CompletionWithDesc(l.Name, l.Title))
	}
	return names
}

// screen is what text is written to: a terminal of some size, or something else.
type screen struct {
	terminal bool
	height   int
	text     lesson.TextOptions
}

// defaultWidth is what text is written for when no terminal tells its own.
const defaultWidth = 80

func screenOf(out io.Writer) screen {
	s := screen{text: lesson.TextOptions{Width: defaultWidth}}
	f, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return s
	}
	s.terminal = true
	if w, h, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
		s.text.Width, s.height = w, h
	}
	s.text.Color = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	return s
}

// page shows a text, through a pager when it is longer than the terminal.
func (s screen) page(out io.Writer, text string) error {
	if s.terminal && s.height > 0 && strings.Count(text, "\n") >= s.height {
		if pager := pagerCommand(); pager != nil {
			pager.Stdin, pager.Stdout, pager.Stderr = strings.NewReader(text), out, os.Stderr
			if err := pager.Start(); err == nil {
				_ = pager.Wait() // its status says how the reader left it, which is no fault
				return nil
			}
		}
	}
	_, err := io.WriteString(out, text)
	return err
}

// pagerCommand is $PAGER, or less, or nothing. Less is told to keep colours and to leave short texts alone.
func pagerCommand() *exec.Cmd {
	words := strings.Fields(os.Getenv("PAGER"))
	if len(words) == 0 {
		words = []string{"less"}
	}
	path, err := exec.LookPath(words[0])
	if err != nil {
		return nil
	}
	c := exec.Command(path, words[1:]...)
	c.Env = os.Environ()
	if os.Getenv("LESS") == "" {
		c.Env = append(c.Env, "LESS=FRX")
	}
	return c
}
