//go:build unix && !linux

package cluster

import (
	"os/exec"
	"strconv"
	"strings"
)

// identity gives what tells a process from any other with the same pid (its start time as ps prints it) and
// its state letter. Empty when there is none.
func identity(pid int) (started string, state byte) {
	out, err := exec.Command("ps", "-o", "state=,lstart=", "-p", strconv.Itoa(pid)).Output()
	fields := strings.Fields(string(out))
	if err != nil || len(fields) < 2 {
		return "", 0
	}
	return strings.Join(fields[1:], " "), fields[0][0]
}
