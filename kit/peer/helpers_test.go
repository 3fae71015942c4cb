package peer

// seesAll reports whether every node has a link to every other, and with gossip set whether gossip knows them too.
func seesAll(meshes []*Mesh, gossip bool) bool {
	for _, m := range meshes {
		if len(m.Up()) != len(meshes)-1 {
			return false
		}
		for _, l := range m.Links() {
			if gossip && l.Gossip != "alive" {
				return false
			}
		}
	}
	return true
}
