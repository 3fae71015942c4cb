package lab

import (
	"go/parser"
	"go/token"
	"strconv"
	"strings"
)

// peeks finds the first import of test files that shows more of a program than what it does: its lines, its code, its
// memory. What cannot be parsed is left to the compiler.
func peeks(tests map[string][]byte) (where, what string) {
	for _, name := range names(tests) {
		f, err := parser.ParseFile(token.NewFileSet(), name, tests[name], parser.ImportsOnly)
		if err != nil {
			continue
		}
		for _, spec := range f.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				continue
			}
			switch top, _, _ := strings.Cut(path, "/"); top {
			case "runtime", "unsafe", "debug", "syscall":
				return name, path
			}
		}
	}
	return "", ""
}
