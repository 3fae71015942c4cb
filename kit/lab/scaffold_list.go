package lab

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strconv"

	"netsplit/kit"
)

// ListFile is where a checkout lists its labs.
const ListFile = "labs/labs.go"

// AddToList puts a lab into the source of labs/labs.go: an import, and an entry at the end of the list that func All
// returns. A source of another form is refused (kit.Invalid), with what to add by hand in the hint; a lab that is listed, or
// whose package's name is taken, is kit.Exists.
func AddToList(src []byte, slug string) ([]byte, error) {
	name, at := packageOf(slug), "netsplit/labs/"+slug
	refuse := func(err error) error {
		return &kit.Error{Op: "add the lab to", What: ListFile, Kind: kit.Invalid, Err: err,
			Hint: fmt.Sprintf("bring the file into the form of the others' (imports in parentheses, func All returns one list), "+
				"or add by hand: the import %s %q, and %s.Lab in the list", name, at, name)}
	}
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, ListFile, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, refuse(err)
	}
	if err := nameIsFree(f, slug); err != nil {
		return nil, err
	}
	imports, list := importBlock(f), listOf(f)
	if imports == nil || list == nil {
		return nil, refuse(errors.New("it does not have the form that is expected"))
	}
	offset := func(p token.Pos) int { return fset.Position(p).Offset }
	spec := strconv.Quote(at)
	if name != path.Base(at) {
		spec = name + " " + spec
	}
	entry, after := "\n\t\t"+name+".Lab,\n\t", offset(list.Lbrace)+1
	if n := len(list.Elts); n > 0 {
		end := offset(list.Elts[n-1].End())
		line := bytes.IndexByte(src[end:], '\n')
		if src[end] == ',' && line >= 0 && end+line < offset(list.Rbrace) { // a comment stays with its entry
			entry, after = "\n\t\t"+name+".Lab,", end+line
		} else {
			entry, after = ",\n\t\t"+name+".Lab", end
		}
	}
	last := imports.Specs[len(imports.Specs)-1]
	var out bytes.Buffer // the imports come first in any Go file
	out.Write(src[:offset(last.Pos())])
	out.WriteString(spec + "\n\t")
	out.Write(src[offset(last.Pos()):after])
	out.WriteString(entry)
	out.Write(src[after:])
	done, err := format.Source(out.Bytes()) // sorts the imports, too
	if err != nil {
		return nil, refuse(err)
	}
	return done, nil
}

// nameIsFree looks through the imports for the lab and for its package's name.
func nameIsFree(f *ast.File, slug string) error {
	name := packageOf(slug)
	taken := func(cause, hint string) error {
		return &kit.Error{Op: "add the lab to", What: ListFile, Kind: kit.Exists, Err: errors.New(cause), Hint: hint}
	}
	for _, i := range f.Imports {
		at, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			continue // the parser has accepted it, so it does not happen
		}
		known := path.Base(at)
		if i.Name != nil {
			known = i.Name.Name
		}
		switch {
		case at == "netsplit/labs/"+slug:
			return taken("the lab "+slug+" is listed already", "nothing was changed; take another name")
		case known == name:
			return taken(fmt.Sprintf("its package would be called %s, as that of %s is", name, at), "nothing was changed; add a word: "+slug+"-lab")
		}
	}
	return nil
}

// importBlock finds the import declaration in parentheses that has the labs in it.
func importBlock(f *ast.File) *ast.GenDecl {
	for _, d := range f.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.IMPORT && g.Lparen.IsValid() && len(g.Specs) > 0 {
			return g
		}
	}
	return nil
}

// listOf finds the composite literal in "func All() ... { return []lab.Definition{...} }".
func listOf(f *ast.File) *ast.CompositeLit {
	i := slices.IndexFunc(f.Decls, func(d ast.Decl) bool {
		fn, ok := d.(*ast.FuncDecl)
		return ok && fn.Recv == nil && fn.Name.Name == "All"
	})
	if i < 0 {
		return nil
	}
	body := f.Decls[i].(*ast.FuncDecl).Body
	if body == nil || len(body.List) != 1 {
		return nil
	}
	ret, ok := body.List[0].(*ast.ReturnStmt)
	if !ok || len(ret.Results) != 1 {
		return nil
	}
	lit, ok := ret.Results[0].(*ast.CompositeLit)
	if !ok {
		return nil
	}
	if _, ok := lit.Type.(*ast.ArrayType); !ok {
		return nil
	}
	return lit
}
