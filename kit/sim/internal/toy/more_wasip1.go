package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"time"

	"netsplit/kit/simlink"
)

func forge() error {
	_, err := syscall.Write(simlink.FD, []byte("PASS\n"))
	return err
}

func (n *node) disc(verb, arg string) any {
	switch verb {
	case "append":
		if err := n.link.Send(simlink.Frame{Kind: simlink.DiskAppend, Name: "log", Data: []byte(arg)}); err != nil {
			return err.Error()
		}
	case "sync":
		done := make(chan string, 1)
		n.link.Handle(simlink.Disk, func(f simlink.Frame) { done <- string(f.Data) })
		if err := n.link.Send(simlink.Frame{Kind: simlink.DiskSync, ID: 1, Name: "log"}); err != nil {
			return err.Error()
		}
		return <-done
	case "files":
		return string(n.link.Files()["log"])
	}
	return "ok"
}

// reach tries everything that leads out of the simulator and lists what worked.
func reach() any {
	var worked []string
	try := func(what string, err error) {
		if err == nil {
			worked = append(worked, what)
		}
	}
	for _, p := range []string{"/etc/passwd", "/", ".", "go.mod", "/proc/self/environ", "/dev/stdin"} {
		_, err := os.ReadFile(p)
		try("read "+p, err)
		_, err = os.ReadDir(p)
		try("list "+p, err)
	}
	try("create", os.WriteFile("x", []byte("x"), 0o600))
	try("mkdir", os.Mkdir("x", 0o700))
	_, err := os.Stat("/")
	try("stat", err)
	_, err = filepath.EvalSymlinks("/etc")
	try("symlinks", err)
	_, err = net.DialTimeout("tcp", "127.0.0.1:22", time.Second)
	try("dial", err)
	_, err = net.LookupHost("example.com")
	try("resolve", err)
	// Go's net package keeps an in-process network on wasip1; what counts is that no socket call gets through.
	for fd := range 200 {
		if _, _, err := syscall.Accept(fd); err == nil {
			try(fmt.Sprint("accept ", fd), nil)
		}
		if fd > 2 && fd != simlink.FD {
			_, err := syscall.Write(fd, []byte("x"))
			try(fmt.Sprint("write ", fd), err)
			_, err = syscall.Read(fd, make([]byte, 1))
			try(fmt.Sprint("read ", fd), err)
		}
	}
	try("run", exec.Command("/bin/true").Run())
	if env := os.Environ(); len(env) > 0 {
		worked = append(worked, "env "+strings.Join(env, " "))
	}
	if len(os.Args) != 1 {
		worked = append(worked, "args")
	}
	if host, err := os.Hostname(); err == nil && host != "wasip1" {
		worked = append(worked, "hostname "+host)
	}
	if real := time.Now().Year(); real != 2026 {
		worked = append(worked, fmt.Sprint("year ", real))
	}
	if n, _ := os.Stdin.Read(make([]byte, 1)); n > 0 {
		worked = append(worked, "stdin")
	}
	sort.Strings(worked)
	return worked
}
