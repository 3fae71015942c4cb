package site

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"

	"netsplit/kit"
)

// DefaultAddr is where the course is served when nothing else is said.
const DefaultAddr = "127.0.0.1:7777"

// tries is how many ports after the default's are tried when it is taken.
const tries = 20

// windowsInUse is WSAEADDRINUSE, which package syscall maps to nothing.
const windowsInUse = syscall.Errno(10048)

// Listen opens addr, which must name the loopback interface. An empty addr means DefaultAddr or, when that port
// is taken, the next free one after it.
func Listen(addr string) (net.Listener, error) {
	if addr != "" {
		return listen(addr)
	}
	ln, err := listen(DefaultAddr)
	for i := 1; i <= tries && kit.KindOf(err) == kit.Exists; i++ {
		ln, err = listen(net.JoinHostPort("127.0.0.1", strconv.Itoa(7777+i)))
	}
	return ln, err
}

func listen(addr string) (net.Listener, error) {
	fault := func(kind kit.Kind, hint string, err error) error {
		return &kit.Error{Op: "listen on", What: addr, Kind: kind, Err: err, Hint: hint}
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, fault(kit.Invalid, "write HOST:PORT, for example 127.0.0.1:7777", errors.New("this is no address"))
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return nil, fault(kit.Invalid, "a port is a number up to 65535; 0 takes any free one", fmt.Errorf("%q is no port", port))
	}
	if !LoopbackHost(addr) {
		return nil, fault(kit.Refused, "use 127.0.0.1, [::1] or localhost; to read from another machine, forward the port with ssh -L",
			errors.New("the course is served on this machine only"))
	}
	ln, err := net.Listen("tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE), errors.Is(err, windowsInUse):
		return nil, fault(kit.Exists, fmt.Sprintf("another program has the port; leave out --addr, or try %s",
			net.JoinHostPort(host, "0")), errors.New("the port is in use"))
	case errors.Is(err, syscall.EACCES):
		return nil, fault(kit.Refused, "ports below 1024 are the system's; take a higher one", errors.New("the port is not allowed"))
	case err != nil:
		return nil, fault(kit.Broken, "", err)
	}
	return ln, nil
}

// URL gives the address of the start page for a listener.
func URL(ln net.Listener) string { return "http://" + ln.Addr().String() + "/" }
