package shell

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"

	"netsplit/kit"
)

// Complete reports whether src is an entry that can be run, or one that goes on: an open bracket or string, or a
// block that has not been closed by an empty line. The last line comes without its line break.
func Complete(src string) bool {
	text := strings.TrimRight(src, " \t")
	if strings.TrimSpace(text) == "" {
		return true
	}
	if isOpen(text) {
		return false
	}
	return strings.HasSuffix(text, "\n") || !opensBlock(text)
}

// isOpen reports whether a bracket or a string of several lines is open at the end, or the last line is continued
// by a backslash. A wrong closing bracket counts as closing, so that the parser gets to say so.
func isOpen(src string) bool {
	depth := 0
	for i := 0; i < len(src); i++ {
		switch c := src[i]; c {
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			if depth--; depth < 0 {
				return false
			}
		case '#':
			end := strings.IndexByte(src[i:], '\n')
			if end < 0 {
				return depth > 0
			}
			i += end
		case '"', '\'':
			end, open := stringEnd(src, i)
			if end < 0 {
				return open
			}
			i = end
		}
	}
	return depth > 0 || strings.HasSuffix(strings.TrimRight(src, "\n"), "\\")
}

// stringEnd finds the last byte of the string that begins at i; -1 when it has no end, with open true when
// more lines could bring one.
func stringEnd(src string, i int) (end int, open bool) {
	quote := src[i : i+1]
	long := strings.HasPrefix(src[i:], strings.Repeat(quote, 3))
	if long {
		quote = strings.Repeat(quote, 3)
	}
	for j := i + len(quote); j < len(src); j++ {
		switch {
		case src[j] == '\\':
			j++
		case strings.HasPrefix(src[j:], quote):
			return j + len(quote) - 1, false
		case src[j] == '\n' && !long:
			return -1, false
		}
	}
	return -1, long
}

// opensBlock reports whether the entry holds a block: then an empty line or a line at the margin ends it.
func opensBlock(src string) bool {
	lines := strings.Split(strings.TrimRight(src, "\n"), "\n")
	last := lines[len(lines)-1]
	if isOpen(src) {
		return false
	}
	if strings.HasSuffix(strings.TrimSpace(stripComment(last)), ":") {
		return true
	}
	return len(lines) > 1 && (strings.HasPrefix(last, " ") || strings.HasPrefix(last, "\t")) && startsBlock(lines)
}

// startsBlock reports whether the line at the margin that the last lines belong to opens a block.
func startsBlock(lines []string) bool {
	for i := len(lines) - 1; i >= 0; i-- {
		line := lines[i]
		if line == "" || line[0] == ' ' || line[0] == '\t' {
			continue
		}
		first, _, _ := strings.Cut(line, " ")
		switch strings.TrimRight(first, ":(") {
		case "def", "if", "for", "while", "elif", "else":
			return true
		}
		return false
	}
	return false
}

func stripComment(line string) string {
	before, _, _ := strings.Cut(line, "#")
	return before
}

// continues reports whether a line at the margin goes on with the block before it.
func continues(line string) bool {
	word := strings.TrimRight(strings.SplitN(line, " ", 2)[0], ":")
	return word == "else" || word == "elif"
}

// Entries splits text that was piped in into entries, as if somebody had typed it: a block ends before the next
// line at the margin. Each entry comes with the number of its first line.
func Entries(src string) []Source {
	var out []Source
	var cur strings.Builder
	first := 0
	flush := func() {
		if strings.TrimSpace(cur.String()) != "" {
			out = append(out, Source{Line: first, Text: cur.String()})
		}
		cur.Reset()
	}
	n, done := 0, false
	for line := range strings.Lines(src) {
		n++
		text := strings.TrimRight(line, "\r\n")
		atMargin := text != "" && text[0] != ' ' && text[0] != '\t'
		if atMargin && (done || opensBlock(cur.String())) && !(continues(text) && startsBlock(strings.Split(cur.String(), "\n"))) {
			flush()
			done = false
		}
		if cur.Len() == 0 {
			if strings.TrimSpace(text) == "" {
				continue
			}
			first = n
		}
		cur.WriteString(text + "\n")
		done = !opensBlock(cur.String()) && Complete(strings.TrimSuffix(cur.String(), "\n"))
	}
	flush()
	return out
}

// Source is one entry and the line it began on.
type Source struct {
	Line int
	Text string
}

// Piped runs entries read from in, showing results as the prompt does and errors through report, until the
// end of the input or an interrupt. It reads everything before it runs anything, up to Limits.Source bytes.
// failed counts the entries that failed.
func (s *Session) Piped(ctx context.Context, name string, in io.Reader, report func(error)) (failed int, err error) {
	src, err := io.ReadAll(io.LimitReader(bufio.NewReader(in), s.limits.Source+1))
	if err != nil {
		return 0, &kit.Error{Op: "read", What: name, Err: err}
	}
	if int64(len(src)) > s.limits.Source {
		return 0, &kit.Error{Op: "read", What: name, Kind: kit.Overloaded, Err: errors.New("the input is too long"),
			Hint: "give the shell a file instead of piping it"}
	}
	for _, e := range Entries(string(src)) {
		text := strings.Repeat("\n", e.Line-1) + e.Text // so that errors name the line
		if err := s.evalAs(ctx, name, text, e.Text); err != nil {
			failed++
			report(err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return failed, nil
}
