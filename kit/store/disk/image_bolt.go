//go:build !wasip1

package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"netsplit/kit"
	"netsplit/kit/term"
)

// boltImager makes images that are bbolt files. bbolt has no checksums, takes an empty file for a new
// database and panics or faults on a truncated one; so every value carries a checksum, every image its identity, and
// every call goes through guard.
type boltImager struct {
	fs   FS // for what is done to whole files
	path string
}

func (p boltImager) withFS(fs FS) imager { return boltImager{fs, p.path} }

func (p boltImager) suffix() string { return ".bolt" }

// The buckets of an image and the key of its identity record.
var (
	boltAbout = []byte("about")
	boltID    = []byte("identity")
	boltRows  = []byte("rows")
)

// buildStep is how many keys one transaction of a builder writes: enough to be fast, few enough to stay small in memory.
const buildStep = 20_000

// boltOptions keep the list of free pages in the file: without it Open walks the file in a goroutine of bbolt's, whose
// panic at a damaged page nobody could catch. The folder is locked, so a time-out means that a stranger has the file.
func boltOptions() *bbolt.Options {
	return &bbolt.Options{Timeout: 2 * time.Second, FreelistType: bbolt.FreelistMapType}
}

// guard calls f and makes an error of a panic or a memory fault, which is how bbolt meets a damaged file.
func guard(file string, f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = corrupt(file, fmt.Sprintf("its structure is damaged: %v", r), "")
		}
	}()
	err = f()
	if errors.Is(err, bolterrors.ErrInvalid) || errors.Is(err, bolterrors.ErrChecksum) || errors.Is(err, bolterrors.ErrVersionMismatch) {
		return corrupt(file, err.Error(), "")
	}
	return err
}

type boltImage struct {
	name string
	t    identity
	db   *bbolt.DB
	at   atomic.Uint64 // an LSN
	n    atomic.Int64
}

func (p boltImager) open(t identity) (image, error) {
	name := t.file() + p.suffix()
	path := filepath.Join(p.path, name)
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() == 0 {
		return nil, corrupt(name, "it is empty", "")
	}
	if err := checkBolt(name, path); err != nil {
		return nil, ioError("open image", name, err)
	}
	im := &boltImage{name: name, t: t}
	err = guard(name, func() error {
		db, err := bbolt.Open(path, 0o600, boltOptions())
		var pathErr *fs.PathError
		switch {
		case errors.Is(err, bolterrors.ErrTimeout):
			return &kit.Error{Op: "open image", Kind: kit.Refused, What: name, Err: err, Hint: "another program has the file open"}
		case err != nil && !errors.As(err, &pathErr):
			return corrupt(name, err.Error(), "")
		case err != nil:
			return err
		}
		im.db = db
		return im.readIdentity()
	})
	if err != nil {
		if im.db != nil {
			_ = guard(name, im.db.Close) // the error that matters is err
		}
		return nil, ioError("open image", name, err)
	}
	return im, nil
}

func (im *boltImage) readIdentity() error {
	return im.db.View(func(tx *bbolt.Tx) error {
		about, rows := tx.Bucket(boltAbout), tx.Bucket(boltRows)
		if about == nil || rows == nil {
			return corrupt(im.name, "it has no identity record", "")
		}
		at, n, err := im.t.readIdentity(im.name, about.Get(boltID))
		im.at.Store(uint64(at))
		im.n.Store(int64(n))
		return err
	})
}

func (im *boltImage) count() int                  { return int(im.n.Load()) }
func (im *boltImage) applied() LSN                { return LSN(im.at.Load()) }
func (im *boltImage) file() string                { return im.name }
func (im *boltImage) safely(f func() error) error { return guard(im.name, f) }
func (im *boltImage) close() error                { return guard(im.name, im.db.Close) }

func (im *boltImage) apply(p *part, upto LSN) error {
	clear, changes := p.since(im.applied())
	n := im.count()
	err := guard(im.name, func() error {
		return im.db.Update(func(tx *bbolt.Tx) error {
			if clear {
				n = 0
				if err := tx.DeleteBucket(boltRows); err != nil {
					return err
				}
			}
			rows, err := tx.CreateBucketIfNotExists(boltRows)
			if err != nil {
				return err
			}
			more, err := im.change(rows, changes, n == 0)
			if err != nil {
				return err
			}
			n += more
			return tx.Bucket(boltAbout).Put(boltID, term.Append(nil, im.t.term(upto, n)))
		})
	})
	if err != nil {
		return ioError("dump into", im.name, err)
	}
	im.at.Store(uint64(upto))
	im.n.Store(int64(n))
	return nil
}

// change brings changes in and gives by how much the number of rows grows. fresh says that none of the keys is there yet.
func (im *boltImage) change(b *bbolt.Bucket, changes []rawChange, fresh bool) (more int, err error) {
	var room []byte // bbolt keeps a value until the transaction ends, so each gets its own part of this
	err = runs(changes, func(cs []rawChange) error {
		key := cs[0].key
		var old []byte
		if !fresh {
			old = b.Get(key)
		}
		if cap(room)-len(room) < len(cs[0].row)+4 {
			room = make([]byte, 0, max(1<<16, len(cs[0].row)+4))
		}
		now, n, err := merge(room[len(room):], im.t.typ, im.name, old, cs)
		if err != nil {
			return err
		}
		more += n
		if len(now) == 0 {
			if old == nil {
				return nil
			}
			return b.Delete(key)
		}
		if cap(now) == cap(room)-len(room) {
			room = room[:len(room)+len(now)]
		}
		return b.Put(key, now)
	})
	return more, err
}

func (im *boltImage) each(f func(key, stored []byte) error, end func()) error {
	return ioError("read", im.name, guard(im.name, func() error {
		return im.db.View(func(tx *bbolt.Tx) error {
			defer end() // also when the walk ends in a fault
			_, want, err := im.t.readIdentity(im.name, tx.Bucket(boltAbout).Get(boltID))
			if err != nil {
				return err
			}
			n := 0
			err = tx.Bucket(boltRows).ForEach(func(k, v []byte) error {
				if v == nil { // taken for a bucket
					return damagedRows(im.name, k, v)
				}
				n += im.rowsIn(v)
				return f(k, v)
			})
			if err == nil && n != want { // a branch of the tree was lost: rows have checksums, pages do not
				err = corrupt(im.name, fmt.Sprintf("it holds %d of %d rows", n, want), "")
			}
			return err
		})
	}))
}

// rowsIn counts the rows of a key as they are stored.
func (im *boltImage) rowsIn(stored []byte) int {
	if im.t.typ != Bag {
		return 1
	}
	n := 0
	for b := stored[min(4, len(stored)):]; len(b) > 0; n++ {
		var err error
		if b, err = term.Skip(b); err != nil {
			return n // whoever reads them says so
		}
	}
	return n
}

func (im *boltImage) view(f func(*bbolt.Bucket) error) error {
	return ioError("read", im.name, guard(im.name, func() error {
		return im.db.View(func(tx *bbolt.Tx) error { return f(tx.Bucket(boltRows)) })
	}))
}

func (im *boltImage) get(key []byte) (rows []term.Tuple, err error) {
	err = im.view(func(b *bbolt.Bucket) error {
		stored := b.Get(key)
		if stored == nil {
			return nil
		}
		if rows, err = readRows(nil, key, stored); err != nil {
			return damagedRows(im.name, key, stored)
		}
		return nil
	})
	return rows, err
}

func (im *boltImage) next(key []byte) (found []byte, rows []term.Tuple, err error) {
	err = im.view(func(b *bbolt.Bucket) error {
		c := b.Cursor()
		k, v := c.Seek(key)
		if k != nil && bytes.Equal(k, key) {
			k, v = c.Next()
		}
		switch {
		case k == nil:
			return nil
		case v == nil: // taken for a bucket
			return damagedRows(im.name, k, v)
		}
		found = bytes.Clone(k)
		if rows, err = readRows(nil, k, v); err != nil {
			return damagedRows(im.name, k, v)
		}
		return nil
	})
	return found, rows, err
}

// boltBuilder writes a new image beside the old one.
type boltBuilder struct {
	p    boltImager
	im   *boltImage
	tmp  string
	done bool
	last []byte // the greatest key that was added
}

var boltBuilders atomic.Uint64 // gives each its own file

func (p boltImager) create(t identity) (builder, error) {
	name := t.file() + p.suffix()
	b := &boltBuilder{p: p, im: &boltImage{name: name, t: t}, tmp: fmt.Sprintf("%s.%d%s", name, boltBuilders.Add(1), tmpSuffix)}
	if err := os.Remove(b.path()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, ioError("build image", name, err)
	}
	err := guard(name, func() (err error) {
		o := boltOptions()
		o.NoSync, o.NoGrowSync = true, true
		if b.im.db, err = bbolt.Open(b.path(), 0o600, o); err != nil {
			return err
		}
		return b.im.db.Update(func(tx *bbolt.Tx) error {
			_, err1 := tx.CreateBucket(boltAbout)
			_, err2 := tx.CreateBucket(boltRows)
			return errors.Join(err1, err2)
		})
	})
	if err != nil {
		b.abort()
		return nil, ioError("build image", name, err)
	}
	return b, nil
}

func (b *boltBuilder) path() string { return filepath.Join(b.p.path, b.tmp) }

func (b *boltBuilder) add(p *part) error {
	clear, changes := p.since(0)
	return ioError("build image", b.im.name, guard(b.im.name, func() error {
		if clear {
			b.im.n.Store(0)
			b.last = nil
			err := b.im.db.Update(func(tx *bbolt.Tx) error {
				err := tx.DeleteBucket(boltRows)
				if err == nil {
					_, err = tx.CreateBucket(boltRows)
				}
				return err
			})
			if err != nil {
				return err
			}
		}
		for len(changes) > 0 {
			n := min(len(changes), buildStep)
			for n < len(changes) && bytes.Equal(changes[n-1].key, changes[n].key) {
				n++
			}
			if err := b.step(changes[:n]); err != nil {
				return err
			}
			changes = changes[n:]
		}
		return nil
	}))
}

func (b *boltBuilder) step(changes []rawChange) error {
	fresh := bytes.Compare(b.last, changes[0].key) < 0
	if last := changes[len(changes)-1].key; bytes.Compare(b.last, last) < 0 {
		b.last = last
	}
	return b.im.db.Update(func(tx *bbolt.Tx) error {
		rows := tx.Bucket(boltRows)
		rows.FillPercent = 0.9
		more, err := b.im.change(rows, changes, fresh)
		b.im.n.Add(int64(more))
		return err
	})
}

func (b *boltBuilder) commit(applied LSN) error {
	const op = "build image"
	err := guard(b.im.name, func() error {
		err := b.im.db.Update(func(tx *bbolt.Tx) error {
			return tx.Bucket(boltAbout).Put(boltID, term.Append(nil, b.im.t.term(applied, b.im.count())))
		})
		if err != nil {
			return err
		}
		err = b.im.db.Sync()
		b.done = true
		return errors.Join(err, b.im.db.Close())
	})
	if err == nil {
		err = b.p.fs.Rename(op, b.tmp, b.im.name)
	}
	if err == nil {
		err = b.p.fs.SyncDir(op)
	}
	if err != nil {
		b.abort()
		return ioError(op, b.im.name, err)
	}
	b.tmp = ""
	return nil
}

func (b *boltBuilder) abort() {
	if b.tmp == "" {
		return
	}
	if b.im.db != nil && !b.done {
		_ = guard(b.im.name, b.im.db.Close) // what it holds is forgotten
		b.done = true
	}
	_ = os.Remove(b.path()) // Open removes what is left
	b.tmp = ""
}

// Dir is a folder of the real file system; images are bbolt files in it. It does not exist under wasip1.
func Dir(path string) Options {
	return Options{open: func() (FS, imager, error) {
		d, err := openFolder(path)
		if err != nil {
			return nil, nil, err
		}
		return d, boltImager{d, path}, nil
	}}
}
