package sim

import (
	"context"
	"encoding/binary"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"netsplit/kit/simlink"
)

const (
	wasiModule    = wasi_snapshot_preview1.ModuleName
	startFunction = "_start"
)

// WASI's error numbers, as the guest's syscall package reads them.
const (
	errnoOK     = 0
	errnoAgain  = 6
	errnoBadf   = 8
	errnoFault  = 21
	errnoInval  = 28
	errnoNobufs = 42
	errnoNospc  = 51
	errnoPipe   = 64
)

// Sizes and numbers of WASI's poll_oneoff and fd_fdstat_get.
const (
	subSize, eventSize           = 48, 32
	maxSubs                      = 1024
	eventClock, eventRead        = 0, 1
	fdstatSize, flagNonblock     = 24, 4
	fileCharDevice, fileSocket   = 2, 6
	maxIovs                      = 64
	hostCallSteps, bytesOverStep = 170, 6 // what a call to the host costs the guest, and how many bytes a step moves
)

// guestKey is the context key of the guest that a host function works for.
type guestKey struct{}

// exportHost makes the one module that programs import from: wazero's WASI, which has nothing preopened and
// so reaches nothing, with the functions replaced through which a guest reads, writes and waits.
func exportHost(ctx context.Context, r wazero.Runtime) error {
	b := r.NewHostModuleBuilder(wasiModule)
	wasi_snapshot_preview1.NewFunctionExporter().ExportFunctions(b)
	i32 := api.ValueTypeI32
	for _, f := range []struct {
		name   string
		params int
		fn     func(g *guest, mem api.Memory, p []uint64) uint32
	}{
		{"fd_fdstat_get", 2, fdFdstatGet},
		{"fd_read", 4, fdRead},
		{"fd_write", 4, fdWrite},
		{"poll_oneoff", 4, pollOneoff},
	} {
		params := make([]api.ValueType, f.params)
		for i := range params {
			params[i] = i32
		}
		b.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, mod api.Module, stack []uint64) {
			g := ctx.Value(guestKey{}).(*guest)
			g.charge(hostCallSteps)
			stack[0] = uint64(f.fn(g, mod.Memory(), stack))
		}), params, []api.ValueType{i32}).Export(f.name)
	}
	_, err := b.Instantiate(ctx)
	return err
}

// fdFdstatGet announces the link as a non-blocking stream. That makes Go's runtime park its reader, and call
// poll_oneoff exactly when every goroutine is blocked.
func fdFdstatGet(_ *guest, mem api.Memory, p []uint64) uint32 {
	fd, out := int32(p[0]), uint32(p[1])
	var stat [fdstatSize]byte
	switch fd {
	case simlink.FD:
		stat[0], stat[2] = fileSocket, flagNonblock
	case 0, 1, 2:
		stat[0] = fileCharDevice
	default:
		return errnoBadf
	}
	for i := 8; i < fdstatSize; i++ {
		stat[i] = 0xff // all rights to what there is
	}
	if !mem.Write(out, stat[:]) {
		return errnoFault
	}
	return errnoOK
}

// iovs calls f for each buffer of a read or write until it says stop.
func iovs(mem api.Memory, at, count uint32, f func(b []byte) bool) uint32 {
	if count > maxIovs {
		return errnoInval
	}
	for i := range count {
		ptr, ok := mem.ReadUint32Le(at + 8*i)
		size, ok2 := mem.ReadUint32Le(at + 8*i + 4)
		if !ok || !ok2 {
			return errnoFault
		}
		b, ok := mem.Read(ptr, size)
		if !ok {
			return errnoFault
		}
		if !f(b) {
			break
		}
	}
	return errnoOK
}

func fdRead(g *guest, mem api.Memory, p []uint64) uint32 {
	fd, at, count, result := int32(p[0]), uint32(p[1]), uint32(p[2]), uint32(p[3])
	n := 0
	switch {
	case fd == 0: // stdin is empty
	case fd != simlink.FD:
		return errnoBadf
	case len(g.inbox) == 0:
		return errnoAgain
	default:
		errno := iovs(mem, at, count, func(b []byte) bool {
			k := copy(b, g.inbox)
			g.inbox = g.inbox[k:]
			n += k
			return len(g.inbox) > 0
		})
		if errno != errnoOK {
			return errno
		}
		if len(g.inbox) == 0 {
			g.inbox = nil
		}
	}
	g.charge(n / bytesOverStep)
	if !mem.WriteUint32Le(result, uint32(n)) {
		return errnoFault
	}
	return errnoOK
}

func fdWrite(g *guest, mem api.Memory, p []uint64) uint32 {
	fd, at, count, result := int32(p[0]), uint32(p[1]), uint32(p[2]), uint32(p[3])
	n, errno := 0, uint32(errnoOK)
	var sink func(b []byte) uint32
	switch fd {
	case 1, 2:
		sink = g.print
	case simlink.FD:
		sink = g.frames
	default:
		return errnoBadf
	}
	bad := iovs(mem, at, count, func(b []byte) bool {
		n += len(b)
		errno = sink(b)
		return errno == errnoOK
	})
	g.charge(n / bytesOverStep)
	if bad != errnoOK {
		return bad
	}
	if errno != errnoOK {
		return errno
	}
	if !mem.WriteUint32Le(result, uint32(n)) {
		return errnoFault
	}
	return errnoOK
}

// pollOneoff is the guest's idle signal. With something to read, or no time to wait, it answers at once; otherwise
// control goes back to the world until a frame or the deadline has come.
func pollOneoff(g *guest, mem api.Memory, p []uint64) uint32 {
	in, out, count, result := uint32(p[0]), uint32(p[1]), uint32(p[2]), uint32(p[3])
	if count == 0 || count > maxSubs {
		return errnoInval
	}
	subs, ok := mem.Read(in, count*subSize)
	if !ok {
		return errnoFault
	}
	w := waiting{timeout: -1}
	for i := range count {
		sub := subs[i*subSize:]
		switch sub[8] {
		case eventClock:
			t := binary.LittleEndian.Uint64(sub[24:])
			if abstime := binary.LittleEndian.Uint16(sub[40:]); abstime != 0 {
				return errnoInval
			}
			w.clock(t)
		case eventRead:
			w.read = w.read || binary.LittleEndian.Uint32(sub[16:]) == simlink.FD
		default:
			return errnoInval // nothing that a guest has ever waits for room to write
		}
	}
	g.wait(w)

	subs, ok = mem.Read(in, count*subSize)
	events, ok2 := mem.Read(out, count*eventSize)
	if !ok || !ok2 {
		return errnoFault
	}
	n := uint32(0)
	for i := range count {
		sub := subs[i*subSize:]
		ready := sub[8] == eventClock && g.now() >= g.deadline || sub[8] == eventRead && len(g.inbox) > 0
		if !ready {
			continue
		}
		e := events[n*eventSize : (n+1)*eventSize]
		clear(e)
		copy(e, sub[:8]) // userdata
		e[10] = sub[8]
		n++
	}
	if !mem.WriteUint32Le(result, n) {
		return errnoFault
	}
	return errnoOK
}
