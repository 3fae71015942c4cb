package store

import (
	"slices"

	"netsplit/kit/store/match"
	"netsplit/kit/term"
)

// SelectChunks runs a match specification over a table and gives the results in chunks, as mnesia:select/4 and select/1 do
// until the end of the table. Of an ordered_set a chunk is what n matching rows of the table give, in the order of the
// keys, with what the transaction itself has written up to the last of these keys put in and taken out: so it may hold
// more than n, or nothing. What was written behind the last row is a chunk of its own. Of other tables only the
// sum of the chunks is the same.
func (tx *Tx) SelectChunks(table string, spec term.Term, n int, lk ...Lock) ([][]term.Term, error) {
	if n < 1 {
		return nil, abort("badarg", term.L(term.Atom(table), spec, term.Int(n)))
	}
	found, err := tx.Select(table, spec, lk...)
	if err != nil || !tx.IsTransaction() {
		return slices.Collect(slices.Chunk(found, n)), err
	}
	if _, err := tx.enter(); err != nil {
		return nil, err
	}
	defer tx.mu.Unlock()
	t := tx.s.table(table)
	wrote := tx.ws.of(table)
	compiled, bad := match.CompileSpec(spec)
	if t == nil || t.Type != "ordered_set" || len(wrote) == 0 || bad != nil {
		return slices.Collect(slices.Chunk(found, n)), nil
	}
	if _, bound := compiled.Key(); bound {
		return slices.Collect(slices.Chunk(found, n)), nil
	}
	a, err := tx.rows(query{kind: qAll, tab: table})
	if err != nil {
		return nil, err
	}
	own := slices.Clone(wrote)
	slices.SortStableFunc(own, func(x, y *wsKey) int { return term.Compare(x.key, y.key) })
	return mergeChunks(a.rows, own, n, compiled), nil
}

// mergeChunks puts the writes of a transaction, sorted by key, into the rows of an ordered_set.
func mergeChunks(rows []term.Tuple, own []*wsKey, n int, spec *match.Spec) (chunks [][]term.Term) {
	rows = slices.DeleteFunc(slices.Clone(rows), func(r term.Tuple) bool { _, ok := spec.Run(r); return !ok })
	for part := range slices.Chunk(rows, n) {
		upTo, _ := slices.BinarySearchFunc(own, part[len(part)-1][1], func(e *wsKey, k term.Term) int {
			if term.Compare(e.key, k) <= 0 {
				return -1
			}
			return 1
		})
		chunks = append(chunks, runSpec(spec, merged(part, own[:upTo])))
		own = own[upTo:]
	}
	if rest := runSpec(spec, merged(nil, own)); len(rest) > 0 {
		chunks = append(chunks, rest)
	}
	return chunks
}

// merged gives rows as a transaction that wrote own sees them.
func merged(rows []term.Tuple, own []*wsKey) []term.Tuple {
	out := slices.DeleteFunc(slices.Clone(rows), func(r term.Tuple) bool {
		return slices.ContainsFunc(own, func(e *wsKey) bool { return term.Compare(e.key, r[1]) == 0 })
	})
	for _, e := range own {
		base := slices.DeleteFunc(slices.Clone(rows), func(r term.Tuple) bool { return !term.Equal(e.key, r[1]) })
		out = append(out, e.over("ordered_set", base)...)
	}
	slices.SortStableFunc(out, func(a, b term.Tuple) int { return term.Compare(a[1], b[1]) })
	return out
}
