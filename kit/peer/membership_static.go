package peer

import (
	"netsplit/kit"
	"netsplit/kit/wire"
)

// static is the membership of a cluster whose nodes are told by Config.Peers.
type static struct{}

func (static) packet(kit.NodeName, []byte) {}
func (static) stream(c wire.Conn)          { _ = c.Close() }
func (static) linkUp(kit.NodeName)         {}
func (static) state(kit.NodeName) string   { return "" }
func (static) meta(kit.NodeName) []byte    { return nil }
func (static) stop()                       {}
