package store

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"

	"netsplit/kit"
	"netsplit/kit/term"
)

// A backup file is the magic of eight bytes, whose last is the format's version, and blocks: a length of four
// bytes, a CRC-32C of four bytes (both little-endian; the sum covers number and content), and the content: entries in
// the encoding of package term, one after the other. Blocks are numbered from 0. The last block is empty, and nothing
// follows it; so a file that was cut or glued is noticed. Entries are applied in their order:
//
//	{table, Name, Definition}   the table exists from here on
//	{drop, Name}                it does not exist any more
//	{row, Name, Record}         a record is written
//	{delete, Name, Key}         all records of a key are deleted
const backupMagic = "NSPLTBK\x01"

// Limits of a backup file's blocks, in bytes.
const (
	bupBlock    = 1 << 18  // a block is written when it has grown over this
	maxBupBlock = 20 << 20 // a longer one is no backup's
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// EntryKind says what an entry of a backup does.
type EntryKind uint8

// The kinds of entry.
const (
	EntryTable  EntryKind = iota + 1 // defines a table
	EntryDrop                        // removes a table
	EntryRow                         // writes a row
	EntryDelete                      // deletes a key
)

// Entry is one entry of a backup.
type Entry struct {
	Kind  EntryKind
	Table string
	Def   *Def       // of EntryTable
	Row   term.Tuple // of EntryRow
	Key   term.Term  // of EntryDelete
}

func (e Entry) term() term.Term {
	tab := term.Atom(e.Table)
	switch e.Kind {
	case EntryTable:
		return term.T(term.Atom("table"), tab, e.Def.term())
	case EntryDrop:
		return term.T(term.Atom("drop"), tab)
	case EntryRow:
		return term.T(term.Atom("row"), tab, e.Row)
	}
	return term.T(term.Atom("delete"), tab, e.Key)
}

func entryOf(t term.Term) (Entry, bool) {
	tp, ok := t.(term.Tuple)
	if !ok || len(tp) < 2 || len(tp) > 3 {
		return Entry{}, false
	}
	kind, _ := tp[0].(term.Atom)
	tab, ok := tp[1].(term.Atom)
	e := Entry{Table: string(tab)}
	if kind == "drop" {
		e.Kind = EntryDrop
		return e, ok && len(tp) == 2
	}
	if !ok || len(tp) != 3 {
		return e, false
	}
	switch kind {
	case "table":
		e.Kind = EntryTable
		e.Def, ok = defOf(tp[2])
		return e, ok && e.Def.Name == e.Table
	case "row":
		e.Kind = EntryRow
		e.Row, ok = tp[2].(term.Tuple)
		return e, ok && len(e.Row) >= 3
	case "delete":
		e.Kind, e.Key = EntryDelete, tp[2]
		return e, true
	}
	return e, false
}

// BackupWriter writes a backup file. Close ends it; a file that was not ended is refused by readers.
type BackupWriter struct {
	w   io.Writer
	buf []byte
	n   uint32
	err error
}

// NewBackupWriter begins a backup file.
func NewBackupWriter(w io.Writer) *BackupWriter {
	_, err := io.WriteString(w, backupMagic)
	return &BackupWriter{w: w, err: err}
}

// Write adds an entry.
func (b *BackupWriter) Write(e Entry) error {
	if b.err != nil {
		return b.err
	}
	b.buf = term.Append(b.buf, e.term())
	if len(b.buf) > maxBupBlock {
		b.err = &kit.Error{Op: "write backup", Kind: kit.Overloaded, What: e.Table, Err: errors.New("a record is too long")}
	} else if len(b.buf) >= bupBlock {
		b.flush()
	}
	return b.err
}

func (b *BackupWriter) flush() {
	head := make([]byte, 8)
	binary.LittleEndian.PutUint32(head, uint32(len(b.buf)))
	binary.LittleEndian.PutUint32(head[4:], blockSum(b.n, b.buf))
	b.n++
	if _, b.err = b.w.Write(append(head, b.buf...)); b.err == nil {
		b.buf = b.buf[:0]
	}
}

func blockSum(n uint32, content []byte) uint32 {
	return crc32.Update(crc32.Checksum(binary.LittleEndian.AppendUint32(nil, n), castagnoli), castagnoli, content)
}

// Close ends the file. It does not close what it writes to.
func (b *BackupWriter) Close() error {
	if b.err == nil && len(b.buf) > 0 {
		b.flush()
	}
	if b.err == nil {
		b.flush() // the empty block is the end
	}
	return b.err
}

// errNoBackup is the cause of the error of a file that is no backup at all.
var errNoBackup = errors.New("it is no backup file")

func badBackup(format string, args ...any) error {
	return &kit.Error{Op: "read backup", Kind: kit.Corrupt, Err: fmt.Errorf(format, args...),
		Hint: "take another backup; what a damaged one still holds cannot be trusted"}
}

// ReadBackup gives the entries of a backup file. A file that is damaged, cut or no backup is kit.Corrupt; the entries
// of the blocks before the damage have been given by then. It needs memory for one block.
func ReadBackup(r io.Reader) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		br := bufio.NewReader(r)
		magic := make([]byte, len(backupMagic))
		if _, err := io.ReadFull(br, magic); err != nil || string(magic) != backupMagic {
			yield(Entry{}, badBackup("%w", errNoBackup))
			return
		}
		for n := uint32(0); ; n++ {
			content, err := readBlock(br, n)
			if err != nil {
				yield(Entry{}, err)
				return
			}
			if len(content) == 0 {
				if _, err := br.ReadByte(); err != io.EOF {
					yield(Entry{}, badBackup("something follows the end"))
				}
				return
			}
			for len(content) > 0 {
				t, rest, err := term.Decode(content)
				e, ok := entryOf(t)
				if err != nil || !ok {
					yield(Entry{}, badBackup("block %d holds something strange", n))
					return
				}
				if !yield(e, nil) {
					return
				}
				content = rest
			}
		}
	}
}

func readBlock(r io.Reader, n uint32) ([]byte, error) {
	head := make([]byte, 8)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, badBackup("it ends in the middle, at block %d", n)
	}
	size := binary.LittleEndian.Uint32(head)
	if size > maxBupBlock {
		return nil, badBackup("block %d claims %d bytes", n, size)
	}
	// the length is not trusted: memory grows with what is really there
	content, err := io.ReadAll(io.LimitReader(r, int64(size)))
	if err != nil || len(content) != int(size) {
		return nil, badBackup("it ends in the middle, at block %d", n)
	}
	if blockSum(n, content) != binary.LittleEndian.Uint32(head[4:]) {
		return nil, badBackup("the sum of block %d is wrong", n)
	}
	return content, nil
}
