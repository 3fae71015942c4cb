package mnesia

import (
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"

	"netsplit/kit/term"
)

// Limits of a text of terms.
const (
	maxText      = 64 << 20 // bytes
	maxTextDepth = 100      // of nesting
)

// textReader reads terms as Erlang writes them: each ends with a dot. There are no expressions, and strings in
// double quotes are lists of character codes, as in Erlang.
type textReader struct {
	s    string
	pos  int
	line int
	err  error
}

// parseTerms reads all terms of a text.
func parseTerms(s string) (term.List, error) {
	r := &textReader{s: s, line: 1}
	if len(s) > maxText {
		return nil, fmt.Errorf("the text is longer than %d bytes", maxText)
	}
	out := term.List{}
	for r.space(); r.pos < len(r.s) && r.err == nil; r.space() {
		out = append(out, r.term(0))
		r.want(".")
	}
	return out, r.err
}

func (r *textReader) fail(format string, args ...any) term.Term {
	if r.err == nil {
		r.err = fmt.Errorf("line %d: %s", r.line, fmt.Sprintf(format, args...))
	}
	return term.List{}
}

// space skips white space and comments.
func (r *textReader) space() {
	for r.pos < len(r.s) {
		switch c := r.s[r.pos]; {
		case c == '\n':
			r.line++
		case c == '%':
			end := strings.IndexByte(r.s[r.pos:], '\n')
			if end < 0 {
				end = len(r.s) - r.pos
			}
			r.pos += end
			continue
		case c > ' ':
			return
		}
		r.pos++
	}
}

func (r *textReader) has(tok string) bool {
	r.space()
	if r.err != nil || !strings.HasPrefix(r.s[r.pos:], tok) {
		return false
	}
	r.pos += len(tok)
	return true
}

func (r *textReader) want(tok string) {
	if !r.has(tok) {
		r.fail("%q is expected", tok)
	}
}

func (r *textReader) term(depth int) term.Term {
	if depth > maxTextDepth {
		return r.fail("it is nested too deep")
	}
	switch {
	case r.has("{"):
		return term.Tuple(r.elements("}", depth))
	case r.has("["):
		return term.List(r.elements("]", depth))
	case r.has("#{"):
		return r.mapping(depth)
	case r.has("<<"):
		return r.binary()
	case r.has("\""):
		return term.Str(r.quoted('"'))
	case r.has("'"):
		return term.Atom(r.quoted('\''))
	}
	return r.word()
}

func (r *textReader) elements(end string, depth int) []term.Term {
	out := []term.Term{}
	if r.has(end) {
		return out
	}
	for {
		out = append(out, r.term(depth+1))
		if !r.has(",") {
			r.want(end)
			return out
		}
	}
}

func (r *textReader) mapping(depth int) term.Term {
	var pairs []term.Pair
	for !r.has("}") && r.err == nil {
		if len(pairs) > 0 {
			r.want(",")
		}
		k := r.term(depth + 1)
		r.want("=>")
		pairs = append(pairs, term.Pair{Key: k, Value: r.term(depth + 1)})
	}
	return term.MakeMap(pairs...)
}

// binary reads <<"text">>, <<"text"/utf8>> and <<1,2,3>>.
func (r *textReader) binary() term.Term {
	var b []byte
	for !r.has(">>") && r.err == nil {
		if len(b) > 0 {
			r.want(",")
		}
		if r.has("\"") {
			text := r.quoted('"')
			if !r.has("/utf8") && strings.IndexFunc(text, func(c rune) bool { return c > 255 }) >= 0 {
				return r.fail("a byte is at most 255")
			}
			b = append(b, text...)
			continue
		}
		n, ok := r.word().(term.Int)
		if !ok || n < 0 || n > 255 {
			return r.fail("a byte is expected")
		}
		b = append(b, byte(n))
	}
	return term.Bin(b)
}

var escapes = map[byte]rune{'n': '\n', 't': '\t', 'r': '\r', 'b': '\b', 'f': '\f', 'v': '\v', 'e': 27, 's': ' ', 'd': 127, '0': 0}

// quoted reads to the closing quote.
func (r *textReader) quoted(q byte) string {
	var b strings.Builder
	for r.pos < len(r.s) {
		c, n := utf8.DecodeRuneInString(r.s[r.pos:])
		r.pos += n
		switch {
		case c == rune(q):
			return b.String()
		case c == '\\' && r.pos < len(r.s):
			b.WriteRune(r.escaped())
			continue
		case c == '\n':
			r.line++
		}
		b.WriteRune(c)
	}
	r.fail("a quote is not closed")
	return ""
}

func (r *textReader) escaped() rune {
	rest := r.s[r.pos:]
	if strings.HasPrefix(rest, "x{") {
		if end := strings.IndexByte(rest, '}'); end > 0 {
			if n, err := strconv.ParseUint(rest[2:end], 16, 21); err == nil {
				r.pos += end + 1
				return rune(n)
			}
		}
		r.fail("a character's code is expected")
		return 0
	}
	c, n := utf8.DecodeRuneInString(rest)
	r.pos += n
	if e, ok := escapes[rest[0]]; ok {
		return e
	}
	return c
}

// word reads a plain atom or a number.
func (r *textReader) word() term.Term {
	r.space()
	begin := r.pos
	for r.pos < len(r.s) && r.inWord(begin) {
		r.pos++
	}
	w := r.s[begin:r.pos]
	switch {
	case w == "":
		return r.fail("a term is expected")
	case w[0] >= 'a' && w[0] <= 'z':
		return term.Atom(w)
	}
	if n, ok := new(big.Int).SetString(w, 10); ok && len(w) < 10_000 {
		return term.Integer(n)
	}
	if x, err := strconv.ParseFloat(w, 64); err == nil && strings.Contains(w, ".") {
		return term.Float(x)
	}
	return r.fail("%.40q is no term", w)
}

// inWord reports whether the character at pos belongs to the word that began at begin. A dot does when a digit
// follows, a sign at the beginning and in an exponent.
func (r *textReader) inWord(begin int) bool {
	c := r.s[r.pos]
	number := r.s[begin] < 'A'
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '@':
		return true
	case c == '.':
		return number && r.pos+1 < len(r.s) && r.s[r.pos+1] >= '0' && r.s[r.pos+1] <= '9'
	case c == '-', c == '+':
		return r.pos == begin || number && (r.s[r.pos-1] == 'e' || r.s[r.pos-1] == 'E')
	}
	return false
}
