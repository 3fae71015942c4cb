package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"netsplit/kit"
	"netsplit/kit/lab"
	"netsplit/kit/lesson"
)

func newNewCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "new",
		Short: "Begin a lab or a lesson of your own",
		Long: "Writes what an instructor begins with into a checkout of this project: a small lab or lesson that is sound as it\n" +
			"stands, to be changed step by step. Nothing that exists is overwritten.",
		Example: "  netsplit new lab wrong-order --kind script\n  netsplit new lesson store/lock-order",
		Args:    refuseUnknown,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newNewLabCmd(), newNewLessonCmd())
	return cmd
}

func newNewLabCmd() *cobra.Command {
	kind := string(lab.Script)
	cmd := &cobra.Command{
		Use:   "lab NAME",
		Short: "Begin a lab: brief, checks, starter, solution, wrong answers",
		Long: "Writes labs/NAME and solutions/NAME and adds the lab to labs/labs.go. What it writes is a small lab that passes\n" +
			"\"netsplit check\" as it stands. A lab is Go code inside the program, so check it with the program built anew:\n" +
			"go run ./cmd/netsplit check NAME. \"go doc ./kit/lab\" tells what a lab is made of.",
		Example: "  netsplit new lab wrong-order\n  netsplit new lab fair-lock --kind code\n  netsplit new lab who-is-late --kind answer",
		Args:    oneName("lab", "wrong-order"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return newLab(cmd.OutOrStdout(), args[0], lab.Kind(kind))
		},
	}
	cmd.Flags().StringVar(&kind, "kind", kind, "what is graded: script, code (a Go program) or answer (questions about a cluster)")
	return cmd
}

func newNewLessonCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "lesson PART/NAME",
		Short: "Begin a lesson: code in three languages, a diagram, a question, something to run",
		Long: "Writes lessons/PART/NN-NAME.md with the next number of its part. The part must stand in lessons/course.yaml.\n" +
			"\"go doc ./kit/lesson\" tells what a lesson may hold.",
		Example: "  netsplit new lesson store/lock-order\n  netsplit new lesson 4-splits/quorums",
		Args:    oneName("lesson", "store/lock-order"),
		RunE:    func(cmd *cobra.Command, args []string) error { return newLessonIn(cmd.OutOrStdout(), args[0]) },
	}
}

func oneName(what, example string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usage(cmd, fmt.Sprintf("it takes the name of one new %s, as in %q", what, cmd.CommandPath()+" "+example))
		}
		return nil
	}
}

func newLab(out io.Writer, slug string, kind lab.Kind) error {
	files, err := lab.Scaffold(slug, kind)
	if err != nil {
		return err
	}
	root, err := openCheckout()
	if err != nil {
		return err
	}
	defer root.Close()
	for _, dir := range []string{"labs/" + slug, "solutions/" + slug} {
		if err := free(root, dir); err != nil {
			return err
		}
	}
	list, err := root.ReadFile(lab.ListFile)
	if err != nil {
		return notWhole(err)
	}
	more, err := lab.AddToList(list, slug)
	if err != nil {
		return err
	}
	if err := writeAll(root, files, func() error { return replace(root, lab.ListFile, more) }); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(out, "  %s\n", name)
	}
	fmt.Fprintf(out, "  %s (the lab is now in the list)\n\n", lab.ListFile)
	fmt.Fprintf(out, "%s is a lab of kind %s. It is sound as it stands; see for yourself, change it, and check again:\n\n", slug, kind)
	fmt.Fprintf(out, "  go run ./cmd/netsplit check %s              # the starter fails, the solution passes, every wrong answer is caught\n", slug)
	fmt.Fprintf(out, "  go run ./cmd/netsplit lab start %s WORKDIR  # what a student begins with\n", slug)
	fmt.Fprintf(out, "  go run ./cmd/netsplit grade %s --solution   # what a student is shown\n", slug)
	return nil
}

func newLessonIn(out io.Writer, arg string) error {
	part, name, ok := strings.Cut(arg, "/")
	if !ok {
		return &kit.Error{Op: "name a lesson", What: fmt.Sprintf("%.80q", arg), Kind: kit.Invalid, Err: errors.New("it does not say in which part"),
			Hint: "write PART/NAME, as in store/lock-order"}
	}
	root, err := openCheckout()
	if err != nil {
		return err
	}
	defer root.Close()
	lessons, err := fs.Sub(root.FS(), "lessons")
	if err != nil {
		return err
	}
	file, text, err := lesson.Scaffold(lessons, part, name)
	if err != nil {
		return err
	}
	file = path.Join("lessons", file)
	if err := writeAll(root, map[string][]byte{file: text}, func() error { return nil }); err != nil {
		return err
	}
	fmt.Fprintf(out, "  %s\n\nIt is sound as it stands; see for yourself, change it, and check again:\n\n", file)
	fmt.Fprintf(out, "  go run ./cmd/netsplit read %s   # in the terminal\n", name)
	fmt.Fprintf(out, "  go run ./cmd/netsplit serve     # on a page\n")
	fmt.Fprintf(out, "  go test ./lessons               # links, code, diagrams, width\n")
	return nil
}

// openCheckout opens the folder of this project around the current folder: its go.mod says "module netsplit". What is written
// through it cannot leave it.
func openCheckout() (*os.Root, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, &kit.Error{Op: "find the checkout", Kind: kit.Unavailable, Err: err}
	}
	for at := dir; ; at = filepath.Dir(at) {
		if src, err := os.ReadFile(filepath.Join(at, "go.mod")); err == nil && isOurs(string(src)) {
			root, err := os.OpenRoot(at)
			if err != nil {
				return nil, &kit.Error{Op: "open the checkout", What: at, Kind: kit.Unavailable, Err: err}
			}
			return root, nil
		}
		if at == filepath.Dir(at) {
			break
		}
	}
	return nil, &kit.Error{Op: "find the checkout", Kind: kit.NotFound, Err: errors.New("this folder is in no checkout of netsplit"),
		Hint: "labs and lessons are part of the program: get its sources, go to their folder and say it there; its go.mod begins with \"module netsplit\""}
}

// isOurs reads the module's name off a go.mod.
func isOurs(mod string) bool {
	for line := range strings.Lines(mod) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "module" {
			return f[1] == "netsplit" || f[1] == `"netsplit"`
		}
	}
	return false
}

func notWhole(err error) error {
	return &kit.Error{Op: "read the checkout", Kind: kit.NotFound, Err: err, Hint: "is this the whole of the project's sources? nothing was changed"}
}

// free wants nothing to stand under a name.
func free(root *os.Root, name string) error {
	_, err := root.Lstat(name)
	switch {
	case err == nil:
		return &kit.Error{Op: "make", What: name, Kind: kit.Exists, Err: errors.New("it is there already"), Hint: "nothing was changed; take another name, or move it away"}
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return notWhole(err)
}

// writeAll writes new files and then calls last. When anything fails, what was written is removed again.
func writeAll(root *os.Root, files map[string][]byte, last func() error) (err error) {
	var made []string // files and folders, in order
	defer func() {
		if err == nil {
			return
		}
		for _, name := range slices.Backward(made) {
			_ = root.Remove(name) // a folder that has got something else meanwhile stays
		}
	}()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := free(root, name); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		dirs, err := makeDirs(root, path.Dir(name))
		made = append(made, dirs...)
		if err != nil {
			return cannotWrite(name, err)
		}
		f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil {
			return cannotWrite(name, err)
		}
		made = append(made, name)
		_, err = f.Write(files[name])
		if err := errors.Join(err, f.Close()); err != nil {
			return cannotWrite(name, err)
		}
	}
	return last()
}

// makeDirs makes a folder and those above it, and says which were not there.
func makeDirs(root *os.Root, dir string) (made []string, err error) {
	at := ""
	for name := range strings.SplitSeq(dir, "/") {
		at = path.Join(at, name)
		switch err := root.Mkdir(at, 0o755); {
		case err == nil:
			made = append(made, at)
		case !errors.Is(err, fs.ErrExist):
			return made, err
		}
	}
	return made, nil
}

// replace puts a new content in the place of a file, in one step.
func replace(root *os.Root, name string, text []byte) error {
	tmp := name + ".new"
	f, err := root.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return cannotWrite(tmp, err)
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = root.Rename(tmp, name)
	}
	if err != nil {
		return cannotWrite(name, errors.Join(err, root.Remove(tmp)))
	}
	return nil
}

func cannotWrite(name string, err error) error {
	return &kit.Error{Op: "write", What: name, Kind: kit.Unavailable, Err: err, Hint: "nothing was changed"}
}
