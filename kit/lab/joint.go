package lab

import (
	"context"
	"fmt"
	"go/parser"
	"go/token"
	"maps"
	"slices"
	"strings"

	"netsplit/kit/sim"
)

// entryFile is the file that a joined program gets: it exports its main function.
const entryFile = "joint_entry.go"

// joint makes one program of many, each in a package of its own, of which the one is run that the first argument names. What they have
// in common, nearly all of it, is then compiled, linked and made machine code of once, and not a hundred times. A program
// that has packages below its root cannot be joined; nil is then given.
func joint(module string, programs []map[string][]byte) map[string][]byte {
	all := map[string][]byte{}
	var imports, cases strings.Builder
	for i, files := range programs {
		pkg := jointName(i)
		for name, src := range files {
			renamed, ok := inPackage(pkg, src)
			if !ok || strings.Contains(name, "/") || name == entryFile {
				return nil
			}
			all[pkg+"/"+name] = renamed
		}
		all[pkg+"/"+entryFile] = fmt.Appendf(nil, "package %s\n\n// Main is the program.\nfunc Main() { main() }\n", pkg)
		fmt.Fprintf(&imports, "\t%q\n", module+"/"+pkg)
		fmt.Fprintf(&cases, "\tcase %q:\n\t\t%s.Main()\n", pkg, pkg)
	}
	all["main.go"] = fmt.Appendf(nil, "package main\n\nimport (\n\t\"os\"\n\n%s)\n\nfunc main() {\n\tname := os.Args[1]\n\tos.Args = os.Args[:1]\n\tswitch name {\n%s\t}\n}\n",
		imports.String(), cases.String())
	return all
}

func jointName(i int) string { return fmt.Sprintf("program%d", i) }

// inPackage moves a file of package main into another package.
func inPackage(pkg string, src []byte) (moved []byte, ok bool) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "", src, parser.PackageClauseOnly)
	if err != nil || f.Name.Name != "main" {
		return nil, false
	}
	at := fset.Position(f.Name.Pos()).Offset
	return append(append(append([]byte{}, src[:at]...), pkg...), src[at+len("main"):]...), true
}

// buildAll compiles many programs as one. When that cannot be done the list is empty, and each is to be compiled by itself, which also
// tells what is wrong with it.
func (s *System) buildAll(ctx context.Context, module string, programs []map[string][]byte) ([]Program, error) {
	files := joint(module, programs)
	if files == nil {
		return nil, nil
	}
	p, err := s.build(ctx, Source{Module: module, Files: files})
	if err != nil {
		return nil, context.Cause(ctx)
	}
	var all []Program
	for i := range programs {
		one := *p.(*sim.Program)
		one.Args = []string{jointName(i)}
		all = append(all, &one)
	}
	return all, nil
}

// withJoint gives a grader that has programs compiled already, as one. It grades those as it would without, only sooner.
func (g *Grader) withJoint(ctx context.Context, l *Lab, subs []Submission) (*Grader, error) {
	if l.Manifest.Kind != Code || g.Env.BuildAll == nil {
		return g, nil
	}
	distinct := map[string]map[string][]byte{}
	for _, sub := range subs {
		if sub.forbidden() == nil {
			distinct[digest(sub.Files)] = sub.Files
		}
	}
	var keys []string
	var programs []map[string][]byte
	for _, key := range slices.Sorted(maps.Keys(distinct)) {
		keys, programs = append(keys, key), append(programs, distinct[key])
	}
	g.say("%s: compiling %d programs", l.Slug, len(programs))
	built, err := g.Env.BuildAll(ctx, l.Slug, programs)
	if err != nil || len(built) == 0 {
		return g, err
	}
	known := map[string]Program{}
	for i, key := range keys {
		known[key] = built[i]
	}
	one := *g
	one.Env.Build = func(ctx context.Context, src Source) (Program, error) {
		if p, ok := known[digest(src.Files)]; ok && src.Tests == nil && src.Module == l.Slug {
			return p, nil
		}
		return g.Env.Build(ctx, src)
	}
	return &one, nil
}
