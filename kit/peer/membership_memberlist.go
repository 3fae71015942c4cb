//go:build !wasip1

package peer

func startMembership(m *Mesh) (membership, error) {
	if m.cfg.Static {
		return static{}, nil
	}
	return static{}, nil
}
