package sim

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// tail keeps the first and the last bytes of what a node printed; what is between them is counted and dropped.
type tail struct {
	head  []byte
	ring  []byte // the last bytes, at most tailRing
	total int64
}

// tailHead and tailRing bound what is kept of a node's output, in bytes.
const (
	tailHead = 16 << 10
	tailRing = 48 << 10
)

func (t *tail) write(b []byte) {
	t.total += int64(len(b))
	if room := tailHead - len(t.head); room > 0 {
		n := min(room, len(b))
		t.head = append(t.head, b[:n]...)
		b = b[n:]
	}
	if len(b) > tailRing {
		b = b[len(b)-tailRing:]
	}
	t.ring = append(t.ring, b...)
	if over := len(t.ring) - tailRing; over > tailRing {
		t.ring = append(t.ring[:0], t.ring[over:]...)
	}
}

func (t *tail) bytes() (head, last []byte) {
	last = t.ring
	if over := len(last) - tailRing; over > 0 {
		last = last[over:]
	}
	return t.head, last
}

// String gives what was kept, as valid UTF-8 and without control characters that could act on a terminal.
func (t *tail) String() string {
	head, last := t.bytes()
	text := string(head)
	if dropped := t.total - int64(len(head)) - int64(len(last)); dropped > 0 {
		text += "\n[...]\n"
	}
	return clean(text + string(last))
}

func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

func (t *tail) contains(s string) bool {
	head, last := t.bytes()
	return bytes.Contains(head, []byte(s)) || bytes.Contains(last, []byte(s))
}

// line gives the last line that begins with one of the marks; without one the last line.
func (t *tail) line(marks ...string) string {
	lines := strings.Split(strings.TrimRight(t.String(), "\n"), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		for _, m := range marks {
			if strings.HasPrefix(lines[i], m) {
				return lines[i]
			}
		}
	}
	return lines[len(lines)-1]
}
