package store

import (
	"netsplit/kit"
	"netsplit/kit/term"
)

// method serves a call. It must not wait for other nodes, because frames of one peer are served in turn.
type method func(s *Store, from kit.NodeName, arg term.Term) (term.Term, error)

// methods lists what one store may ask of another.
func methods() map[string]method {
	return map[string]method{
		"query":         serveQuery,
		"join_info":     serveJoinInfo,
		"join":          serveJoin,
		"node_up":       serveNodeUp,
		"intents":       serveIntents,
		"joining":       serveJoining,
		"unjoining":     serveUnjoining,
		"flush":         serveFlush,
		"loaded":        serveLoaded,
		"adopt":         serveAdopt,
		"schema_check":  schemaCheck,
		"schema_make":   schemaMake,
		"schema_delete": schemaDelete,
		"running":       serveRunning,
		"tx_label":      serveTxLabel,

		"checkpoint_make": checkpointMake,
		"checkpoint_drop": checkpointDrop,
		"checkpoint_read": checkpointRead,
		"stage":           stage,
		"stage_drop":      stageDrop,
		"fallback_begin":  fallbackBegin,
		"fallback_part":   fallbackPart,
		"fallback_end":    fallbackEnd,
		"fallback_drop":   fallbackDrop,
	}
}

func serveRunning(s *Store, _ kit.NodeName, _ term.Term) (term.Term, error) {
	if s.Running() {
		return term.Atom("yes"), nil
	}
	return term.Atom("no"), nil
}
