package disk

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"slices"
	"strings"

	"netsplit/kit/term"
)

// The manifest says where the log begins, which tables there are and what the named values were. It may be
// newer than the beginning of the log: replaying changes that it shows already leads to the same end.
const (
	manifestName  = "MANIFEST"
	manifestMagic = "NSPLMAN1"
	// manifestVersion is the form of a disc: of the manifest, the log and the images. Others are refused.
	manifestVersion = 2
)

// writeManifest writes what is known now. The log must show it too before, or a batch could survive in part.
func (d *Disk) writeManifest() error {
	d.mu.RLock()
	lsn, m := d.last, d.manifest()
	d.mu.RUnlock()
	if d.begun.Load() {
		if err := d.wal.sync(lsn); err != nil {
			return err
		}
	}
	return d.putManifest(m)
}

func (d *Disk) putManifest(m term.Term) error {
	b := append([]byte(manifestMagic), 0, 0, 0, 0)
	b = term.Append(b, m)
	sum := crc32.Checksum(b[len(manifestMagic)+4:], castagnoli)
	binary.LittleEndian.PutUint32(b[len(manifestMagic):], sum)
	return replaceFile(d.fs, "write manifest", manifestName, b)
}

// manifest is called with mu held.
func (d *Disk) manifest() term.Term {
	tables := make(term.List, 0, len(d.tables))
	for _, t := range d.tables {
		tables = append(tables, term.T(term.Bin(t.name), term.Int(t.typ), term.Bool(t.only), term.Int(t.created), term.Bool(t.imaged)))
	}
	slices.SortFunc(tables, term.Compare)
	return term.T(term.Atom("manifest"), term.Int(manifestVersion), term.Int(d.first), term.Int(d.base), tables, term.Map(d.allMeta()))
}

// readManifest reads the manifest; false when there is none.
func (d *Disk) readManifest() (bool, error) {
	b, err := readFile(d.fs, "open disc", manifestName)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, ioError("open disc", manifestName, err)
	}
	head := len(manifestMagic) + 4
	if len(b) < head || string(b[:len(manifestMagic)]) != manifestMagic || crc32.Checksum(b[head:], castagnoli) != binary.LittleEndian.Uint32(b[head-4:]) {
		return false, corrupt(manifestName, "its checksum is wrong", "")
	}
	v, rest, err := term.Decode(b[head:])
	m, ok := v.(term.Tuple)
	if err != nil || len(rest) > 0 || !ok || len(m) < 2 || m[0] != term.Atom("manifest") {
		return false, corrupt(manifestName, "it is no manifest", "")
	}
	if m[1] != term.Int(manifestVersion) || len(m) != 6 {
		return false, unknownForm(manifestName, m[1])
	}
	first, ok1 := m[2].(term.Int)
	base, ok2 := m[3].(term.Int)
	tables, ok3 := m[4].(term.List)
	meta, ok4 := m[5].(term.Map)
	if !ok1 || !ok2 || !ok3 || !ok4 || first < 1 || base < 1 {
		return false, corrupt(manifestName, "it is of an unknown form", "")
	}
	d.first, d.base = uint64(first), LSN(base)
	for _, e := range tables {
		t, ok := readTable(e)
		if !ok {
			return false, corrupt(manifestName, "it is of an unknown form", "")
		}
		d.tables[t.name] = t
	}
	for _, p := range meta {
		d.meta[term.Key(p.Key)] = p
	}
	return true, nil
}

func readTable(e term.Term) (*table, bool) {
	r, ok := e.(term.Tuple)
	if !ok || len(r) != 5 {
		return nil, false
	}
	name, ok1 := r[0].(term.Bin)
	typ, ok2 := r[1].(term.Int)
	created, ok3 := r[3].(term.Int)
	if !ok1 || !ok2 || !ok3 || typ < term.Int(Set) || typ > term.Int(Bag) {
		return nil, false
	}
	t := &table{identity: identity{string(name), Type(typ), LSN(created)}, only: r[2] == term.True, imaged: r[4] == term.True}
	if t.only {
		t.fresh = &overlay{}
	}
	return t, true
}

// tidy removes what no manifest and no table needs any more.
func (d *Disk) tidy() error {
	names, err := d.fs.List("tidy")
	if err != nil {
		return ioError("tidy", "", err)
	}
	needed := map[string]bool{}
	d.mu.RLock()
	for _, t := range d.tables {
		needed[t.file()+d.images.suffix()] = true
	}
	d.mu.RUnlock()
	for _, seq := range segments(names) {
		needed[segmentName(seq)] = seq >= d.first
	}
	for _, n := range names {
		isOurs := strings.HasPrefix(n, segmentPrefix) || strings.HasSuffix(n, d.images.suffix())
		if isOurs && !needed[n] {
			if err := d.fs.Remove("tidy", n); err != nil {
				return ioError("tidy", n, err)
			}
		}
	}
	return nil
}
