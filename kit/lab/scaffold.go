package lab

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"go/token"
	"go/types"
	"io/fs"
	"path"
	"strings"
	"text/template"

	"netsplit/kit"
)

// templates are small labs, one of each kind: scaffold/<kind>/lab becomes labs/<slug>, scaffold/<kind>/solution becomes
// solutions/<slug>. The suffix .tmpl keeps the go command from taking them for packages; [[ and ]] stand around what is
// filled in, for Go and Starlark use braces.
//
//go:embed scaffold
var templates embed.FS

// Kinds are the kinds of labs there are.
func Kinds() []Kind { return []Kind{Script, Code, Answer} }

// Scaffold gives the files that a new lab begins with, by their path in a checkout: a small lab that is sound as it
// stands, for its author to change. The line in labs/labs.go is apart (AddToList). A name that cannot be a lab's, or a kind
// that there is not, is an error of kind Invalid.
func Scaffold(slug string, kind Kind) (map[string][]byte, error) {
	if err := CheckNewSlug(slug); err != nil {
		return nil, err
	}
	top := path.Join("scaffold", string(kind))
	if kind != Script && kind != Code && kind != Answer {
		return nil, &kit.Error{Op: "make a lab", What: fmt.Sprintf("of kind %q", kind), Kind: kit.Invalid,
			Err: errors.New("there is no such kind"), Hint: "the kinds are script (a script is graded), code (a Go program) and answer (questions about a cluster)"}
	}
	fill := map[string]string{"Slug": slug, "Package": packageOf(slug), "Title": titleOf(slug)}
	files := map[string][]byte{}
	err := fs.WalkDir(templates, top, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fillIn(name, fill)
		if err != nil {
			return err
		}
		part, rest, _ := strings.Cut(strings.TrimPrefix(strings.TrimSuffix(name, ".tmpl"), top+"/"), "/")
		folder := map[string]string{"lab": "labs", "solution": "solutions"}[part]
		files[path.Join(folder, slug, rest)] = text
		return nil
	})
	if err != nil {
		return nil, &kit.Error{Op: "make a lab", What: slug, Kind: kit.Broken, Err: err}
	}
	return files, nil
}

func fillIn(name string, with map[string]string) ([]byte, error) {
	src, err := templates.ReadFile(name)
	if err != nil {
		return nil, err
	}
	t, err := template.New(name).Delims("[[", "]]").Option("missingkey=error").Parse(string(src))
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	err = t.Execute(&out, with)
	return out.Bytes(), err
}

// packageOf is the name of a lab's Go package: its slug without the hyphens.
func packageOf(slug string) string { return strings.ReplaceAll(slug, "-", "") }

// titleOf makes a first title out of a slug: "wrong-order" is "Wrong order".
func titleOf(slug string) string {
	words := strings.ReplaceAll(slug, "-", " ")
	return strings.ToUpper(words[:1]) + words[1:]
}

// CheckNewSlug says whether a new lab may have this name: it becomes a folder, a Go package and an argument on the command line.
func CheckNewSlug(slug string) error {
	bad := func(cause, hint string) error {
		return &kit.Error{Op: "name a lab", What: fmt.Sprintf("%.80q", slug), Kind: kit.Invalid, Err: errors.New(cause), Hint: hint}
	}
	if !validSlug(slug) {
		return bad("it is no name for a lab", "use lower-case words joined by hyphens, at most 48 letters, as in wrong-order")
	}
	switch name := packageOf(slug); {
	case token.IsKeyword(name), types.Universe.Lookup(name) != nil,
		name == "main", name == "init", name == "internal", name == "vendor", name == "testdata":
		return bad("Go has its own use for that word, and a lab is a Go package", "add a word: "+slug+"-lab")
	case slug == "playground", strings.HasPrefix(slug, "playground-"):
		return bad(`"netsplit lab up" starts a cluster without a lab under that name`, "take another name")
	}
	return nil
}
