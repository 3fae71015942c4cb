package store

import (
	"slices"
	"sync"

	"netsplit/kit/store/lock"
)

// openTxs are the open transactions of this node, linked through themselves: a beginning or an end costs no search
// and no memory.
type openTxs struct {
	mu    sync.Mutex
	first *Tx
	count int
}

// add takes a transaction in; it reports false when MaxOpen are open.
func (o *openTxs) add(tx *Tx) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.count >= MaxOpen {
		return false
	}
	o.count++
	tx.next, tx.listed = o.first, true
	if o.first != nil {
		o.first.prev = tx
	}
	o.first = tx
	return true
}

// remove takes a transaction out; one that is not in is left alone.
func (o *openTxs) remove(tx *Tx) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !tx.listed {
		return
	}
	if tx.next != nil {
		tx.next.prev = tx.prev
	}
	if tx.prev != nil {
		tx.prev.next = tx.next
	} else {
		o.first = tx.next
	}
	tx.next, tx.prev, tx.listed = nil, nil, false
	o.count--
}

// list gives the transactions, oldest first.
func (o *openTxs) list() []*Tx {
	o.mu.Lock()
	defer o.mu.Unlock()
	txs := make([]*Tx, 0, o.count)
	for tx := o.first; tx != nil; tx = tx.next {
		txs = append(txs, tx)
	}
	slices.SortFunc(txs, func(a, b *Tx) int { return a.id.Compare(b.id) })
	return txs
}

// find gives the transaction with a name, or nil.
func (o *openTxs) find(id lock.Tx) *Tx {
	o.mu.Lock()
	defer o.mu.Unlock()
	for tx := o.first; tx != nil; tx = tx.next {
		if tx.id == id {
			return tx
		}
	}
	return nil
}
