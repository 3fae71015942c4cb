package shell

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// Limits on what one value prints as.
const (
	maxPrintDepth = 20
	maxPrintItems = 200
	maxPrintBytes = 64 << 10
)

// writeValue writes v as one types it, on one line, cutting what is too deep or too long.
func writeValue(b *strings.Builder, v starlark.Value, depth int) {
	if depth > maxPrintDepth || b.Len() > maxPrintBytes {
		b.WriteString("...")
		return
	}
	switch v := v.(type) {
	case *starlark.List:
		writeItems(b, "[", "]", v.Len(), func(i int) { writeValue(b, v.Index(i), depth+1) })
	case starlark.Tuple:
		end := ")"
		if len(v) == 1 {
			end = ",)"
		}
		writeItems(b, "(", end, len(v), func(i int) { writeValue(b, v[i], depth+1) })
	case *sheet:
		writeValue(b, v.list(), depth)
	case *starlark.Dict:
		items := v.Items()
		writeItems(b, "{", "}", len(items), func(i int) {
			writeValue(b, items[i][0], depth+1)
			b.WriteString(": ")
			writeValue(b, items[i][1], depth+1)
		})
	case *starlark.Set:
		b.WriteString("set(")
		writeValue(b, starlark.NewList(elements(v)), depth+1)
		b.WriteString(")")
	case starlark.String:
		b.WriteString(syntax.Quote(string(v), false))
	case *Record:
		writeFields(b, Atom(v.name).String(), v.fields, v.values, depth)
	case *fieldsValue:
		writeFields(b, v.kind, v.names, v.values, depth)
	default:
		b.WriteString(v.String())
	}
}

func elements(v starlark.Iterable) []starlark.Value {
	it := v.Iterate()
	defer it.Done()
	var out []starlark.Value
	var x starlark.Value
	for it.Next(&x) {
		out = append(out, x)
	}
	return out
}

func writeItems(b *strings.Builder, open, end string, n int, item func(int)) {
	b.WriteString(open)
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		if i >= maxPrintItems || b.Len() > maxPrintBytes {
			fmt.Fprintf(b, "... %d more", n-i)
			break
		}
		item(i)
	}
	b.WriteString(end)
}

func writeFields(b *strings.Builder, kind string, names []string, values []starlark.Value, depth int) {
	writeItems(b, kind+"(", ")", len(values), func(i int) {
		b.WriteString(names[i])
		b.WriteByte('=')
		writeValue(b, values[i], depth+1)
	})
}

// pretty is what the prompt shows of a value: a view as a table; else one line when it fits the width, or a list or
// dict with an element a line.
func pretty(v starlark.Value, width int) string {
	if s, ok := v.(*sheet); ok {
		return s.text()
	}
	if l, ok := v.(*starlark.List); ok {
		if text, ok := sheetsText(l); ok {
			return text
		}
	}
	one := valueText(v)
	if utf8.RuneCountInString(one) <= width {
		return one
	}
	var b strings.Builder
	n, item, open, end := 0, (func(int))(nil), "[", "]"
	switch v := v.(type) {
	case *starlark.List:
		n, item = v.Len(), func(i int) { writeValue(&b, v.Index(i), 1) }
	case *starlark.Dict:
		items := v.Items()
		open, end = "{", "}"
		n, item = len(items), func(i int) {
			writeValue(&b, items[i][0], 1)
			b.WriteString(": ")
			writeValue(&b, items[i][1], 1)
		}
	default:
		return one
	}
	b.WriteString(open + "\n")
	for i := range n {
		if i >= maxPrintItems || b.Len() > maxPrintBytes {
			fmt.Fprintf(&b, "  ... %d more\n", n-i)
			break
		}
		b.WriteString("  ")
		item(i)
		b.WriteString(",\n")
	}
	b.WriteString(end)
	return b.String()
}

// valueText is v on one line.
func valueText(v starlark.Value) string {
	var b strings.Builder
	writeValue(&b, v, 0)
	return b.String()
}

// wrap breaks text into lines of at most width columns, each behind indent.
func wrap(text string, width int, indent string) string {
	var b strings.Builder
	col := 0
	for word := range strings.FieldsSeq(text) {
		n := utf8.RuneCountInString(word)
		switch {
		case col == 0:
			b.WriteString(indent)
			col = len(indent)
		case col+1+n > width:
			b.WriteString("\n" + indent)
			col = len(indent)
		default:
			b.WriteByte(' ')
			col++
		}
		b.WriteString(word)
		col += n
	}
	return b.String()
}
