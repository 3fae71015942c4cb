package term

import (
	"encoding/base64"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"netsplit/kit"
)

// ToJSON gives the JSON of t in the conformance format: "foo" for an atom, {"s":"text"} for a binary, {"t":[..]}
// for a tuple. It is one line. A term nested deeper than MaxDepth, or a NaN, is kit.Invalid.
func ToJSON(t Term) ([]byte, error) { return AppendJSON(nil, t) }

// AppendJSON appends what ToJSON gives to dst.
func AppendJSON(dst []byte, t Term) ([]byte, error) {
	w := jsonWriter{dst: dst}
	w.term(t, 0)
	if w.err != nil {
		return dst, &kit.Error{Op: "write value", Kind: kit.Invalid, Err: w.err}
	}
	return w.dst, nil
}

// MarshalJSON lets a term stand inside encoding/json values.
func (t Tuple) MarshalJSON() ([]byte, error) { return ToJSON(t) }

// MarshalJSON is as for Tuple.
func (l List) MarshalJSON() ([]byte, error) { return ToJSON(l) }

// MarshalJSON is as for Tuple.
func (m Map) MarshalJSON() ([]byte, error) { return ToJSON(m) }

// MarshalJSON is as for Tuple.
func (i Int) MarshalJSON() ([]byte, error) { return ToJSON(i) }

// MarshalJSON is as for Tuple.
func (b Big) MarshalJSON() ([]byte, error) { return ToJSON(b) }

// MarshalJSON is as for Tuple.
func (f Float) MarshalJSON() ([]byte, error) { return ToJSON(f) }

// MarshalJSON is as for Tuple.
func (b Bin) MarshalJSON() ([]byte, error) { return ToJSON(b) }

// MarshalJSON is as for Tuple.
func (p Pid) MarshalJSON() ([]byte, error) { return ToJSON(p) }

// MarshalJSON is as for Tuple.
func (o Opaque) MarshalJSON() ([]byte, error) { return ToJSON(o) }

type jsonWriter struct {
	dst []byte
	err error
}

func (w *jsonWriter) raw(s string) { w.dst = append(w.dst, s...) }

func (w *jsonWriter) term(t Term, depth int) {
	if w.err != nil {
		return
	}
	if depth > MaxDepth {
		w.err = errTooDeep
		return
	}
	switch x := t.(type) {
	case Int:
		w.dst = strconv.AppendInt(w.dst, int64(x), 10)
	case Big:
		w.dst = x.Append(w.dst, 10)
	case Float:
		w.float(float64(x))
	case Atom:
		if x == True || x == False {
			w.raw(string(x))
			return
		}
		w.text(string(x))
	case Bin:
		w.bin(string(x))
	case Tuple:
		w.raw(`{"t":`)
		w.list(x, depth)
		w.raw(`}`)
	case List:
		w.list(x, depth)
	case Map:
		w.pairs(x, depth)
	case Pid:
		w.raw(`{"pid":`)
		w.text(x.Node + "." + strconv.FormatUint(x.ID, 10))
		w.raw(`}`)
	case Opaque:
		w.opaque(x)
	default:
		w.err = errNilTerm
	}
}

func (w *jsonWriter) list(ts []Term, depth int) {
	w.raw("[")
	for i, t := range ts {
		if i > 0 {
			w.raw(",")
		}
		w.term(t, depth+1)
	}
	w.raw("]")
}

func (w *jsonWriter) pairs(m Map, depth int) {
	w.raw(`{"m":[`)
	for i, p := range m {
		if i > 0 {
			w.raw(",")
		}
		w.raw("[")
		w.term(p.Key, depth+1)
		w.raw(",")
		w.term(p.Value, depth+1)
		w.raw("]")
	}
	w.raw("]}")
}

func (w *jsonWriter) float(f float64) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		w.err = errNotFinite
		return
	}
	w.raw(`{"f":"`)
	w.dst = appendFloat(w.dst, f)
	w.raw(`"}`)
}

func (w *jsonWriter) bin(s string) {
	if utf8.ValidString(s) {
		w.raw(`{"s":`)
		w.text(s)
		w.raw(`}`)
		return
	}
	w.raw(`{"b64":"`)
	w.dst = base64.StdEncoding.AppendEncode(w.dst, []byte(s))
	w.raw(`"}`)
}

func (w *jsonWriter) opaque(o Opaque) {
	sort, name := o.Sort, "?"
	if n, ok := o.process(); ok {
		sort, name = "pid", n
	}
	w.raw("{")
	w.text(sort)
	w.raw(":")
	w.text(name)
	w.raw("}")
}

const hexDigits = "0123456789abcdef"

// text writes a JSON string. Invalid UTF-8 becomes U+FFFD; terms that hold text are checked before they get here.
func (w *jsonWriter) text(s string) {
	w.dst = append(w.dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				w.raw(s[start:i])
				w.raw("\ufffd")
				start = i + 1
			}
			i += n
			continue
		}
		if c < ' ' || c == '"' || c == '\\' {
			w.raw(s[start:i])
			w.escape(c)
			start = i + 1
		}
		i++
	}
	w.raw(s[start:])
	w.dst = append(w.dst, '"')
}

func (w *jsonWriter) escape(c byte) {
	switch c {
	case '"', '\\':
		w.dst = append(w.dst, '\\', c)
	case '\n':
		w.raw(`\n`)
	case '\r':
		w.raw(`\r`)
	case '\t':
		w.raw(`\t`)
	default:
		w.dst = append(w.dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
	}
}

// Process makes the term of a process that is known by a name only, as in a scenario; "?" is some process.
// Its JSON is {"pid":NAME}.
func Process(name string) Opaque { return Opaque{Sort: processPrefix + name} }

const processPrefix = "pid:"

// process gives the name in a term made by Process.
func (o Opaque) process() (string, bool) {
	if len(o.Sort) > len(processPrefix) && o.Sort[:len(processPrefix)] == processPrefix {
		return o.Sort[len(processPrefix):], true
	}
	return "", false
}

func quote(s string) string { return fmt.Sprintf("%q", s) }
