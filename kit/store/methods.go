package store

import (
	"context"

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
		"resolved":      serveResolved,
		"schema_check":  schemaCheck,
		"schema_make":   schemaMake,
		"schema_delete": schemaDelete,
		"running":       serveRunning,
		"tx_label":      serveTxLabel,

		"checkpoint_frozen": checkpointFrozen,
		"checkpoint_thaw":   checkpointThaw,
		"checkpoint_drop":   checkpointDrop,
		"stage":             stage,
		"stage_drop":        stageDrop,
		"fallback_begin":    fallbackBegin,
		"fallback_part":     fallbackPart,
		"fallback_end":      fallbackEnd,
		"fallback_drop":     fallbackDrop,
	}
}

// slowMethods take long, or wait for other nodes: each is served by a goroutine of its own, so that the frames behind it
// do not wait.
func slowMethods() map[string]method {
	return map[string]method{
		"checkpoint_freeze": checkpointFreeze,
		"checkpoint_make":   checkpointMake,
		"checkpoint_read":   checkpointRead,

		"diff_digests": serveDigests,
		"diff_keys":    serveDiffKeys,
		"diff_rows":    serveDiffRows,
		"diff_equal":   serveDiffEqual,
	}
}

// maxSlow is how many slow requests are served at a time.
const maxSlow = 16

// serveLater serves a slow method.
func (s *Store) serveLater(from kit.NodeName, id uint64, f method, arg term.Term) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.phase != running:
		s.reply(from, id, nil, failed("node_not_running", node(s.self)))
	case s.slow >= maxSlow:
		s.reply(from, id, nil, failed("system_limit", term.Atom("requests")))
	default:
		s.slow++
		s.go_(func(context.Context) {
			v, err := f(s, from, arg)
			s.reply(from, id, v, err)
			s.mu.Lock()
			s.slow--
			s.mu.Unlock()
		})
	}
}

func serveRunning(s *Store, _ kit.NodeName, _ term.Term) (term.Term, error) {
	if s.Running() {
		return term.Atom("yes"), nil
	}
	return term.Atom("no"), nil
}
