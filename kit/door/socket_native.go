//go:build !wasip1

package door

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"time"

	"netsplit/kit"
)

// MaxSocketPath is the longest path of a unix socket that every supported system takes (macOS: 104 with the
// closing zero).
const MaxSocketPath = 100

// Listen opens a door at path: a unix socket that only its owner can use (mode 0600), in a folder that is made
// with mode 0700 when missing. The socket of a dead owner is replaced; that of a living one is an error.
func Listen(path string) (net.Listener, error) {
	if len(path) > MaxSocketPath {
		return nil, doorError(path, kit.Invalid, fmt.Errorf("a socket path is at most %d bytes", MaxSocketPath), "use a shorter folder")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, doorError(path, kit.Broken, err, "")
	}
	if _, err := os.Lstat(path); err == nil {
		conn, err := net.DialTimeout("unix", path, time.Second)
		if err == nil {
			conn.Close()
			return nil, doorError(path, kit.Exists, errors.New("another node serves it"), "")
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, doorError(path, kit.Broken, err, "")
		}
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, doorError(path, kit.Broken, err, "")
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, doorError(path, kit.Broken, err, "")
	}
	return l, nil
}

func doorError(path string, kind kit.Kind, err error, hint string) error {
	return &kit.Error{Op: "open door", What: path, Kind: kind, Err: err, Hint: hint}
}
