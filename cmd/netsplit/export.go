package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"netsplit/kit"
	"netsplit/kit/bundle"
	"netsplit/kit/lab"
)

// exportFlags are the flags of "export".
type exportFlags struct {
	out, binary string
	seed        uint64
	seedGiven   bool
	force       bool
	noShrink    bool
}

// maxBinary bounds the program that a bundle carries.
const maxBinary = 256 << 20

// buildStatic is how a program is made that runs in every image.
const buildStatic = "CGO_ENABLED=0 GOOS=linux GOARCH=amd64 go build -trimpath -ldflags='-s -w' -o netsplit-linux ./cmd/netsplit"

func newExportCmd() *cobra.Command {
	var f exportFlags
	var names, described []string
	var about strings.Builder
	for _, s := range bundle.Systems() {
		names = append(names, s.Name)
		described = append(described, cobra.CompletionWithDesc(s.Name, s.About))
		fmt.Fprintf(&about, "  %-12s %s\n", s.Name, s.About)
	}
	cmd := &cobra.Command{
		Use:   "export " + strings.Join(names, "|") + " LAB",
		Short: "Make what a course needs to have a lab graded elsewhere",
		Long: "Writes all that another system needs to grade a lab: the grader itself, the scripts that run it there, the starter\n" +
			"for students, and a README.md for you that says what to do with it, what it needs, and how to change the seed.\n\n" +
			about.String() + "\n" +
			"The bundle carries this very program, or that of --binary. There it must run on Linux on amd64 with nothing\n" +
			"installed, which one built so does:\n  " + buildStatic + "\n\n" +
			"On Gradescope and Classroom 50 everybody is graded with one seed, drawn now or that of --seed; on GitHub, where\n" +
			"students can read it, each grade draws its own unless --seed is given.",
		Example: "  netsplit export gradescope dirty-reads                      # dirty-reads-gradescope.zip\n" +
			"  netsplit export classroom50 distributed-counter --out ./counter --binary ./netsplit-linux\n" +
			"  netsplit export github dirty-reads --out ./template --seed 42",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usage(cmd, "export needs a system ("+strings.Join(names, ", ")+") and a LAB")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			f.seedGiven = cmd.Flags().Changed("seed")
			return runExport(cmd, args[0], args[1], f)
		},
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			switch len(args) {
			case 0:
				return described, cobra.ShellCompDirectiveNoFileComp
			case 1:
				return labNames(), cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.out, "out", "", "a folder that is empty or not there yet, or a file that ends in .zip\n(default: LAB-SYSTEM, for Gradescope LAB-gradescope.zip)")
	flags.StringVar(&f.binary, "binary", "", "the netsplit that grades there (default: this program)")
	flags.Uint64Var(&f.seed, "seed", 0, "what everybody is graded with (0: each grade draws its own)")
	flags.BoolVar(&f.noShrink, "no-shrink", false, "have failures explained there with the run that failed, without the search of a few seconds\n"+
		"for the shortest one (code labs; SHRINK in the bundle's netsplit.conf)")
	flags.BoolVar(&f.force, "force", false, "overwrite a zip that is there")
	return cmd
}

// labNames lists the labs, for completion.
func labNames() []string {
	c, err := catalog()
	if err != nil {
		return nil
	}
	var names []string
	for _, l := range c.All() {
		names = append(names, cobra.CompletionWithDesc(l.Slug, l.Manifest.Title))
	}
	return names
}

func runExport(cmd *cobra.Command, system, slug string, f exportFlags) error {
	s, err := bundle.Find(system)
	if err != nil {
		return err
	}
	c, err := catalog()
	if err != nil {
		return err
	}
	l, err := c.Find(slug)
	if err != nil {
		return err
	}
	seed := f.seed
	if !f.seedGiven && (!s.Drawn || l.Manifest.Kind == lab.Answer) {
		seed = lab.DrawSeed()
	}
	out := f.out
	if out == "" {
		if out = l.Slug + "-" + s.Name; s.Zip {
			out += ".zip"
		}
	}
	zip := strings.HasSuffix(out, ".zip")
	if _, err := os.Lstat(out); zip && err == nil && !f.force {
		return &kit.Error{Op: "write bundle", What: out, Kind: kit.Exists, Err: errors.New("it is there already"), Hint: "--force overwrites it"}
	}
	program, err := readBinary(f.binary)
	if err != nil {
		return err
	}
	if why := bundle.Unfit(program); why != "" {
		fmt.Fprintf(cmd.ErrOrStderr(), "netsplit: warning: the bundle carries a program that will not run everywhere: %s\nhint: build one with\n  %s\nand export again with --binary netsplit-linux\n", why, buildStatic)
	}
	files, err := s.Make(bundle.Spec{Lab: l, Seed: seed, Program: program, Version: lab.Version(), NoShrink: f.noShrink})
	if err != nil {
		return err
	}
	if zip {
		var b bytes.Buffer
		if err := bundle.Zip(&b, files); err != nil {
			return err
		}
		err = replaceFile(out, b.Bytes())
	} else {
		err = bundle.WriteDir(out, files)
	}
	if err != nil {
		return err
	}
	said := "each grade draws its own seed"
	if seed != 0 {
		said = fmt.Sprintf("everybody is graded with seed %d", seed)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "wrote %s: %d files, %s\nnext: read its README.md\n", out, len(files), said)
	return nil
}

// readBinary reads the program that a bundle carries.
func readBinary(name string) ([]byte, error) {
	bad := func(kind kit.Kind, err error) error {
		return &kit.Error{Op: "read program", What: name, Kind: kind, Err: err, Hint: "--binary names a netsplit that runs on Linux"}
	}
	if name == "" {
		var err error
		if name, err = os.Executable(); err != nil {
			return nil, bad(kit.Broken, err)
		}
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, bad(kit.NotFound, err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, bad(kit.Invalid, errors.Join(err, errors.New("it is no ordinary file")))
	}
	b, err := io.ReadAll(io.LimitReader(f, maxBinary+1))
	switch {
	case err != nil:
		return nil, bad(kit.Refused, err)
	case len(b) > maxBinary:
		return nil, bad(kit.Invalid, fmt.Errorf("it has more than %d bytes", maxBinary))
	case len(b) == 0:
		return nil, bad(kit.Invalid, errors.New("it is empty"))
	}
	return b, nil
}
