package cluster

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"sync"
)

var bootID = sync.OnceValue(func() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // without it the start time alone decides
	return strings.TrimSpace(string(b))
})

// identity gives what tells a process from any other with the same pid (the boot of the machine and the
// process's start time since then, see proc(5)) and its state letter. Empty when there is none. A dead process
// whose threads are still ending is 'D': they hold its files and sockets open.
func identity(pid int) (started string, state byte) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", 0
	}
	// The second field is the program's name in brackets and may hold anything; fields count from its end.
	end := bytes.LastIndexByte(b, ')')
	if end < 0 {
		return "", 0
	}
	fields := strings.Fields(string(b[end+1:]))
	const stateField, threadsField, startField = 0, 17, 19
	if len(fields) <= startField {
		return "", 0
	}
	state = fields[stateField][0]
	if state == 'Z' && fields[threadsField] != "0" && fields[threadsField] != "1" {
		state = 'D'
	}
	return bootID() + "/" + fields[startField], state
}
