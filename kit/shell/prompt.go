package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/reeflective/readline"
	"golang.org/x/term"

	"netsplit/kit"
)

// Terminal says how the prompt looks and where its history lies.
type Terminal struct {
	Prompt  string   // without the "> "
	History string   // file; "" keeps none
	Greet   string   // printed first
	Colour  bool     // whether escapes for colour may be written
	Tty     *os.File // the terminal, for its width; may be nil
	Out     io.Writer
}

// reader reads entries from somebody at a terminal. It hides which library does so.
type reader interface {
	// Read gives a whole entry, which may have several lines; io.EOF ends the session, errInterrupted drops what
	// was typed.
	Read() (string, error)
}

// Interact talks with somebody at a terminal until the end of input. Ctrl-C stops what runs; at the prompt it
// drops what was typed. A second Ctrl-C while something still runs ends the process.
func (s *Session) Interact(ctx context.Context, t Terminal) error {
	rd, err := newReader(s, t)
	if err != nil {
		return err
	}
	restore := keepTerminal(t.Tty)
	defer restore()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	base := context.WithoutCancel(ctx) // the program's own context ends at the first Ctrl-C
	fmt.Fprintln(t.Out, t.Greet)
	for n := 1; ; n++ {
		if t.Tty != nil {
			if width, _, err := term.GetSize(int(t.Tty.Fd())); err == nil && width >= 20 {
				s.opts.Width = width
			}
		}
		entry, err := rd.Read()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errInterrupted):
			continue
		case err != nil:
			return &kit.Error{Op: "read from terminal", Err: err}
		}
		text := strings.TrimSpace(entry)
		if text == "exit" || text == "quit" || text == "exit()" || text == "quit()" {
			return nil
		}
		if err := s.evalInterruptible(base, fmt.Sprintf("entry %d", n), entry, signals, restore); errors.Is(err, errInterrupted) {
			fmt.Fprintln(t.Out, "\ninterrupted")
		} else if err != nil {
			ShowError(t.Out, err, Style{Colour: t.Colour, Place: strings.Contains(strings.TrimSpace(entry), "\n")})
		}
	}
}

// evalInterruptible runs one entry; the first Ctrl-C cancels it, the second ends the process.
func (s *Session) evalInterruptible(base context.Context, name, entry string, signals <-chan os.Signal, restore func()) error {
	ctx, cancel := context.WithCancelCause(base)
	defer cancel(nil)
	done := make(chan struct{})
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		for {
			select {
			case sig := <-signals:
				if sig == syscall.SIGTERM || ctx.Err() != nil {
					restore()
					os.Exit(130)
				}
				cancel(errInterrupted)
			case <-done:
				return
			}
		}
	}()
	err := s.Eval(ctx, name, entry)
	close(done)
	<-watching
	if err != nil && errors.Is(context.Cause(ctx), errInterrupted) {
		return errInterrupted
	}
	return err
}

// keepTerminal remembers the terminal's mode, to bring it back if we must leave in a hurry.
func keepTerminal(tty *os.File) func() {
	if tty == nil {
		return func() {}
	}
	state, err := term.GetState(int(tty.Fd()))
	if err != nil {
		return func() {}
	}
	return func() { _ = term.Restore(int(tty.Fd()), state) }
}

// lineEditor is the reader with history, completion and editing of several lines.
type lineEditor struct{ rl *readline.Shell }

func newReader(s *Session, t Terminal) (reader, error) {
	rl := readline.NewShell()
	_ = rl.Config.Set("convert-meta", false) // or letters like é are taken for Meta keys
	_ = rl.Config.Set("enable-bracketed-paste", true)
	_ = rl.Config.Set("menu-complete-display-prefix", true) // Tab shows the menu before it chooses
	_ = rl.Config.Set("completion-ignore-case", false)
	if !t.Colour {
		_ = rl.Config.Set("colored-completion-prefix", false)
		_ = rl.Config.Set("colored-stats", false)
	}
	prompt := t.Prompt + "> "
	more := strings.Repeat(".", max(1, len(t.Prompt))) + "> "
	if t.Colour {
		prompt = "\x1b[1;36m" + t.Prompt + "\x1b[0m> "
		more = "\x1b[2m" + more + "\x1b[0m"
	}
	rl.Prompt.Primary(func() string { return prompt })
	rl.Prompt.Secondary(func() string { return more })
	rl.AcceptMultiline = func(line []rune) bool { return Complete(string(line)) }
	rl.Completer = func(line []rune, cursor int) readline.Completions { return completions(s, string(line[:cursor])) }
	if t.History != "" {
		if err := addHistory(rl, t.History); err != nil {
			return nil, err
		}
	}
	return &lineEditor{rl}, nil
}

// addHistory makes the file first, which the library does not.
func addHistory(rl *readline.Shell, path string) error {
	wrong := func(err error) error {
		return &kit.Error{Op: "open history", What: path, Err: err, Hint: "the shell's history lies in the state folder; is it writable?"}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return wrong(err)
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return wrong(err)
	}
	if err := f.Close(); err != nil {
		return wrong(err)
	}
	src, err := readline.NewHistoryFromFile(path)
	if err != nil {
		return wrong(err)
	}
	rl.History.Add("netsplit", src)
	return nil
}

func completions(s *Session, text string) readline.Completions {
	prefix, list := s.Complete(text)
	values := make([]readline.Completion, len(list))
	for i, c := range list {
		values[i] = readline.Completion{Value: c.Value, Display: c.Display, Description: cutText(c.Doc, 50)}
	}
	out := readline.CompleteRaw(values)
	out.PREFIX = prefix
	return out
}

// Read is reader's.
func (e *lineEditor) Read() (string, error) {
	entry, err := e.rl.Readline()
	if errors.Is(err, readline.ErrInterrupt) {
		return "", errInterrupted
	}
	return entry, err
}
