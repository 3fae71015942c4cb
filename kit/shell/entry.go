package shell

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"

	"go.starlark.net/syntax"

	"netsplit/kit"
)

// Complete reports whether src is an entry that can be run, or one that goes on: an open bracket or string, or a
// block that has not been closed by an empty line.
func Complete(src string) bool {
	trimmed := strings.TrimRight(src, " \t")
	if strings.TrimSpace(trimmed) == "" {
		return true
	}
	closed := strings.HasSuffix(trimmed, "\n\n") || strings.HasSuffix(trimmed, "\n") && strings.TrimSpace(lastLine(trimmed)) == ""
	_, err := fileOptions().Parse("entry", strings.TrimRight(trimmed, "\n")+"\n", 0)
	if err == nil {
		return closed || !opensBlock(trimmed)
	}
	var e syntax.Error
	if !errors.As(err, &e) {
		return true
	}
	if goesOn(e.Msg, trimmed) {
		return closed && opensBlock(trimmed) && !strings.Contains(e.Msg, "end of file")
	}
	return true
}

// goesOn tells from the parser's message whether more text could mend the entry.
func goesOn(msg, src string) bool {
	switch {
	case strings.Contains(msg, "got end of file"), strings.Contains(msg, "unexpected EOF"):
		return true
	case strings.Contains(msg, "unterminated triple-quoted"):
		return true
	case strings.Contains(msg, "want indent"), strings.Contains(msg, "got newline, want"):
		last := strings.TrimSpace(lastLine(strings.TrimRight(src, "\n")))
		return strings.HasSuffix(last, ":")
	}
	return false
}

func lastLine(s string) string {
	return s[strings.LastIndexByte(s, '\n')+1:]
}

// opensBlock reports whether the entry holds a block: then an empty line or a line at the margin ends it.
func opensBlock(src string) bool {
	lines := strings.Split(strings.TrimRight(src, "\n"), "\n")
	last := lines[len(lines)-1]
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
	n := 0
	for line := range strings.Lines(src) {
		n++
		text := strings.TrimRight(line, "\r\n")
		atMargin := text != "" && text[0] != ' ' && text[0] != '\t'
		if cur.Len() > 0 && atMargin && !continues(text) && opensBlock(cur.String()) && endsHere(cur.String()) {
			flush()
		}
		if cur.Len() == 0 {
			if strings.TrimSpace(text) == "" {
				continue
			}
			first = n
		}
		cur.WriteString(text + "\n")
		if !opensBlock(cur.String()) && Complete(cur.String()) {
			flush()
		}
	}
	flush()
	return out
}

// Source is one entry and the line it began on.
type Source struct {
	Line int
	Text string
}

func endsHere(src string) bool {
	_, err := fileOptions().Parse("entry", src, 0)
	return err == nil
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
