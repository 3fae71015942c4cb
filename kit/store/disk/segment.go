package disk

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"netsplit/kit"
	"netsplit/kit/term"
)

// A segment is one file of the log. A dump begins the next and removes the ones before.

const segmentPrefix = "log."

func segmentName(seq uint64) string { return fmt.Sprintf("%s%08d", segmentPrefix, seq) }

// segments picks the numbers of the log's files from the names in the folder, in order.
func segments(names []string) []uint64 {
	var seqs []uint64
	for _, n := range names {
		if num, ok := strings.CutPrefix(n, segmentPrefix); ok {
			if seq, err := strconv.ParseUint(num, 10, 64); err == nil && segmentName(seq) == n {
				seqs = append(seqs, seq)
			}
		}
	}
	slices.Sort(seqs)
	return seqs
}

// scan is what a reading of a segment found.
type scan struct {
	first LSN   // of the header
	last  LSN   // of the last batch; first-1 when there is none
	good  int64 // length of the undamaged beginning
	cut   int64 // bytes behind it that an unfinished write has left
}

// scanSegment reads a segment and gives every batch's body to f. lastOne says that no segment follows: only there may an
// unfinished end be. Damage is kit.Corrupt.
func scanSegment(name string, b []byte, lastOne bool, f func(lsn LSN, body []byte) error) (scan, error) {
	first, ok := readSegmentStart(b)
	if !ok {
		if len(b) >= len(segmentMagic) && string(b[:len(segmentKin)]) == segmentKin && b[len(segmentKin)] != segmentMagic[len(segmentKin)] {
			return scan{}, unknownForm(name, term.Int(int(b[len(segmentKin)])-'0'))
		}
		return scan{}, corrupt(name, "its header is damaged", "")
	}
	s := scan{first: first, last: first - 1, good: int64(segmentHeader)}
	for int(s.good) < len(b) {
		r, ok := readRecord(b[s.good:])
		if !ok {
			break
		}
		if err := s.take(name, r, f); err != nil {
			return s, err
		}
		s.good += int64(r.size)
	}
	s.cut = int64(len(b)) - s.good
	if s.cut == 0 {
		return s, nil
	}
	return s, s.judgeEnd(name, b, lastOne)
}

// take uses one record.
func (s *scan) take(name string, r record, f func(lsn LSN, body []byte) error) error {
	switch r.kind {
	case batchRecord:
		if r.lsn != s.last+1 {
			return corrupt(name, fmt.Sprintf("batch %d follows batch %d", r.lsn, s.last), "")
		}
		s.last = r.lsn
		if err := f(r.lsn, r.body); err != nil {
			return damagedBatch(name, r.lsn, err)
		}
		return nil
	case markRecord:
		if r.lsn > s.last {
			return corrupt(name, fmt.Sprintf("it says that batch %d was synced but ends with %d", r.lsn, s.last), "")
		}
		return nil
	}
	return corrupt(name, fmt.Sprintf("a record of unknown kind %d", r.kind), "")
}

// judgeEnd tells an unfinished end, which a crash leaves and which holds nothing that was synced, from damage: a
// record behind the place says that what should stand there was synced.
func (s *scan) judgeEnd(name string, b []byte, lastOne bool) error {
	if !lastOne {
		return corrupt(name, fmt.Sprintf("damaged at byte %d, though the log goes on in the next file", s.good), "")
	}
	budget := 256 << 20 // bytes to checksum while looking; a real torn end needs a tiny part
	for at := int(s.good) + 1; at < len(b); at++ {
		i := bytes.Index(b[at:], []byte{recordMagic0, recordMagic1})
		if i < 0 {
			return nil
		}
		at += i
		r, ok := readRecord(b[at:])
		if budget -= r.size; budget < 0 {
			return corrupt(name, fmt.Sprintf("damaged at byte %d", s.good), "")
		}
		if ok && r.kind == markRecord && r.lsn > s.last {
			return corrupt(name, fmt.Sprintf("damaged at byte %d, in a part that was synced (batch %d)", s.good, s.last+1), "")
		}
	}
	return nil
}

func damagedBatch(name string, lsn LSN, err error) error {
	switch kit.KindOf(err) {
	case kit.Unknown, kit.Corrupt, kit.Invalid:
		return corrupt(name, fmt.Sprintf("batch %d: %v", lsn, err), "")
	}
	return err
}

// eachBatch calls f with the batches of an undamaged beginning of a segment, until it says that it has seen enough.
// Unlike scanSegment it knows that more must be there than it finds.
func eachBatch(name string, b []byte, f func(lsn LSN, body []byte) (more bool, err error)) error {
	if _, ok := readSegmentStart(b); !ok {
		return corrupt(name, "its header is damaged", "")
	}
	for at := segmentHeader; at < len(b); {
		r, ok := readRecord(b[at:])
		if !ok {
			return corrupt(name, fmt.Sprintf("damaged at byte %d", at), "")
		}
		at += r.size
		if r.kind != batchRecord {
			continue
		}
		more, err := f(r.lsn, r.body)
		if err != nil {
			return damagedBatch(name, r.lsn, err)
		}
		if !more {
			return nil
		}
	}
	return nil
}
