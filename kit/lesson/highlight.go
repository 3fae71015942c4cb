package lesson

import (
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// tokenKind says how a piece of code is shown; its letter is the CSS class on a page.
type tokenKind byte

const (
	plainText   tokenKind = 0
	keyword     tokenKind = 'k'
	stringText  tokenKind = 's'
	commentText tokenKind = 'c'
	numberText  tokenKind = 'n'
	callText    tokenKind = 'f' // a name that is called
	atomText    tokenKind = 'a' // atoms, constants, module names
	variable    tokenKind = 'v' // Erlang's variables, the shell's $X
	promptText  tokenKind = 'p'
	outputText  tokenKind = 'o' // what a command printed
)

type codeToken struct {
	kind tokenKind
	text string
}

// language is what the highlighter needs to know. It colours what helps to read; it does not parse.
type language struct {
	name     string
	exts     []string
	comments []string    // that run to the end of the line
	spans    [][2]string // strings and comments over several lines: opening, closing
	quotes   string      // strings within one line
	keywords string
	atoms    string                      // constants
	name1    func(word string) tokenKind // kind of a word that is neither; may be nil
	colon    bool                        // ":name" is an atom (Elixir)
}

var languages = []language{
	{name: "go", exts: []string{".go"}, comments: []string{"//"}, spans: [][2]string{{"`", "`"}, {"/*", "*/"}}, quotes: `"'`,
		keywords: "break case chan const continue default defer else fallthrough for func go goto if import interface map package range return select struct switch type var",
		atoms:    "nil true false iota any bool byte error float64 int int64 string uint64"},
	{name: "starlark", exts: []string{".star"}, comments: []string{"#"}, spans: [][2]string{{`"""`, `"""`}}, quotes: `"'`,
		keywords: "and break continue def elif else for if in lambda load not or pass return while", atoms: "None True False"},
	{name: "erlang", comments: []string{"%"}, quotes: `"'`, name1: erlangWord,
		keywords: "after begin case catch end fun if of receive try when and andalso or orelse not div rem"},
	{name: "elixir", comments: []string{"#"}, spans: [][2]string{{`"""`, `"""`}}, quotes: `"'`, name1: elixirWord, colon: true,
		keywords: "after and case catch cond def defmodule defp defstruct do else end fn for if in not or receive rescue try unless use when with import alias require", atoms: "nil true false"},
	{name: "sh", exts: []string{".sh"}, comments: []string{"#"}, quotes: `"'`, name1: shellWord,
		keywords: "if then else fi for in do done while case esac function"},
	{name: "json", exts: []string{".json"}, quotes: `"`, atoms: "true false null"},
	{name: "yaml", exts: []string{".yaml", ".yml"}, comments: []string{"#"}, quotes: `"'`, atoms: "true false null"},
	{name: "console"}, // "$ command" or ">>> expression", then what was printed
	{name: "text"},
}

func erlangWord(w string) tokenKind {
	if r, _ := utf8.DecodeRuneInString(w); r == '_' || unicode.IsUpper(r) {
		return variable
	}
	return plainText
}

func elixirWord(w string) tokenKind {
	if r, _ := utf8.DecodeRuneInString(w); unicode.IsUpper(r) {
		return atomText
	}
	return plainText
}

func shellWord(w string) tokenKind {
	if w == "netsplit" || w == "go" || w == "git" || w == "cd" {
		return callText
	}
	return plainText
}

func languageOf(name string) (language, bool) {
	i := slices.IndexFunc(languages, func(l language) bool { return l.name == name })
	if i < 0 {
		return language{}, false
	}
	return languages[i], true
}

func knownLang(name string) bool { _, ok := languageOf(name); return ok }

func langNames() []string {
	var names []string
	for _, l := range languages {
		names = append(names, l.name)
	}
	return names
}

// langOf gives the language of a file by its ending; empty when it cannot be quoted.
func langOf(file string) string {
	for _, l := range languages {
		if slices.Contains(l.exts, path.Ext(file)) && path.Ext(file) != "" {
			return l.name
		}
	}
	return ""
}

// highlight parts code into tokens; their texts joined are the code again.
func highlight(lang, text string) []codeToken {
	l, ok := languageOf(lang)
	switch {
	case !ok || lang == "text":
		return []codeToken{{plainText, text}}
	case lang == "console":
		return console(text)
	}
	s := scanner{lang: l, rest: text}
	for s.rest != "" {
		s.next()
	}
	return s.out
}

// console colours a recorded run: prompts, what was typed after them, and answers.
func console(text string) []codeToken {
	var out []codeToken
	for i, line := range strings.Split(text, "\n") {
		if i > 0 {
			out = append(out, codeToken{plainText, "\n"})
		}
		typed := false
		for _, p := range [][2]string{{"$ ", "sh"}, {">>> ", "starlark"}, {"... ", "starlark"}, {"...", "starlark"}} {
			if rest, ok := strings.CutPrefix(line, p[0]); ok {
				out = append(out, codeToken{promptText, p[0]})
				if rest != "" {
					out = append(out, highlight(p[1], rest)...)
				}
				typed = true
				break
			}
		}
		if !typed && line != "" {
			out = append(out, codeToken{outputText, line})
		}
	}
	return out
}

type scanner struct {
	lang language
	rest string
	out  []codeToken
	prev byte // last byte that was no blank
}

// emit takes n bytes off the rest as one token, joined to the one before when both are plain.
func (s *scanner) emit(kind tokenKind, n int) {
	text := s.rest[:n]
	s.rest = s.rest[n:]
	if t := strings.TrimRight(text, " \t\n"); t != "" {
		s.prev = t[len(t)-1]
	}
	if last := len(s.out) - 1; last >= 0 && kind == plainText && s.out[last].kind == plainText {
		s.out[last].text += text
		return
	}
	s.out = append(s.out, codeToken{kind, text})
}

func (s *scanner) next() {
	for _, span := range s.lang.spans {
		if strings.HasPrefix(s.rest, span[0]) {
			kind := stringText
			if span[0] == "/*" {
				kind = commentText
			}
			s.emit(kind, spanEnd(s.rest, span))
			return
		}
	}
	for _, c := range s.lang.comments {
		if strings.HasPrefix(s.rest, c) && (c != "#" || s.prev != '$') {
			s.emit(commentText, lineEnd(s.rest))
			return
		}
	}
	r, size := utf8.DecodeRuneInString(s.rest)
	switch {
	case strings.ContainsRune(s.lang.quotes, r) && s.lang.quotes != "":
		s.emit(stringText, quotedEnd(s.rest))
	case s.lang.colon && r == ':' && len(s.rest) > 1 && isWord(rune(s.rest[1])) && s.prev != ':':
		s.emit(atomText, 1+wordEnd(s.rest[1:]))
	case unicode.IsDigit(r):
		s.emit(numberText, numberEnd(s.rest))
	case isWord(r):
		s.word(wordEnd(s.rest))
	case r == '$' && s.lang.name == "sh" && len(s.rest) > 1 && isWord(rune(s.rest[1])):
		s.emit(variable, 1+wordEnd(s.rest[1:]))
	default:
		s.emit(plainText, size)
	}
}

func (s *scanner) word(n int) {
	w := s.rest[:n]
	kind := plainText
	switch {
	case slices.Contains(strings.Fields(s.lang.keywords), w):
		kind = keyword
	case slices.Contains(strings.Fields(s.lang.atoms), w):
		kind = atomText
	case s.lang.name1 != nil && s.lang.name1(w) != plainText:
		kind = s.lang.name1(w)
	case n < len(s.rest) && s.rest[n] == '(' && s.lang.name != "sh":
		kind = callText
	}
	s.emit(kind, n)
}

func isWord(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }

func wordEnd(s string) int {
	for i, r := range s {
		if !isWord(r) {
			return i
		}
	}
	return len(s)
}

func numberEnd(s string) int {
	for i, r := range s {
		if !isWord(r) && (r != '.' || i+1 >= len(s) || s[i+1] < '0' || s[i+1] > '9') {
			return i
		}
	}
	return len(s)
}

func lineEnd(s string) int {
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		return i
	}
	return len(s)
}

func spanEnd(s string, span [2]string) int {
	if i := strings.Index(s[len(span[0]):], span[1]); i >= 0 {
		return len(span[0]) + i + len(span[1])
	}
	return len(s)
}

// quotedEnd gives the end of a string that ends with the quote it began with or, when that is missing, the line.
func quotedEnd(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '\n':
			return i
		case s[0]:
			return i + 1
		}
	}
	return len(s)
}
