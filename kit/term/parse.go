package term

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode/utf8"

	"netsplit/kit"
)

// FromJSON reads one value of the conformance format. b may come from anywhere: what is not exactly one
// value within the limits (MaxDepth, MaxTerms, MaxIntBits, MaxAtom) is kit.Invalid, naming the byte.
func FromJSON(b []byte) (Term, error) { return fromJSON(b, false) }

// FromStep reads a value as FromJSON does, but an object that is no form of the format becomes a map with
// atom keys: {"type":"bag","ram_copies":["a"]}. Steps of scenarios and options of the shell are written so.
func FromStep(b []byte) (Term, error) { return fromJSON(b, true) }

func fromJSON(b []byte, lenient bool) (Term, error) {
	r := jsonReader{src: b, left: MaxTerms, lenient: lenient}
	t := r.value(0)
	r.space()
	if r.err == nil && r.at < len(b) {
		r.fail("more text after the value")
	}
	if r.err != nil {
		return nil, &kit.Error{Op: "read value", Kind: kit.Invalid, What: fmt.Sprintf("at byte %d", r.at), Err: r.err}
	}
	return t, nil
}

// jsonReader walks a text once. err is why it stopped; after that every method returns zero values.
type jsonReader struct {
	src     []byte
	at      int
	left    int
	lenient bool
	err     error
}

func (r *jsonReader) fail(format string, args ...any) Term {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
	return nil
}

func (r *jsonReader) space() {
	for r.at < len(r.src) && (r.src[r.at] == ' ' || r.src[r.at] == '\n' || r.src[r.at] == '\t' || r.src[r.at] == '\r') {
		r.at++
	}
}

// next skips blanks and gives the byte there without taking it; 0 at the end.
func (r *jsonReader) next() byte {
	r.space()
	if r.err != nil || r.at >= len(r.src) {
		return 0
	}
	return r.src[r.at]
}

// take consumes c, or fails.
func (r *jsonReader) take(c byte) bool {
	if r.next() != c {
		r.fail("expected %q", string(c))
		return false
	}
	r.at++
	return true
}

func (r *jsonReader) value(depth int) Term {
	if r.left--; r.left < 0 {
		return r.fail("more than %d values", MaxTerms)
	}
	if depth > MaxDepth {
		r.err = errTooDeep
		return nil
	}
	switch c := r.next(); {
	case c == '"':
		return r.atom(r.str())
	case c == '[':
		return r.list(depth)
	case c == '{':
		return r.object(depth)
	case c == '-' || c >= '0' && c <= '9':
		return r.number()
	}
	return r.word()
}

func (r *jsonReader) word() Term {
	for _, w := range [...]string{"true", "false"} {
		if bytes.HasPrefix(r.src[r.at:], []byte(w)) {
			r.at += len(w)
			return Atom(w)
		}
	}
	if bytes.HasPrefix(r.src[r.at:], []byte("null")) {
		return r.fail("null is no value; the atom undefined is \"undefined\"")
	}
	return r.fail("expected a value")
}

func (r *jsonReader) number() Term {
	start := r.at
	if r.src[r.at] == '-' {
		r.at++
	}
	for r.at < len(r.src) && r.src[r.at] >= '0' && r.src[r.at] <= '9' {
		r.at++
	}
	if r.at < len(r.src) && (r.src[r.at] == '.' || r.src[r.at] == 'e' || r.src[r.at] == 'E') {
		return r.fail(`a float is written {"f":"1.5"}`)
	}
	return r.integer(string(r.src[start:r.at]))
}

// integer reads decimal digits with an optional minus sign, without leading zeros.
func (r *jsonReader) integer(s string) Term {
	digits := strings.TrimPrefix(s, "-")
	if digits == "" || len(digits) > 1 && digits[0] == '0' || strings.Trim(digits, "0123456789") != "" {
		return r.fail("no integer")
	}
	if len(digits) < 19 {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return r.fail("no integer")
		}
		return Int(n)
	}
	if len(digits) > MaxIntBits*3/10 { // a digit is 3.32 bits
		return r.fail("an integer of more than %d bits", MaxIntBits)
	}
	i, ok := new(big.Int).SetString(s, 10)
	if !ok {
		return r.fail("no integer")
	}
	return Integer(i)
}

func (r *jsonReader) list(depth int) Term {
	r.at++
	l := List{}
	if r.next() == ']' {
		r.at++
		return l
	}
	for r.err == nil {
		l = append(l, r.value(depth+1))
		if r.next() == ']' {
			r.at++
			return l
		}
		r.take(',')
	}
	return nil
}

// str reads a JSON string, which must be valid UTF-8.
func (r *jsonReader) str() string {
	if r.next() != '"' {
		r.fail("expected a string")
		return ""
	}
	start, plain := r.at, true
	for i := start + 1; i < len(r.src); i++ {
		switch c := r.src[i]; {
		case c == '\\':
			plain = false
			i++
		case c == '"':
			r.at = i + 1
			return r.unquote(r.src[start:r.at], plain)
		case c < ' ':
			r.fail("a control character in a string")
			return ""
		}
	}
	r.fail("a string without end")
	return ""
}

func (r *jsonReader) unquote(raw []byte, plain bool) string {
	if !utf8.Valid(raw) {
		r.fail("a string that is not UTF-8")
		return ""
	}
	if plain {
		return string(raw[1 : len(raw)-1])
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		r.fail("a damaged string")
	}
	return s
}

func (r *jsonReader) atom(s string) Term {
	if len(s) > MaxAtom && utf8.RuneCountInString(s) > MaxAtom {
		return r.fail("an atom of more than %d characters", MaxAtom)
	}
	return Atom(s)
}

// object reads {"form": ...}. With lenient set, an object that is no form becomes a map with atom keys.
func (r *jsonReader) object(depth int) Term {
	start := r.at
	r.at++
	if r.next() == '}' {
		if r.lenient {
			r.at++
			return Map{}
		}
		return r.fail("an empty object; an empty map is {\"m\":[]}")
	}
	key := r.str()
	if !r.take(':') {
		return nil
	}
	if t, known := r.form(key, depth); known {
		if r.next() != '}' {
			if r.lenient && r.err == nil {
				r.at = start
				return r.options(depth)
			}
			return r.fail("expected } after %s", quote(key))
		}
		r.at++
		return t
	}
	if !r.lenient {
		return r.fail("unknown form %s", quote(key))
	}
	r.at = start
	return r.options(depth)
}

// options reads an ordinary JSON object as a map with atom keys.
func (r *jsonReader) options(depth int) Term {
	r.at++
	var pairs []Pair
	seen := map[string]bool{}
	for r.err == nil {
		key := r.str()
		if seen[key] {
			return r.fail("the key %s twice", quote(key))
		}
		seen[key] = true
		if !r.take(':') {
			return nil
		}
		pairs = append(pairs, Pair{r.atom(key), r.value(depth + 1)})
		if r.next() == '}' {
			r.at++
			break
		}
		r.take(',')
	}
	if r.err != nil {
		return nil
	}
	return MakeMap(pairs...)
}

// form reads what follows the key of a one-key object; false when the key is no form of the format.
func (r *jsonReader) form(key string, depth int) (Term, bool) {
	c := r.next()
	switch key {
	case "t", "m":
		if c != '[' {
			return nil, false
		}
		l, _ := r.list(depth).(List)
		if key == "t" {
			return Tuple(l), true
		}
		return r.pairs(l), true
	case "s", "f", "i", "b64", "str", "pid", "node", "fun", "ref":
		if c != '"' {
			return nil, false
		}
		return r.scalar(key, r.str()), true
	}
	return nil, false
}

func (r *jsonReader) pairs(l List) Term {
	pairs := make([]Pair, len(l))
	for i, e := range l {
		p, ok := e.(List)
		if !ok || len(p) != 2 {
			return r.fail("a map is a list of pairs [key,value]")
		}
		pairs[i] = Pair{p[0], p[1]}
	}
	m := MakeMap(pairs...)
	if len(m) != len(l) {
		return r.fail("a map with one key twice")
	}
	return m
}

func (r *jsonReader) scalar(form, s string) Term {
	if r.err != nil {
		return nil
	}
	switch form {
	case "s":
		return Bin(s)
	case "f":
		return r.float(s)
	case "i":
		return r.integer(s)
	case "b64":
		raw, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			return r.fail("damaged base64")
		}
		return Bin(raw)
	case "str":
		return Str(s)
	case "node":
		return r.atom(s)
	case "pid":
		return r.pid(s)
	}
	if s != "?" {
		return r.fail("a %s is {%s:\"?\"}", form, quote(form))
	}
	return Opaque{Sort: form}
}

func (r *jsonReader) float(s string) Term {
	f, err := strconv.ParseFloat(s, 64)
	if errors.Is(err, strconv.ErrRange) && f == 0 {
		err = nil
	}
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) || strings.Trim(s, "0123456789.eE+-") != "" {
		return r.fail("no float: %s", quote(s))
	}
	return Float(f)
}

// pid reads NODE.NUMBER, or the name that a scenario gives to a process.
func (r *jsonReader) pid(s string) Term {
	if node, num, ok := strings.Cut(s, "."); ok {
		id, err := strconv.ParseUint(num, 10, 64)
		if err != nil || len(node) > kit.MaxNodeName {
			return r.fail("no process: %s", quote(s))
		}
		return Pid{Node: node, ID: id}
	}
	if s == "" || len(s) > MaxAtom {
		return r.fail("no process: %s", quote(s))
	}
	return Process(s)
}
