//go:build !wasip1

package disk

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// bbolt trusts the pages of a file. A branch that leads back to itself would keep it going for ever, a count that was
// damaged would make it ask for all memory; neither can be caught. So the pages are looked at before bbolt opens a
// file: every page at most once, every reference and count within the file. What rows say is not looked at: they have
// checksums. The layout is that of version 2 of the file format, the only one there is.
const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2
	boltHeader  = 16 // of a page: id, flags, count, overflow
	boltElement = 16 // of a branch or a leaf
	boltMeta    = 64

	boltBranch = 0x01
	boltLeaf   = 0x02
	boltFree   = 0x10

	boltNoFreelist = ^uint64(0)
)

// boltFile is a file under inspection.
type boltFile struct {
	r     io.ReaderAt
	page  int64 // size of a page
	pages uint64
	seen  []uint64 // a bit for each page
	todo  []boltRef
	free  []byte // the numbers of free pages, 8 bytes each
}

// boltRef is a page to be looked at.
type boltRef struct {
	id  uint64
	top bool // it is of the tree whose leaves are buckets
}

// checkBolt looks at the pages of an image.
func checkBolt(name, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if why := checkPages(f, info.Size()); why != "" {
		return corrupt(name, why, "")
	}
	return nil
}

// checkPages says what is wrong with a file; empty when nothing is.
func checkPages(r io.ReaderAt, size int64) string {
	meta, page := newestMeta(r)
	if meta == nil {
		return "it has no valid meta page"
	}
	b := &boltFile{r: r, page: page, pages: binary.LittleEndian.Uint64(meta[40:])}
	if b.pages < 2 || b.pages > uint64(size/page) {
		return fmt.Sprintf("it is cut off: %d pages of %d bytes, %d bytes in all", b.pages, page, size)
	}
	b.seen = make([]uint64, b.pages/64+1)
	if free := binary.LittleEndian.Uint64(meta[32:]); free != boltNoFreelist {
		if why := b.freelist(free); why != "" {
			return why
		}
	}
	b.todo = append(b.todo, boltRef{binary.LittleEndian.Uint64(meta[16:]), true})
	for len(b.todo) > 0 {
		ref := b.todo[len(b.todo)-1]
		b.todo = b.todo[:len(b.todo)-1]
		if why := b.look(ref); why != "" {
			return fmt.Sprintf("page %d: %s", ref.id, why)
		}
	}
	return b.freeUsed()
}

// newestMeta gives the meta page that bbolt would use, and the size of pages.
func newestMeta(r io.ReaderAt) (newest []byte, page int64) {
	for at := int64(0); at <= 1<<16; at = max(at*2, 512) {
		var b [boltHeader + boltMeta]byte
		if n, _ := r.ReadAt(b[:], at); n < len(b) {
			break
		}
		m := b[boltHeader:]
		sum := fnv.New64a()
		_, _ = sum.Write(m[:56]) // it never fails
		size := int64(binary.LittleEndian.Uint32(m[8:]))
		if binary.LittleEndian.Uint32(m) != boltMagic || binary.LittleEndian.Uint32(m[4:]) != boltVersion ||
			binary.LittleEndian.Uint64(m[56:]) != sum.Sum64() || size < 512 || size > 1<<16 || size&(size-1) != 0 || at != 0 && at != size {
			continue
		}
		if newest == nil || binary.LittleEndian.Uint64(m[48:]) > binary.LittleEndian.Uint64(newest[48:]) {
			newest, page = m, size
		}
	}
	return newest, page
}

// head reads the head of a page and takes the page for one use.
func (b *boltFile) head(id uint64) (flags uint16, count int, room int64, why string) {
	if id < 2 || id >= b.pages {
		return 0, 0, 0, "there is no such page"
	}
	var h [boltHeader]byte
	if _, err := b.r.ReadAt(h[:], int64(id)*b.page); err != nil {
		return 0, 0, 0, err.Error()
	}
	more := uint64(binary.LittleEndian.Uint32(h[12:]))
	if binary.LittleEndian.Uint64(h[:]) != id || more >= b.pages-id {
		return 0, 0, 0, "its head is damaged"
	}
	for p := id; p <= id+more; p++ {
		if b.seen[p/64]&(1<<(p%64)) != 0 {
			return 0, 0, 0, "it is used twice"
		}
		b.seen[p/64] |= 1 << (p % 64)
	}
	return binary.LittleEndian.Uint16(h[8:]), int(binary.LittleEndian.Uint16(h[10:])), int64(more+1) * b.page, ""
}

func (b *boltFile) freelist(id uint64) string {
	flags, count, room, why := b.head(id)
	if why != "" {
		return "the list of free pages: " + why
	}
	n := uint64(count)
	if count == 0xffff {
		var big [8]byte
		if _, err := b.r.ReadAt(big[:], int64(id)*b.page+boltHeader); err != nil {
			return err.Error()
		}
		if n = binary.LittleEndian.Uint64(big[:]) + 1; n == 0 {
			return "the list of free pages is damaged"
		}
	}
	at := int64(boltHeader)
	if count == 0xffff {
		n, at = n-1, at+8
	}
	if flags != boltFree || n > uint64(room-at)/8 {
		return "the list of free pages is damaged"
	}
	b.free = make([]byte, 8*n)
	if _, err := b.r.ReadAt(b.free, int64(id)*b.page+at); err != nil {
		return err.Error()
	}
	return ""
}

// freeUsed says whether a page is both free and used: it would be written over.
func (b *boltFile) freeUsed() string {
	for i := 0; i < len(b.free); i += 8 {
		if id := binary.LittleEndian.Uint64(b.free[i:]); id < 2 || id >= b.pages || b.seen[id/64]&(1<<(id%64)) != 0 {
			return "the list of free pages has one that is used"
		}
	}
	return ""
}

// look checks a branch or leaf and notes the pages that it refers to.
func (b *boltFile) look(ref boltRef) string {
	flags, count, room, why := b.head(ref.id)
	switch {
	case why != "":
		return why
	case flags != boltBranch && flags != boltLeaf:
		return "it is neither branch nor leaf"
	case int64(count) > (room-boltHeader)/boltElement || flags == boltBranch && count == 0:
		return "its count is damaged"
	case flags == boltLeaf && !ref.top:
		return ""
	}
	all := make([]byte, room)
	if _, err := b.r.ReadAt(all, int64(ref.id)*b.page); err != nil {
		return err.Error()
	}
	for i := range count {
		e := all[boltHeader+i*boltElement:]
		if flags == boltBranch {
			b.todo = append(b.todo, boltRef{binary.LittleEndian.Uint64(e[8:]), ref.top})
			continue
		}
		at := int64(boltHeader+i*boltElement) + int64(binary.LittleEndian.Uint32(e[4:])) + int64(binary.LittleEndian.Uint32(e[8:]))
		size := int64(binary.LittleEndian.Uint32(e[12:]))
		if at+size > room || at < 0 {
			return "an element is damaged"
		}
		if e[0]&1 == 0 {
			continue // no bucket
		}
		if size < 16 {
			return "a bucket is damaged"
		}
		if root := binary.LittleEndian.Uint64(all[at:]); root != 0 {
			b.todo = append(b.todo, boltRef{root, false})
		} else if !plainLeaf(all[at+16 : at+size]) { // a small one lies in this page
			return "a bucket is damaged"
		}
	}
	return ""
}

// plainLeaf reports whether a page that lies within another is a leaf whose elements are within it.
func plainLeaf(p []byte) bool {
	if len(p) < boltHeader || binary.LittleEndian.Uint16(p[8:]) != boltLeaf {
		return false
	}
	count := int(binary.LittleEndian.Uint16(p[10:]))
	if count > (len(p)-boltHeader)/boltElement {
		return false
	}
	for i := range count {
		e := p[boltHeader+i*boltElement:]
		end := int64(boltHeader+i*boltElement) + int64(binary.LittleEndian.Uint32(e[4:])) + int64(binary.LittleEndian.Uint32(e[8:])) +
			int64(binary.LittleEndian.Uint32(e[12:]))
		if end > int64(len(p)) {
			return false
		}
	}
	return true
}
