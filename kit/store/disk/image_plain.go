package disk

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"maps"
	"slices"
	"sync"

	"netsplit/kit/term"
)

// plainImager makes images that are one file each, held in memory and written as a whole.
type plainImager struct{ fs FS }

func (p plainImager) suffix() string { return ".img" }

const (
	plainMagic = "NSPLIMG2"
	plainKin   = "NSPLIMG" // of all versions
)

// plainImage is an image held in memory.
type plainImage struct {
	p  plainImager
	t  identity
	mu sync.Mutex // guards the fields below; stored and keys themselves never change
	at LSN
	n  int

	stored map[string][]byte
	keys   []string // sorted; nil when not known
}

func (p plainImager) open(t identity) (image, error) {
	name := t.file() + p.suffix()
	b, err := readFile(p.fs, "open image", name)
	if err != nil {
		return nil, err
	}
	if len(b) >= len(plainMagic) && !bytes.HasPrefix(b, []byte(plainMagic)) && bytes.HasPrefix(b, []byte(plainKin)) {
		return nil, unknownForm(name, term.Int(int(b[len(plainKin)])-'0'))
	}
	body, ok := bytes.CutPrefix(b, []byte(plainMagic))
	if !ok || len(body) < 4 || crc32.Checksum(body[4:], castagnoli) != binary.LittleEndian.Uint32(body) {
		return nil, corrupt(name, "its checksum is wrong", "")
	}
	head, body, ok := cutBytes(body[4:])
	if !ok {
		return nil, corrupt(name, "it has no identity record", "")
	}
	im := &plainImage{p: p, t: t, stored: map[string][]byte{}}
	if im.at, im.n, err = t.readIdentity(name, head); err != nil {
		return nil, err
	}
	for len(body) > 0 {
		key, rest, ok1 := cutBytes(body)
		val, rest, ok2 := cutBytes(rest)
		if !ok1 || !ok2 {
			return nil, corrupt(name, "it is cut off", "")
		}
		if _, err := checkRows(key, val); err != nil {
			return nil, damagedRows(name, key, val)
		}
		im.stored[string(key)], body = val, rest
	}
	return im, nil
}

// cutBytes takes a length and so many bytes from the start of b.
func cutBytes(b []byte) (head, rest []byte, ok bool) {
	n, w := binary.Uvarint(b)
	if w <= 0 || n > uint64(len(b)-w) {
		return nil, nil, false
	}
	return b[w : w+int(n)], b[w+int(n):], true
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// plainBuilder gathers a new image in memory.
type plainBuilder struct{ im *plainImage }

func (p plainImager) create(t identity) (builder, error) {
	return plainBuilder{&plainImage{p: p, t: t, stored: map[string][]byte{}}}, nil
}

func (b plainBuilder) add(p *part) error {
	clear, changes := p.since(0)
	if clear {
		b.im.stored, b.im.n = map[string][]byte{}, 0
	}
	more, err := b.im.change(b.im.stored, changes)
	b.im.n += more
	return err
}

func (b plainBuilder) commit(applied LSN) error { return b.im.write(b.im.stored, b.im.n, applied) }
func (b plainBuilder) abort()                   {}

// change brings changes into stored and gives by how much the number of rows grows.
func (im *plainImage) change(stored map[string][]byte, changes []rawChange) (more int, err error) {
	err = runs(changes, func(cs []rawChange) error {
		key := string(cs[0].key)
		now, n, err := merge(nil, im.t.typ, im.file(), stored[key], cs)
		if len(now) == 0 {
			delete(stored, key)
		} else {
			stored[key] = now
		}
		more += n
		return err
	})
	return more, err
}

func (im *plainImage) write(stored map[string][]byte, n int, applied LSN) error {
	out := append([]byte(plainMagic), 0, 0, 0, 0)
	out = appendBytes(out, term.Append(nil, im.t.term(applied, n)))
	for _, k := range slices.Sorted(maps.Keys(stored)) {
		out = appendBytes(out, []byte(k))
		out = appendBytes(out, stored[k])
	}
	sumAt := len(plainMagic)
	binary.LittleEndian.PutUint32(out[sumAt:], crc32.Checksum(out[sumAt+4:], castagnoli))
	return replaceFile(im.p.fs, "write image", im.file(), out)
}

func (im *plainImage) close() error                { return nil }
func (im *plainImage) file() string                { return im.t.file() + im.p.suffix() }
func (im *plainImage) safely(f func() error) error { return f() }

func (im *plainImage) count() int {
	im.mu.Lock()
	defer im.mu.Unlock()
	return im.n
}

func (im *plainImage) applied() LSN {
	im.mu.Lock()
	defer im.mu.Unlock()
	return im.at
}

func (im *plainImage) apply(p *part, upto LSN) error {
	clear, changes := p.since(im.at)
	stored, n := maps.Clone(im.stored), im.n
	if clear {
		stored, n = map[string][]byte{}, 0
	}
	more, err := im.change(stored, changes)
	if err == nil {
		n += more
		err = im.write(stored, n, upto)
	}
	if err != nil {
		return err
	}
	im.mu.Lock()
	defer im.mu.Unlock()
	im.stored, im.n, im.at, im.keys = stored, n, upto, nil
	return nil
}

// sorted gives the rows and their keys in order, as they are now.
func (im *plainImage) sorted() (map[string][]byte, []string) {
	im.mu.Lock()
	defer im.mu.Unlock()
	if im.keys == nil {
		im.keys = slices.Sorted(maps.Keys(im.stored))
	}
	return im.stored, im.keys
}

func (im *plainImage) each(f func(key, stored []byte) error, end func()) error {
	defer end()
	stored, keys := im.sorted()
	for _, k := range keys {
		if err := f([]byte(k), stored[k]); err != nil {
			return err
		}
	}
	return nil
}

func (im *plainImage) read(key string, stored map[string][]byte) ([]term.Tuple, error) {
	s, ok := stored[key]
	if !ok {
		return nil, nil
	}
	rows, err := readRows(nil, []byte(key), s)
	if err != nil {
		return nil, damagedRows(im.file(), []byte(key), s)
	}
	return rows, nil
}

func (im *plainImage) get(key []byte) ([]term.Tuple, error) {
	im.mu.Lock()
	stored := im.stored
	im.mu.Unlock()
	return im.read(string(key), stored)
}

func (im *plainImage) next(key []byte) ([]byte, []term.Tuple, error) {
	stored, keys := im.sorted()
	i, found := slices.BinarySearch(keys, string(key))
	if found {
		i++
	}
	if i == len(keys) {
		return nil, nil, nil
	}
	rows, err := im.read(keys[i], stored)
	return []byte(keys[i]), rows, err
}
