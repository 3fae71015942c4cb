package proc

import "netsplit/kit/term"

// mailbox is a queue of messages out of which any can be taken. The zero mailbox is empty.
type mailbox struct {
	msgs []term.Term // those before head are gone
	head int
}

func (b *mailbox) len() int { return len(b.msgs) - b.head }

func (b *mailbox) at(i int) term.Term { return b.msgs[b.head+i] }

func (b *mailbox) put(m term.Term) {
	// Half of a long array that is never empty would be gone messages, and it would grow for ever.
	if b.head > 64 && b.head > len(b.msgs)/2 && len(b.msgs) == cap(b.msgs) {
		n := copy(b.msgs, b.msgs[b.head:])
		clear(b.msgs[n:])
		b.msgs, b.head = b.msgs[:n], 0
	}
	b.msgs = append(b.msgs, m)
}

// take removes the message at i.
func (b *mailbox) take(i int) term.Term {
	m := b.at(i)
	copy(b.msgs[b.head+1:b.head+i+1], b.msgs[b.head:b.head+i])
	b.msgs[b.head] = nil
	b.head++
	if b.head == len(b.msgs) {
		b.head = 0
		if cap(b.msgs) > 1024 {
			b.msgs = nil // a burst is over
		} else {
			b.msgs = b.msgs[:0]
		}
	}
	return m
}

// drop removes every message that f is true for.
func (b *mailbox) drop(f func(term.Term) bool) {
	kept := b.msgs[:b.head]
	for _, m := range b.msgs[b.head:] {
		if !f(m) {
			kept = append(kept, m)
		}
	}
	clear(b.msgs[len(kept):])
	b.msgs = kept
}
