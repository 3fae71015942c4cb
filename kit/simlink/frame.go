// Package simlink is the line between a node that runs inside the simulator and the simulator that hosts it:
// typed frames over one file descriptor. The host owns time, network, disk and randomness; the guest asks for
// them with frames. Everything that is no frame (what a program prints) goes to stdout and stderr as usual and
// cannot be mistaken for one.
//
// In the guest Open gives the Link; wire and store/disk each register for their kinds of frame. Outside the simulator Open
// reports kit.Unavailable, and Pair gives both ends in memory for tests.
package simlink

import (
	"encoding/binary"
	"errors"
	"fmt"

	"netsplit/kit"
)

// FD is the file descriptor of the link in the guest. It lies far above the descriptors that WASI hands out,
// so that stdin, stdout and stderr stay what a Go program expects.
const FD = 100

// Limits of a frame. One that breaks them ends the node that wrote it.
const (
	MaxData = 17 << 20 // bytes of Data: a wire frame of 16 MiB and its surroundings
	MaxName = 256      // bytes of Name
)

// KeptPrefix begins the names of a node's own files, its backups: they stay when its disc is emptied.
const KeptPrefix = "file."

// Kind says what a frame is. The comment names the fields that count and, in brackets, who sends it.
type Kind byte

// The kinds of frame. A connection's ID is chosen by the guest for Dial (1, 2, 3, ...) and by the host for
// Accept (HostConn and up); both ends then use it for that connection.
const (
	None Kind = iota

	File  // [host] Name, Data: one file of the node's disc; all of them come before Boot
	Boot  // [host] Data: JSON of Start; the guest may begin
	Ready // [guest] the door is open; no field

	Listen  // [guest] Data: the cookie; before it, dials to this node are refused
	Dial    // [guest] ID, Name: node, Data: the cookie
	Accept  // [host] ID, Name: the node that dialled
	Opened  // [host] ID: the dial has succeeded
	Refused // [host] ID, Name: "cookie" or "down", Data: prose
	Data    // [both] ID, Data: one wire frame
	Close   // [both] ID: nothing more comes on this connection, in order after its data
	Taken   // [guest] ID, Data: 8 bytes, little-endian: so many bytes of the connection's data were consumed since the last one
	Packet  // [both] ID, Data: a wire frame that may be lost, doubled or overtaken

	Door // [host] Data: a line of the door, an order. [guest] Data: a line of the door, an answer

	DiskAppend   // [guest] Name, Data: append to a file, which is made when absent
	DiskReplace  // [guest] Name, Data: the file's whole content from now on, atomically
	DiskTruncate // [guest] Name, ID: cut the file to ID bytes
	DiskRename   // [guest] Name: old, Data: new name; replaces what is there, atomically
	DiskRemove   // [guest] Name
	DiskSync     // [guest] ID, Name: make what was done to the file so far survive a crash; empty Name: all files
	DiskDone     // [host] ID: the sync with that ID is complete; Data: prose of the error, empty when it went well

	kinds
)

// A receiver reports what it has consumed with Taken after each TakenStep bytes; the host holds data back while more
// than Window bytes of a connection are not reported, as TCP's window does.
const (
	Window    = 8 << 20
	TakenStep = 1 << 20
)

// HostConn is the first connection ID that the host gives out.
const HostConn = 1 << 32

var kindNames = [...]string{"none", "file", "boot", "ready", "listen", "dial", "accept", "opened", "refused", "data", "close",
	"taken", "packet", "door", "append", "replace", "truncate", "rename", "remove", "sync", "done"}

// String gives the kind's name in lower case.
func (k Kind) String() string {
	if int(k) >= len(kindNames) {
		return "none"
	}
	return kindNames[k]
}

// Frame is one message of the link; its Kind says which fields count.
type Frame struct {
	Kind Kind
	ID   uint64
	Name string
	Data []byte
}

// errFrame is the cause of every Decode error that is not merely a lack of bytes.
var errFrame = errors.New("forged or broken frame")

// Append appends the frame's bytes to dst: a length of four bytes, then kind, ID, name and data.
func Append(dst []byte, f Frame) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0, byte(f.Kind))
	dst = binary.AppendUvarint(dst, f.ID)
	dst = binary.AppendUvarint(dst, uint64(len(f.Name)))
	dst = append(dst, f.Name...)
	dst = append(dst, f.Data...)
	binary.LittleEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst
}

// Decode reads one frame from the start of src and says how many bytes it took; 0 means that src holds no
// whole frame yet. Data points into src. A frame that breaks the format or a limit is kit.Corrupt.
func Decode(src []byte) (Frame, int, error) {
	if len(src) < 4 {
		return Frame{}, 0, nil
	}
	n := int(binary.LittleEndian.Uint32(src))
	if n < 3 || n > MaxData+MaxName+24 {
		return Frame{}, 0, broken("length %d", n)
	}
	if len(src) < 4+n {
		return Frame{}, 0, nil
	}
	body := src[4 : 4+n]
	f := Frame{Kind: Kind(body[0])}
	if f.Kind == None || f.Kind >= kinds {
		return Frame{}, 0, broken("kind %d", body[0])
	}
	body = body[1:]
	id, w := binary.Uvarint(body)
	if w <= 0 {
		return Frame{}, 0, broken("id")
	}
	body = body[w:]
	size, w := binary.Uvarint(body)
	if w <= 0 || size > MaxName || size > uint64(len(body)-w) {
		return Frame{}, 0, broken("name")
	}
	body = body[w:]
	f.ID, f.Name, f.Data = id, string(body[:size]), body[size:]
	if len(f.Data) > MaxData {
		return Frame{}, 0, broken("%d bytes of data", len(f.Data))
	}
	return f, 4 + n, nil
}

func broken(format string, args ...any) error {
	return &kit.Error{Op: "read frame", Kind: kit.Corrupt, Err: fmt.Errorf("%w: "+format, append([]any{errFrame}, args...)...)}
}
