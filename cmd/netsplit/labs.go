package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"netsplit/kit"
	"netsplit/kit/cluster"
	"netsplit/kit/grade"
	"netsplit/kit/lab"
	"netsplit/labs"
	"netsplit/solutions"
)

// catalog loads the labs that this binary carries.
func catalog() (lab.Catalog, error) { return lab.Load(labs.FS, solutions.FS, labs.All()) }

// book is the student's progress in the state folder.
func book() (lab.Book, error) {
	home, err := cluster.Home()
	return lab.OpenBook(home), err
}

// target is what "grade" was pointed at.
type target struct {
	lab *lab.Lab
	dir string
}

// findTarget reads DIR|LAB: a folder that is a workspace, the name of a lab whose workspace is known, or with
// nothing given the workspace around the current folder.
func findTarget(c lab.Catalog, arg string) (target, error) {
	if arg == "" {
		dir, m, err := lab.FindWorkspace(".")
		return labTarget(c, dir, m, err)
	}
	if info, err := os.Stat(arg); err == nil && info.IsDir() {
		dir, m, err := lab.FindWorkspace(arg)
		return labTarget(c, dir, m, err)
	}
	l, err := c.Find(arg)
	if err != nil {
		return target{}, err
	}
	dir, err := workspaceOf(l)
	return target{l, dir}, err
}

func labTarget(c lab.Catalog, dir string, m lab.Marker, err error) (target, error) {
	if err != nil {
		return target{}, err
	}
	l, err := c.Find(m.Lab)
	return target{l, dir}, err
}

// workspaceOf finds where a student works on a lab: the current workspace, a folder named after the lab, or where it was
// graded or started last.
func workspaceOf(l *lab.Lab) (string, error) {
	if dir, m, err := lab.FindWorkspace("."); err == nil && m.Lab == l.Slug {
		return dir, nil
	}
	tries := []string{l.Slug}
	if b, err := book(); err == nil {
		if p, err := b.Read(); err == nil && p.Labs[l.Slug] != nil {
			tries = append(tries, p.Labs[l.Slug].LastDir)
		}
	}
	for _, dir := range tries {
		if m, err := lab.ReadMarker(dir); dir != "" && err == nil && m.Lab == l.Slug {
			return dir, nil
		}
	}
	return "", &kit.Error{Op: "find workspace", What: "of lab " + l.Slug, Kind: kit.NotFound, Err: errors.New("none is known"),
		Hint: fmt.Sprintf("name its folder, make one with \"netsplit lab start %s\", or grade the reference with --solution", l.Slug)}
}

// broken makes an error of a grading verb end the program with its own status, so that a script cannot take it
// for a verdict.
func broken(err error) error {
	if err == nil {
		return nil
	}
	var exit exitCode
	if errors.As(err, &exit) {
		return err
	}
	return exitCode{grade.ExitBroken, err}
}

// grading makes a command's every error a broken harness, flags and arguments included.
func grading(cmd *cobra.Command) *cobra.Command {
	args, run := cmd.Args, cmd.RunE
	cmd.Args = func(cmd *cobra.Command, a []string) error { return broken(args(cmd, a)) }
	cmd.RunE = func(cmd *cobra.Command, a []string) error { return broken(run(cmd, a)) }
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return broken(&kit.Error{Kind: kit.Invalid, Err: err, Hint: fmt.Sprintf("%q lists the flags", cmd.CommandPath()+" --help")})
	})
	return cmd
}
