package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"netsplit/kit"
	"netsplit/kit/class"
	"netsplit/kit/grade"
	"netsplit/kit/lab"
)

// gradeFlags are the flags of "grade".
type gradeFlags struct {
	solution bool
	seed     uint64
	seeds    int
	format   string
	out      string
	lab      string
	shrink   bool
	noShrink bool
}

// shrinking is what may be spent on shorter runs; unasked says whether anything is when no flag says so.
func (f gradeFlags) shrinking(unasked bool) lab.ShrinkLimits {
	if f.shrink || unasked && !f.noShrink {
		return lab.DefaultShrink
	}
	return lab.ShrinkLimits{}
}

func newGradeCmd() *cobra.Command {
	var f gradeFlags
	var all allFlags
	writers := grade.Writers()
	cmd := &cobra.Command{
		Use:   "grade [DIR|LAB] | grade --all DIR...",
		Short: "Grade your work on a lab, and say why",
		Long: "Runs your work on fresh clusters with other random data, records what every client asked and was told,\n" +
			"and judges that. Without an argument it grades the workspace you are in.\n\n" +
			"The exit status is 0 for pass, 1 for fail, 2 when nothing can be said (inconclusive), and 3 when the\n" +
			"grading itself broke.\n\n" + allHelp + "\n\n" + formatsHelp(writers),
		Example: "  netsplit grade\n  netsplit grade ./my-work --seed 42\n  netsplit grade --format json --out result.json\n" +
			"  netsplit grade --format gradescope --out /autograder/results/results.json\n" +
			"  netsplit grade --all ./handed-in --lab dirty-reads --out ./grades",
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := all.check(cmd, f, args); err != nil {
				return err
			}
			if f.shrink && f.noShrink {
				return usage(cmd, "--shrink and --no-shrink contradict each other")
			}
			if f.seeds < 0 {
				return &kit.Error{Kind: kit.Invalid, Err: fmt.Errorf("%d runs cannot be made", f.seeds), Hint: "--seeds takes 1 or more"}
			}
			if all.all {
				return runGradeAll(cmd, args, all, f)
			}
			return runGrade(cmd, strings.Join(args, ""), f)
		},
	}
	var formats, described []string
	for _, w := range writers {
		formats = append(formats, w.Name)
		described = append(described, cobra.CompletionWithDesc(w.Name, w.About))
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.solution, "solution", false, "grade the reference solution of the lab")
	flags.Uint64Var(&f.seed, "seed", 0, "what decides all that is random (default: drawn anew each time)")
	flags.IntVar(&f.seeds, "seeds", 0, "how many runs, each with the next seed (default: what the lab says)")
	flags.BoolVar(&f.shrink, "shrink", false, "explain a failure with the shortest run that fails the same way, looked for in a few seconds\n"+
		"(code labs; as a matter of course, but not with --all); Ctrl-C ends the search, and shows what was found")
	flags.BoolVar(&f.noShrink, "no-shrink", false, "explain a failure with the run that failed, without a search for the shortest that does")
	flags.StringVar(&f.format, "format", formats[0], "one of "+strings.Join(formats, ", "))
	flags.StringVar(&f.out, "out", "", "write the result into this file, and the text to standard output; with --all, the folder (default: grades)")
	flags.StringVar(&f.lab, "lab", "", "the lab that DIR is work on, when it is no workspace")
	all.register(cmd)
	if err := cmd.RegisterFlagCompletionFunc("format", cobra.FixedCompletions(described, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // there is such a flag, and it has no other completion
	}
	return grading(cmd)
}

// formatsHelp says what each format is for and what differs with it.
func formatsHelp(writers []grade.Writer) string {
	var b strings.Builder
	b.WriteString("The formats, for --format:\n")
	for _, w := range writers {
		fmt.Fprintf(&b, "  %-12s %s\n", w.Name, w.About)
	}
	b.WriteString("\nWith github the annotations go to standard output, and the job summary is appended to the file that\n" +
		"GITHUB_STEP_SUMMARY names, or written to that of --out. Where a system takes the verdict from the file and any\n" +
		"status but 0 for a grader that broke, the status is 0 for every verdict (gradescope, exercism), or for pass and\n" +
		"fail (classroom50, whose file cannot say inconclusive). What a system has no word for is said in the text.")
	return b.String()
}

func runGrade(cmd *cobra.Command, arg string, f gradeFlags) error {
	writer, err := grade.Format(f.format)
	if err != nil {
		return err
	}
	setting := grade.Setting{Getenv: os.Getenv, Now: time.Now()}
	if writer.Ready != nil {
		if err := writer.Ready(setting); err != nil {
			return err
		}
	}
	c, err := catalog()
	if err != nil {
		return err
	}
	l, sub, err := pick(c, arg, f.lab, f.solution)
	if err != nil {
		return err
	}
	system := &lab.System{}
	defer system.Close()
	view := viewOn(cmd.ErrOrStderr())
	g := &lab.Grader{Env: system.Env(), Version: lab.Version(), TestJobs: testJobs(), Progress: view.progress(), News: view.news()}
	o := lab.Options{Seed: f.seed, Seeds: f.seeds, Shrink: f.shrinking(true)}
	r, err := g.Grade(cmd.Context(), l, sub, o)
	view.clear()
	if err != nil {
		return err
	}
	remember(cmd.ErrOrStderr(), r)
	setting.Now = time.Now()
	if err := deliver(cmd.OutOrStdout(), writer, f.out, r, setting); err != nil {
		return err
	}
	if writer.Status != nil {
		return exitCode{code: writer.Status(r.Verdict)}
	}
	return exitCode{code: r.Verdict.ExitCode()}
}

// pick finds the lab and reads the work; slug is the lab of a folder that need not be a workspace.
func pick(c lab.Catalog, arg, slug string, solution bool) (*lab.Lab, lab.Submission, error) {
	if slug != "" && !solution {
		l, err := c.Find(slug)
		if err != nil {
			return nil, lab.Submission{}, err
		}
		dir, err := class.Locate(cmp.Or(arg, "."), l)
		if err != nil {
			return nil, lab.Submission{}, err
		}
		sub, err := l.Open(dir)
		return l, sub, err
	}
	if solution {
		arg = cmp.Or(arg, slug)
		l, err := c.Find(arg)
		if err != nil {
			t, terr := findTarget(c, arg)
			if terr != nil {
				return nil, lab.Submission{}, err
			}
			l = t.lab
		}
		sub, err := l.Reference()
		return l, sub, err
	}
	t, err := findTarget(c, arg)
	if err != nil {
		return nil, lab.Submission{}, err
	}
	sub, err := t.lab.Open(t.dir)
	return t.lab, sub, err
}

// deliver writes the result to out in the wanted format; with a file the format goes there and the text to out. A
// format with a summary always goes to out, and the summary to the file, or to where GitHub wants it.
func deliver(out io.Writer, w grade.Writer, file string, r *grade.Result, s grade.Setting) error {
	if w.Summary != nil {
		if err := w.Write(out, r, s); err != nil {
			return err
		}
		return deliverSummary(w, file, r, s)
	}
	if file == "" && w.Name == "text" {
		return printResult(out, r)
	}
	if file == "" {
		return w.Write(out, r, s)
	}
	var b bytes.Buffer
	if err := w.Write(&b, r, s); err != nil {
		return err
	}
	if err := replaceFile(file, b.Bytes()); err != nil {
		return &kit.Error{Op: "write result", Kind: kit.Refused, Err: err}
	}
	return printResult(out, r)
}

// deliverSummary replaces the file, or appends to the one that collects what the steps of a job have to say. Outside
// a job, and with no file named, nobody wants a summary.
func deliverSummary(w grade.Writer, file string, r *grade.Result, s grade.Setting) error {
	collected := s.Getenv("GITHUB_STEP_SUMMARY")
	if file == "" && collected == "" {
		return nil
	}
	var b bytes.Buffer
	err := w.Summary(&b, r)
	switch {
	case err != nil:
	case file != "":
		err = replaceFile(file, b.Bytes())
	default:
		err = appendFile(collected, b.Bytes())
	}
	if err != nil {
		return &kit.Error{Op: "write job summary", Kind: kit.Refused, Err: err}
	}
	return nil
}

// appendFile adds to a file, which it makes if there is none.
func appendFile(name string, b []byte) error {
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Close())
}

// replaceFile writes a file so that a reader finds the old or the new one, never half of it.
func replaceFile(name string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".netsplit-")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// remember keeps the grade for "lab list"; that it cannot is worth a word and no more.
func remember(errOut io.Writer, r *grade.Result) {
	b, err := book()
	if err == nil {
		err = b.Graded(r, time.Now())
	}
	if err != nil {
		fmt.Fprintf(errOut, "netsplit: the grade is not remembered: %v\n", err)
	}
}
