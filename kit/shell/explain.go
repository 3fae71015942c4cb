package shell

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"

	"netsplit/kit"
	"netsplit/kit/door"
	"netsplit/kit/term"
)

// ScriptError is what went wrong in a script and where. Line is 0 when the place is not known.
type ScriptError struct {
	Msg    string
	File   string
	Line   int
	In     string // the function, when it is not the top level
	Source string // the line's text
	cause  error
	late   bool // Limits.Wall ended it
}

// Error gives the message, then the place as "file:line, in function".
func (e *ScriptError) Error() string {
	if e.Line == 0 {
		return e.Msg
	}
	place := fmt.Sprintf("%s:%d", e.File, e.Line)
	if e.In != "" {
		place += ", in " + e.In
	}
	return fmt.Sprintf("%s (%s)", e.Msg, place)
}

// Unwrap gives the cause, when it is not just the message.
func (e *ScriptError) Unwrap() error { return e.cause }

// explain turns any error of the language or of a node into the one that readers see: message, place, hint.
func (s *Session) explain(name, src string, err error) error {
	var done *kit.Error
	if errors.As(err, &done) && isExplained(err) {
		return err
	}
	se := &ScriptError{Msg: err.Error(), File: name, cause: err}
	kind := kit.Invalid
	var eval *starlark.EvalError
	var syn syntax.Error
	var res resolve.ErrorList
	switch {
	case errors.As(err, &eval):
		se.place(eval)
		kind = evalKind(eval)
	case errors.As(err, &syn):
		se.Msg, se.Line = plainSyntax(syn.Msg), int(syn.Pos.Line)
	case errors.As(err, &res) && len(res) > 0:
		se.Msg, se.Line = res[0].Msg, int(res[0].Pos.Line)
	case errors.Is(err, errInterrupted):
		kind = kit.Unknown
	}
	for _, noise := range []string{"Starlark computation cancelled: ", "fail: ", "check: "} {
		se.Msg = strings.TrimPrefix(se.Msg, noise)
	}
	if se.File != name {
		src = s.sources[se.File]
	}
	se.Source = lineOf(src, se.Line)
	return &kit.Error{Kind: kind, Err: se, Hint: s.hintFor(err, se)}
}

func isExplained(err error) bool {
	var se *ScriptError
	return errors.As(err, &se)
}

// place finds the innermost frame that is the script's own.
func (e *ScriptError) place(eval *starlark.EvalError) {
	if !errors.As(e.cause, new(*placed)) {
		e.Msg = eval.Msg
	}
	for {
		var inner *starlark.EvalError
		if !errors.As(eval.Unwrap(), &inner) {
			break
		}
		eval = inner // an error that passed through a builtin (transaction, attempt) says more inside
	}
	for i := len(eval.CallStack) - 1; i >= 0; i-- {
		frame := eval.CallStack[i]
		if frame.Pos.Filename() == "<builtin>" || frame.Pos.Line == 0 {
			continue
		}
		e.File, e.Line = frame.Pos.Filename(), int(frame.Pos.Line)
		if frame.Name != "<toplevel>" && frame.Name != "<expr>" {
			e.In = frame.Name
		}
		return
	}
}

func evalKind(eval *starlark.EvalError) kit.Kind {
	for _, limit := range []string{tooManySteps, tooDeep, tooMuchOutput} {
		if strings.Contains(eval.Msg, limit) {
			return kit.Overloaded
		}
	}
	var wall errWall
	switch {
	case errors.As(eval, &wall), strings.Contains(eval.Msg, "the script ran longer than"):
		return kit.Overloaded
	case errors.Is(eval, errInterrupted), errors.Is(eval, context.Canceled), strings.Contains(eval.Msg, errInterrupted.Error()):
		return kit.Unknown
	}
	if k := kit.KindOf(eval); k != kit.Unknown {
		return k
	}
	return kit.Invalid
}

func plainSyntax(msg string) string {
	msg = strings.ReplaceAll(msg, "got end of file", "the text ends here")
	msg = strings.ReplaceAll(msg, "got newline", "the line ends here")
	return msg
}

func lineOf(src string, n int) string {
	lines := strings.Split(src, "\n")
	if n < 1 || n > len(lines) {
		return ""
	}
	return strings.TrimSpace(lines[n-1])
}

// hintFor says what to do next, from the outcome when a node answered, else from the wording.
func (s *Session) hintFor(err error, se *ScriptError) string {
	var oe *outcomeError
	if errors.As(err, &oe) {
		if hint := s.outcomeHint(oe); hint != "" {
			return hint
		}
	}
	if hint := kit.HintOf(err); hint != "" {
		return hint
	}
	if se.Source != "" && strings.HasSuffix(se.Source, ".") {
		return "expressions here end without a full stop"
	}
	for _, h := range wordHints {
		if m := h.when.FindStringSubmatch(se.Msg); m != nil {
			return strings.ReplaceAll(h.hint, "$1", strings.Join(m[1:], ""))
		}
	}
	if m := undefinedName.FindStringSubmatch(se.Msg); m != nil {
		return s.undefinedHint(m[1])
	}
	return ""
}

var undefinedName = regexp.MustCompile(`^undefined: (\w+)`)

func (s *Session) undefinedHint(name string) string {
	var words []string
	for _, known := range slices.Sorted(maps.Keys(s.globals)) {
		if len(known) > 1 {
			words = append(words, known)
		}
	}
	near := kit.Near(name, words)
	switch {
	case strings.HasPrefix(name, "dirty_") || verbNamed(name) != nil:
		return fmt.Sprintf("say on which node: %s.db.%s(...)", s.anyNode(), name)
	case len(near) > 0:
		return fmt.Sprintf("did you mean %s?", near[0])
	}
	return fmt.Sprintf("text needs quotes (%q), an atom is atom(%q); help() lists what there is", name, name)
}

func (s *Session) anyNode() string {
	if len(s.order) > 0 {
		return string(s.order[0])
	}
	return "a"
}

// wordHints are for errors that people used to Python or Erlang run into.
var wordHints = []struct {
	when *regexp.Regexp
	hint string
}{
	{regexp.MustCompile(`got '?(try|except|raise|finally)'?`), "there are no exceptions: attempt(lambda: ...) gives a result with .ok, .value and .error; fail(\"...\") stops"},
	{regexp.MustCompile(`got '?assert'?`), "use check(condition, \"message\")"},
	{regexp.MustCompile(`got '?(import|from)'?`), "use load(\"file.star\", \"name\")"},
	{regexp.MustCompile(`got '?(with|class|yield|async|await|global|nonlocal|del|is)'?`), "this language has no $1; help(\"language\") says what it has"},
	{regexp.MustCompile(`unexpected input character '\$'`), "match variables are strings: \"$1\""},
	{regexp.MustCompile(`unexpected input character '[#?!]'`), "records are made as (\"person\", \"ada\", 36) or with record(\"person\", [...])"},
	{regexp.MustCompile(tooManySteps + `|the script ran longer than`), "is there a loop that never ends, or a wait for something that does not come?"},
	{regexp.MustCompile(tooDeep), "does the recursion end?"},
	{regexp.MustCompile(tooMuchOutput), "print less, or only what changed"},
	{regexp.MustCompile(`unhandled|f-string|got string literal`), "put values into text with \"%s\" % value or \"{}\".format(value)"},
}

// outcomeHint knows what to do about Mnesia's common reasons.
func (s *Session) outcomeHint(e *outcomeError) string {
	if e.out.Hint != "" {
		return e.out.Hint
	}
	node := e.node
	if node == "" {
		node = s.anyNode()
	}
	switch e.out.Status {
	case door.Down, door.Lost:
		return fmt.Sprintf("is %s killed or paused? restart(%s) or resume(%s) brings it back", node, node, node)
	case door.Timeout:
		return "the copies that were written last may be on a node that is down; start it, or see help(\"force_load_table\")"
	case door.Error, door.Aborted:
	default:
		return ""
	}
	return reasonHint(e.kind(), node, e.out.Args)
}

func reasonHint(kind, node string, args []term.Term) string {
	first := "t"
	if len(args) > 0 {
		switch x := args[0].(type) {
		case term.Atom:
			first = string(x)
		case term.Tuple:
			first = cmp.Or(recordTable(x), first)
		}
	}
	switch kind {
	case "no_transaction":
		return fmt.Sprintf("this needs a transaction: %s.db.transaction(lambda tx: tx.read(...))", node)
	case "node_not_running", "not_running":
		return fmt.Sprintf("start the store: %s.db.start()", node)
	case "no_exists":
		return fmt.Sprintf("is the table created, and loaded on a node that %s can reach? %s.db.tables() lists them; if the store is stopped, %s.db.start()", node, node, node)
	case "not_active_local":
		return fmt.Sprintf("%s has no loaded copy of the table; ask a node that has: %s.db.table_info(%q, \"where_to_write\")", node, node, first)
	case "bad_type":
		return fmt.Sprintf("a record is (\"table\", key, field, ...) with a value for every attribute: %s.db.table_info(%q, \"attributes\")", node, first)
	case "already_exists":
		return fmt.Sprintf("it is there already; %s.db.delete_table(%q) would remove it with its rows", node, first)
	case "nested_transaction":
		return "schema functions start a transaction of their own: call them outside"
	case "nomore":
		return "it was restarted as often as allowed; raise retries, or let the others finish"
	case "no_majority":
		return "less than half of the table's copies can be reached; heal() the cut or restart nodes"
	case "read_only":
		return fmt.Sprintf("%s.db.change_table_access_mode(%q, \"read_write\") allows writing", node, first)
	}
	return ""
}
