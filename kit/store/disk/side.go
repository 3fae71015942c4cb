package disk

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"netsplit/kit"
)

// Side files lie in the disc's folder beside the log and the images: backups, and the fallback. They are no part of the
// store's content; the disc itself never reads them.

const (
	sidePrefix = "side."
	sideSuffix = ".file"
	maxSide    = 100 // bytes of a side file's name
)

// SideName refuses what is no plain file name: letters, digits, dot, hyphen and underscore, not beginning with a dot.
func SideName(name string) error {
	plain := name != "" && len(name) <= maxSide && name[0] != '.'
	for _, c := range []byte(name) {
		plain = plain && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("._-", c) >= 0)
	}
	if plain {
		return nil
	}
	return &kit.Error{Op: "name file", Kind: kit.Invalid, What: name, Hint: "a plain name such as monday.bup, without folders"}
}

// WriteFile makes a side file of what content writes. When it returns without an error the whole file is on the disc;
// otherwise what was there before is still there.
func (d *Disk) WriteFile(name string, content func(io.Writer) error) error {
	return writeSide(d.fs, sidePrefix+name+sideSuffix, name, "", int64(d.sides.Add(1)), content)
}

// writeSide makes a file: under another name first, which count tells from that of others who write it too.
func writeSide(fsys FS, file, name, mark string, count int64, content func(io.Writer) error) error {
	if err := SideName(name); err != nil {
		return err
	}
	const op = "write file"
	tmp := fmt.Sprintf("%s.%s%d%s", file, mark, count, tmpSuffix)
	f, err := fsys.Append(op, tmp, true)
	if err != nil {
		return ioError(op, name, err)
	}
	w := bufio.NewWriterSize(sideWriter{f}, 1<<16)
	err = content(w)
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync(op)
	}
	err = errors.Join(err, f.Close())
	if err != nil {
		_ = fsys.Remove(op, tmp) // the error that matters is err; opening the disc removes it too
		return err
	}
	if err := fsys.Rename(op, tmp, file); err != nil {
		return ioError(op, name, err)
	}
	return fsys.SyncDir(op)
}

type sideWriter struct{ f File }

func (w sideWriter) Write(p []byte) (int, error) { return w.f.Write("write file", p) }

// OpenFile reads a side file. A missing one is fs.ErrNotExist.
func (d *Disk) OpenFile(name string) (io.ReadCloser, error) {
	return openSide(d.fs, sidePrefix+name+sideSuffix, name)
}

func openSide(fsys FS, file, name string) (io.ReadCloser, error) {
	if SideName(name) != nil {
		return nil, fs.ErrNotExist // no such file can be there
	}
	return fsys.Open("read file", file)
}

// RemoveFile removes a side file; one that is not there is no error.
func (d *Disk) RemoveFile(name string) error {
	err := d.fs.Remove("remove file", sidePrefix+name+sideSuffix)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return ioError("remove file", name, err)
	}
	return d.fs.SyncDir("remove file")
}
