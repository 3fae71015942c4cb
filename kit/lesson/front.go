package lesson

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"netsplit/kit"
)

// splitFront parts a Markdown file into its front matter and its body. The body keeps the file's line numbers:
// first is the number of the body's first line. A file that does not start with "---" has no front matter.
func splitFront(src []byte) (front, body []byte, first int, err error) {
	if !bytes.HasPrefix(src, []byte("---\n")) {
		return nil, src, 1, nil
	}
	rest := src[4:]
	end := bytes.Index(rest, []byte("\n---\n"))
	if bytes.HasPrefix(rest, []byte("---\n")) {
		return nil, rest[4:], 3, nil
	}
	if end < 0 {
		return nil, nil, 1, fmt.Errorf("the front matter has no closing ---")
	}
	front, body = rest[:end+1], rest[end+5:]
	return front, body, 3 + bytes.Count(front, []byte("\n")), nil
}

// fields reads the front matter of one file key by key, so that each fault can name its line.
type fields struct {
	r    *report
	file string
	root *yaml.Node
	base int // lines before the YAML
}

// readFields parses YAML that must be one mapping with no other keys than known.
func readFields(r *report, file string, base int, src []byte, known ...string) *fields {
	f := &fields{r: r, file: file, base: base}
	var doc yaml.Node
	if err := yaml.Unmarshal(src, &doc); err != nil {
		r.add(file, base, "the YAML cannot be read: %s", strings.TrimPrefix(err.Error(), "yaml: "))
		return f
	}
	if len(doc.Content) == 0 || doc.Content[0].Kind != yaml.MappingNode {
		r.add(file, base, "want keys and values here: %s", strings.Join(known, ", "))
		return f
	}
	f.use(doc.Content[0], known)
	return f
}

// use checks a mapping's keys and makes it the one that the getters read.
func (f *fields) use(m *yaml.Node, known []string) {
	f.root = m
	var seen []string
	for i := 0; i+1 < len(m.Content); i += 2 {
		key := m.Content[i]
		switch {
		case slices.Contains(seen, key.Value):
			f.fault(key, "%s stands here twice", key.Value)
		case !slices.Contains(known, key.Value):
			hint := "known are " + strings.Join(known, ", ")
			if n := kit.Near(key.Value, known); len(n) > 0 {
				hint = "did you mean " + n[0] + "?"
			}
			f.fault(key, "unknown key %q; %s", key.Value, hint)
		}
		seen = append(seen, key.Value)
	}
}

func (f *fields) fault(at *yaml.Node, format string, args ...any) {
	line := f.base
	if at != nil {
		line += at.Line
	}
	f.r.add(f.file, line, format, args...)
}

func (f *fields) get(key string) *yaml.Node {
	if f.root == nil {
		return nil
	}
	for i := 0; i+1 < len(f.root.Content); i += 2 {
		if f.root.Content[i].Value == key {
			return f.root.Content[i+1]
		}
	}
	return nil
}

// text gives a required one-line string of at most limit bytes.
func (f *fields) text(key string, limit int) string {
	n := f.get(key)
	switch {
	case n == nil:
		if f.root != nil {
			f.fault(nil, "%s is missing", key)
		}
		return ""
	case n.Kind != yaml.ScalarNode || strings.TrimSpace(n.Value) == "" || strings.Contains(strings.TrimSpace(n.Value), "\n"):
		f.fault(n, "%s must be one line of text", key)
		return ""
	case len(n.Value) > limit:
		f.fault(n, "%s is longer than %d bytes", key, limit)
	}
	return strings.TrimSpace(n.Value)
}

// optional gives a string that may be absent.
func (f *fields) optional(key string, limit int) string {
	if f.get(key) == nil {
		return ""
	}
	return f.text(key, limit)
}

// number gives a required whole number from lo to hi.
func (f *fields) number(key string, lo, hi int) int {
	n := f.get(key)
	if n == nil {
		if f.root != nil {
			f.fault(nil, "%s is missing", key)
		}
		return 0
	}
	var v int
	if err := n.Decode(&v); err != nil || v < lo || v > hi {
		f.fault(n, "%s must be a whole number from %d to %d", key, lo, hi)
		return 0
	}
	return v
}

// line gives the line of a key's value, for faults found later.
func (f *fields) line(key string) int {
	if n := f.get(key); n != nil {
		return f.base + n.Line
	}
	return f.base
}
