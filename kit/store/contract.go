package store

// The bodies of these are being written.

import (
	"context"

	"netsplit/kit"
	"netsplit/kit/term"
)

// Config is what a store needs from outside. A nil Disk means a store without a disc.
type Config struct {
	Peers Peers
}

// Store is one node's part of the replicated store.
type Store struct{}

// Open makes a store that is not started. Close stops it; both ends are safe twice.
func Open(cfg Config) (*Store, error)    { panic("contract") }
func (s *Store) Close() error            { panic("contract") }
func (s *Store) PeerUp(n kit.NodeName)   { panic("contract") }
func (s *Store) PeerDown(n kit.NodeName) { panic("contract") }

// Receive takes a frame from a peer's store. It never waits for other nodes.
func (s *Store) Receive(from kit.NodeName, frame []byte) { panic("contract") }

// StartOptions are the parameters of mnesia:start/1.
type StartOptions struct{ ExtraNodes []kit.NodeName }

func (s *Store) Start(ctx context.Context, opts StartOptions) error { panic("contract") }
func (s *Store) Stop(ctx context.Context) error                     { panic("contract") }

// Tx is an activity that its caller drives.
type Tx struct{}

func (s *Store) Transaction(ctx context.Context, fn func(*Tx) error) error { panic("contract") }
func (s *Store) Begin(ctx context.Context, kind Kind) (*Tx, error)         { panic("contract") }
func (tx *Tx) Read(table string, key term.Term, lock ...Lock) ([]term.Tuple, error) {
	panic("contract")
}
func (tx *Tx) Write(table string, row term.Tuple, lock ...Lock) error { panic("contract") }
func (tx *Tx) Commit() error                                          { panic("contract") }
func (tx *Tx) Close()                                                 { panic("contract") }
func (s *Store) DirtyRead(ctx context.Context, table string, key term.Term) ([]term.Tuple, error) {
	panic("contract")
}
func (s *Store) DirtyWrite(ctx context.Context, table string, row term.Tuple) error {
	panic("contract")
}
