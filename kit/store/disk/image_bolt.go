//go:build !wasip1

package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"iter"
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

// buildStep is how many rows one transaction of build writes: enough to be fast, few enough to stay small in memory.
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
	at   LSN // for whoever applies
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
		im.at = at
		im.n.Store(int64(n))
		return err
	})
}

func (im *boltImage) count() int   { return int(im.n.Load()) }
func (im *boltImage) close() error { return guard(im.name, im.db.Close) }

func (im *boltImage) apply(changes []pending, upto LSN) error {
	k := gather(im.t.typ, changes, im.at)
	n := im.count()
	err := guard(im.name, func() error {
		return im.db.Update(func(tx *bbolt.Tx) error {
			if k.clear {
				n = 0
				if err := tx.DeleteBucket(boltRows); err != nil {
					return err
				}
			}
			rows, err := tx.CreateBucketIfNotExists(boltRows)
			if err != nil {
				return err
			}
			for _, key := range k.keys {
				more, err := im.change(rows, []byte(key), k.byKey[key])
				if err != nil {
					return err
				}
				n += more
			}
			return tx.Bucket(boltAbout).Put(boltID, term.Append(nil, im.t.term(upto, n)))
		})
	})
	if err != nil {
		return ioError("dump into", im.name, err)
	}
	im.at = upto
	im.n.Store(int64(n))
	return nil
}

// change brings the changes of one key in and gives by how much the number of rows grows.
func (im *boltImage) change(b *bbolt.Bucket, key []byte, changes []Change) (int, error) {
	var old []term.Tuple
	if raw := b.Get(key); raw != nil {
		var err error
		if old, err = readRows(key, raw); err != nil {
			return 0, damagedRows(im.name, key)
		}
	}
	now := fold(im.t.typ, old, changes)
	if len(now) == 0 {
		return -len(old), b.Delete(key)
	}
	return len(now) - len(old), b.Put(key, appendRows(nil, key, now))
}

func (im *boltImage) each(f func([]term.Tuple) error) error {
	var stop error // f's own, which is handed on as it is
	err := im.view(func(b *bbolt.Bucket) error {
		return b.ForEach(func(k, v []byte) error {
			rows, err := readRows(k, v)
			if err != nil {
				return damagedRows(im.name, k)
			}
			stop = f(rows)
			return stop
		})
	})
	if stop != nil {
		return stop
	}
	return err
}

func (im *boltImage) view(f func(*bbolt.Bucket) error) error {
	return ioError("read", im.name, guard(im.name, func() error {
		return im.db.View(func(tx *bbolt.Tx) error { return f(tx.Bucket(boltRows)) })
	}))
}

func (im *boltImage) get(key []byte) (rows []term.Tuple, err error) {
	err = im.view(func(b *bbolt.Bucket) error {
		raw := b.Get(key)
		if raw == nil {
			return nil
		}
		if rows, err = readRows(key, raw); err != nil {
			return damagedRows(im.name, key)
		}
		return nil
	})
	return rows, err
}

func (im *boltImage) next(key []byte) (rows []term.Tuple, err error) {
	err = im.view(func(b *bbolt.Bucket) error {
		c := b.Cursor()
		k, v := c.Seek(key)
		if k != nil && bytes.Equal(k, key) {
			k, v = c.Next()
		}
		if k == nil {
			return nil
		}
		if rows, err = readRows(k, v); err != nil {
			return damagedRows(im.name, k)
		}
		return nil
	})
	return rows, err
}

func (p boltImager) build(t identity, applied LSN, rows iter.Seq[term.Tuple]) error {
	name := t.file() + p.suffix()
	tmp := name + tmpSuffix
	path := filepath.Join(p.path, tmp)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return ioError("build image", name, err)
	}
	err := guard(name, func() error { return buildBolt(path, &boltImage{name: name, t: t, at: applied}, rows) })
	if err == nil {
		err = p.fs.Rename("build image", tmp, name)
	}
	if err == nil {
		err = p.fs.SyncDir("build image")
	}
	if err != nil {
		_ = os.Remove(path) // the old image counts; Open removes what is left of the new one
		return ioError("build image", name, err)
	}
	return nil
}

func buildBolt(path string, im *boltImage, rows iter.Seq[term.Tuple]) (err error) {
	o := boltOptions()
	o.NoSync, o.NoGrowSync = true, true
	if im.db, err = bbolt.Open(path, 0o600, o); err != nil {
		return err
	}
	defer func() {
		if cerr := im.db.Close(); err == nil {
			err = cerr
		}
	}()
	err = im.db.Update(func(tx *bbolt.Tx) error {
		_, err1 := tx.CreateBucket(boltAbout)
		_, err2 := tx.CreateBucket(boltRows)
		return errors.Join(err1, err2)
	})
	if err != nil {
		return err
	}
	part := make([]pending, 0, buildStep)
	for r := range rows {
		part = append(part, pending{im.at + 1, Change{Op: Put, Value: r}})
		if len(part) == buildStep {
			if err := im.buildPart(part); err != nil {
				return err
			}
			part = part[:0]
		}
	}
	if err := im.buildPart(part); err != nil {
		return err
	}
	err = im.db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket(boltAbout).Put(boltID, term.Append(nil, im.t.term(im.at, im.count())))
	})
	if err != nil {
		return err
	}
	return im.db.Sync()
}

func (im *boltImage) buildPart(part []pending) error {
	k := gather(im.t.typ, part, im.at)
	return im.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(boltRows)
		b.FillPercent = 0.9
		for _, key := range k.keys {
			more, err := im.change(b, []byte(key), k.byKey[key])
			if err != nil {
				return err
			}
			im.n.Add(int64(more))
		}
		return nil
	})
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
