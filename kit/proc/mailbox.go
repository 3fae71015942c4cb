package proc

import (
	"sync"

	"netsplit/kit/term"
)

// mailbox is where a process finds its messages. It has a lock of its own: what a process sends to another one of its node
// goes past the core.
type mailbox struct {
	mu sync.Mutex
	queue
	got     uint64        // messages that ever came
	waiting bool          // the process is about to wait for wake, or does
	shut    bool          // the process has ended
	wake    chan struct{} // one token; nil before the first wait
}

// add puts a message into the mailbox and wakes its process; one that has ended gets nothing. It reports false when limit
// messages wait already, or maxMailboxBytes. size is that of the frame that brought the message.
func (b *mailbox) add(m term.Term, size, limit int) bool {
	b.mu.Lock()
	if b.shut || b.len() >= limit || b.bytes > maxMailboxBytes {
		full := !b.shut
		b.mu.Unlock()
		return !full
	}
	if size >= largeMessage {
		m = large{m, size}
		b.bytes += size
	}
	b.put(m)
	b.got++
	waiting := b.waiting
	b.waiting = false
	b.mu.Unlock()
	if waiting {
		b.token()
	}
	return true
}

func (b *mailbox) token() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// close tells the process that it has ended.
func (b *mailbox) close() {
	b.mu.Lock()
	b.shut, b.queue = true, queue{}
	waiting := b.waiting
	b.mu.Unlock()
	if waiting {
		b.token()
	}
}

// look takes the message numbered i, or only shows it; m is nil when there is none, and then, if wait is set, the channel
// tells when that may have changed. ok is false when the process has ended.
func (b *mailbox) look(i int, take, wait bool) (m term.Term, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.shut:
		return nil, false
	case i >= b.len():
		if wait && b.wake == nil {
			b.wake = make(chan struct{}, 1)
		}
		b.waiting = wait
	case take:
		m = b.take(i)
	default:
		m = b.at(i)
	}
	return m, true
}

// waits gives the number of messages that wait, and of those that ever came.
func (b *mailbox) waits() (waiting int, got uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.len(), b.got
}

// remove takes out every message that f is true for.
func (b *mailbox) remove(f func(term.Term) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop(f)
}

// queue is a list of messages out of which any can be taken. The zero queue is empty.
type queue struct {
	msgs  []term.Term // those before head are gone
	head  int
	bytes int // of the large ones
}

// large is a message from another node that is large enough to be counted. What a process of this node sends shares its
// memory with the sender.
type large struct {
	term.Term
	size int
}

const (
	largeMessage    = 512       // bytes of a frame
	maxMailboxBytes = 256 << 20 // of large messages that wait in one mailbox; as too many messages
)

// plainly gives a message as it was sent.
func plainly(m term.Term) term.Term {
	if l, ok := m.(large); ok {
		return l.Term
	}
	return m
}

func (b *queue) len() int { return len(b.msgs) - b.head }

func (b *queue) at(i int) term.Term { return plainly(b.msgs[b.head+i]) }

func (b *queue) put(m term.Term) {
	// Half of a long array that is never empty would be gone messages, and it would grow for ever.
	if b.head > 64 && b.head > len(b.msgs)/2 && len(b.msgs) == cap(b.msgs) {
		n := copy(b.msgs, b.msgs[b.head:])
		clear(b.msgs[n:])
		b.msgs, b.head = b.msgs[:n], 0
	}
	b.msgs = append(b.msgs, m)
}

// take removes the message at i.
func (b *queue) take(i int) term.Term {
	m := b.msgs[b.head+i]
	if l, ok := m.(large); ok {
		b.bytes -= l.size
		m = l.Term
	}
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
func (b *queue) drop(f func(term.Term) bool) {
	kept := b.msgs[:b.head]
	for _, m := range b.msgs[b.head:] {
		l, isLarge := m.(large)
		switch {
		case !f(plainly(m)):
			kept = append(kept, m)
		case isLarge:
			b.bytes -= l.size
		}
	}
	clear(b.msgs[len(kept):])
	b.msgs = kept
}
