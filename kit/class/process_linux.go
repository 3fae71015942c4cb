package class

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// endWithUs has the kernel end the process when the thread that starts it goes: when this program is killed. The caller
// keeps its thread until then.
func endWithUs(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGTERM }

// first makes the kernel end this process before us when the machine runs out of memory; its children inherit it.
func first(pid int) {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte("500"), 0)
}

// memory is the resident memory of a process and of all that descend from it, in bytes. Pages that several share count
// for each.
func memory(pid int) int64 {
	type proc struct {
		parent int
		pages  int64
	}
	all := map[int]proc{}
	dirs, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range dirs {
		src, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		// The second field, the name in brackets, may hold anything.
		at := bytes.LastIndexByte(src, ')')
		if at < 0 {
			continue
		}
		fields := bytes.Fields(src[at+1:])
		id, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err != nil || len(fields) < 22 {
			continue
		}
		parent, _ := strconv.Atoi(string(fields[1]))
		pages, _ := strconv.ParseInt(string(fields[21]), 10, 64)
		all[id] = proc{parent, pages}
	}
	const maxDepth = 64
	sum := int64(0)
	for id, p := range all {
		for at, depth := id, 0; at > 1 && depth < maxDepth; at, depth = all[at].parent, depth+1 {
			if at == pid {
				sum += p.pages
				break
			}
		}
	}
	return sum * int64(os.Getpagesize())
}
