package mnesia

import (
	"encoding/json"
	"slices"

	"netsplit/kit/store"
	"netsplit/kit/term"
)

// selectChunks answers mnesia:select/4 and all that follows it: the chunks of an ordered_set, everything of another table,
// whose order is open.
func selectChunks(c call, t string) (json.RawMessage, error) {
	limit, ok := c.args[2].(term.Int)
	if !ok || limit < 1 {
		return nil, &store.Error{Class: store.Aborted, Exit: true, Reason: term.T(term.Atom("badarg"), term.L(term.Atom(t), c.args[1], c.args[2]))}
	}
	ts, err := c.tx.Select(t, c.args[1], c.lock(3)...)
	if err != nil {
		return nil, err
	}
	if !c.f.ordered(t) {
		return object("all", term.List(sorted(ts))), nil
	}
	chunks := term.List{}
	for part := range slices.Chunk(ts, int(min(limit, maxContents))) {
		chunks = append(chunks, term.List(part))
	}
	return object("chunks", chunks), nil
}
