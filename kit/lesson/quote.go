package lesson

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	gast "github.com/yuin/goldmark/ast"

	"netsplit/kit"
)

var directiveForm = regexp.MustCompile(`^\{\{\s*([a-z]+)((?:\s+"[^"]*")*)((?:\s+[a-z]+="[^"]*")*)\s*\}\}$`)
var directiveArg = regexp.MustCompile(`"([^"]*)"`)

// directive resolves {{code "FILE" "REGION"}} and {{output "NAME"}}; nil after a fault.
func (s *shaper) directive(d *directive, line int) gast.Node {
	m := directiveForm.FindStringSubmatch(d.line)
	if m == nil {
		s.fault(line, `cannot read %s; write {{code "FILE" "REGION"}} or {{output "NAME"}}`, clip(d.line, 60))
		return nil
	}
	var args []string
	for _, a := range directiveArg.FindAllStringSubmatch(m[2], -1) {
		args = append(args, a[1])
	}
	at := s.attrs(m[3], line, "tab", "title")
	var made *code
	var err error
	switch {
	case m[1] == "code" && (len(args) == 1 || len(args) == 2):
		made, err = s.quote(args)
	case m[1] == "output" && len(args) == 1:
		made, err = s.output(args[0])
	default:
		err = fmt.Errorf(`write {{code "FILE" "REGION"}} or {{output "NAME"}}`)
	}
	if err != nil {
		s.fault(line, "%v", err)
		return nil
	}
	made.tab = at["tab"]
	if at["title"] != "" {
		made.title = at["title"]
	}
	return made
}

// output takes a recorded run from output/<name>.txt in the lessons folder.
func (s *shaper) output(name string) (*code, error) {
	file := path.Join("output", name+".txt")
	src, err := fs.ReadFile(s.ld.src.Lessons, file)
	if err != nil {
		return nil, fmt.Errorf("there is no recorded output lessons/%s", file)
	}
	text, ok := checkText(s.ld.r, file, src)
	if !ok {
		return nil, fmt.Errorf("the recorded output %s cannot be shown", file)
	}
	return &code{lang: "console", text: strings.TrimRight(string(text), "\n")}, nil
}

// quote takes a file, or a region of it.
func (s *shaper) quote(args []string) (*code, error) {
	file := args[0]
	lang := langOf(file)
	switch {
	case !fs.ValidPath(file):
		return nil, fmt.Errorf("%q is no path in the repository", file)
	case lang == "":
		return nil, fmt.Errorf("%s cannot be quoted: only Go, Starlark, YAML, JSON and shell files can", file)
	case s.ld.src.Quotes == nil:
		return nil, fmt.Errorf("there is no file %s", file)
	}
	src, err := fs.ReadFile(s.ld.src.Quotes, file)
	if err != nil {
		return nil, fmt.Errorf("there is no file %s", file)
	}
	body, ok := checkText(s.ld.r, file, src)
	if !ok {
		return nil, fmt.Errorf("%s cannot be quoted", file)
	}
	lines := strings.Split(strings.TrimRight(string(body), "\n"), "\n")
	if len(args) == 2 {
		if lines, err = region(file, string(body), lines, args[1]); err != nil {
			return nil, err
		}
	}
	lines = dedent(dropMarkers(lines))
	if len(lines) > maxQuote {
		return nil, fmt.Errorf("%s has %d lines; quote a region of at most %d", strings.Join(args, " "), len(lines), maxQuote)
	}
	return &code{lang: lang, text: strings.Join(lines, "\n"), title: file}, nil
}

var marker = regexp.MustCompile(`^\s*(?://|#|%+)\s*(region|endregion)(?::\s*(.+?))?\s*$`)

// region gives the lines between "// region: NAME" and "// endregion: NAME" (or with # for a comment), or, in
// a Go file, the declaration called NAME or TYPE.METHOD. An endregion without a name ends the innermost region.
func region(file, src string, lines []string, name string) ([]string, error) {
	start := -1
	var known, open []string
	for i, line := range lines {
		m := marker.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		if m[1] == "region" {
			if m[2] == name {
				start = i + 1
			}
			known, open = append(known, m[2]), append(open, m[2])
			continue
		}
		ends := m[2]
		if n := len(open); ends == "" && n > 0 {
			ends = open[n-1]
		}
		if ends == name && start >= 0 {
			return lines[start:i], nil
		}
		open = slices.DeleteFunc(open, func(o string) bool { return o == ends })
	}
	if start >= 0 {
		return nil, fmt.Errorf("%s: the region %q has no end", file, name)
	}
	if strings.HasSuffix(file, ".go") {
		found, decls, err := declaration(src, lines, name)
		if err != nil {
			return nil, fmt.Errorf("%s does not parse: %v", file, err)
		}
		if found != nil {
			return found, nil
		}
		known = append(known, decls...)
	}
	if n := kit.Near(name, known); len(n) > 0 {
		return nil, fmt.Errorf("%s has no region %q; did you mean %q?", file, name, n[0])
	}
	return nil, fmt.Errorf("%s has no region %q", file, name)
}

// declaration finds a top-level Go declaration with its comment.
func declaration(src string, lines []string, name string) (found, names []string, err error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "", src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, nil, err
	}
	cut := func(doc *ast.CommentGroup, n ast.Node) []string {
		from := n.Pos()
		if doc != nil {
			from = doc.Pos()
		}
		return lines[fset.Position(from).Line-1 : fset.Position(n.End()).Line]
	}
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			own := receiver(d) + d.Name.Name
			if names = append(names, own); own == name {
				return cut(d.Doc, d), names, nil
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				ts, ok := spec.(*ast.TypeSpec)
				if !ok {
					continue
				}
				if names = append(names, ts.Name.Name); ts.Name.Name != name {
					continue
				}
				if len(d.Specs) == 1 {
					return cut(d.Doc, d), names, nil
				}
				return cut(ts.Doc, ts), names, nil
			}
		}
	}
	return nil, names, nil
}

// receiver gives "T." for a method of T or *T, and nothing for a function.
func receiver(d *ast.FuncDecl) string {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return ""
	}
	typ := d.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if id, ok := typ.(*ast.Ident); ok {
		return id.Name + "."
	}
	return ""
}

// dropMarkers removes the lines that only address regions.
func dropMarkers(lines []string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return marker.MatchString(l) })
}

// dedent removes the indentation that all lines share and blank lines at both ends.
func dedent(lines []string) []string {
	for len(lines) > 0 && strings.TrimSpace(lines[0]) == "" {
		lines = lines[1:]
	}
	for len(lines) > 0 && strings.TrimSpace(lines[len(lines)-1]) == "" {
		lines = lines[:len(lines)-1]
	}
	indent, set := "", false
	for _, l := range lines {
		if strings.TrimSpace(l) == "" {
			continue
		}
		own := l[:len(l)-len(strings.TrimLeft(l, " \t"))]
		if !set {
			indent, set = own, true
		}
		for !strings.HasPrefix(own, indent) {
			indent = indent[:len(indent)-1]
		}
	}
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = strings.TrimPrefix(l, indent)
	}
	return out
}
