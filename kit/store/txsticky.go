package store

import (
	"netsplit/kit"
	"netsplit/kit/store/lock"
	"netsplit/kit/term"
)

// stick is the key under which the lock is kept that makes a table stick to a node.
const stick = term.Atom("______STICK_____")

// lockSticky takes a write lock that sticks: the first one that a node takes on a table also locks the table against
// writers there, and what others would need to make it stick to them. Mnesia then asks for such locks at this
// node alone and sends others here; a reader at another node that holds its lock already is missed by that. Here
// a sticky lock is taken at every copy each time, as any write lock.
func (tx *Tx) lockSticky(tab string, key term.Term) error {
	s, l := tx.s, &tx.s.locks
	t := tx.table(tab)
	l.mu.Lock()
	stuck := l.stuck[tab]
	l.mu.Unlock()
	if !stuck && t != nil && t.data != nil && len(t.writers()) > 0 {
		for _, q := range []struct {
			item lock.Item
			kind lock.Kind
			at   []kit.NodeName
		}{{lock.Item{Table: tab}, lock.Read, []kit.NodeName{s.self}}, {lock.Item{Table: tab, Key: stick}, lock.Write, t.writers()}} {
			if _, err := tx.lockAt(q.item, q.kind, q.at); err != nil {
				return err
			}
		}
		l.mu.Lock()
		l.stuck[tab] = true
		l.mu.Unlock()
	}
	return tx.lockToWrite(tab, key)
}
