//go:build !wasip1

package disk

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"netsplit/kit/term"
)

// childEnv makes this test binary a program that writes to the disc in the folder it names until it is killed.
const childEnv = "NETSPLIT_DISK_TEST_FOLDER"

func TestMain(m *testing.M) {
	if folder := os.Getenv(childEnv); folder != "" {
		fmt.Println(writeForEver(folder))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// writeForEver prints the number of each row once it is appended; now and then it dumps.
func writeForEver(folder string) error {
	d, err := Open(Dir(folder))
	if err != nil {
		return err
	}
	if _, err := d.Append(create("t", Set, false), create("e", Bag, true)); err != nil {
		return err
	}
	for i := 0; ; i++ {
		if _, err := d.Append(put("t", i, "row"), put("e", i%10, i)); err != nil {
			return err
		}
		fmt.Println(i)
		if i%97 == 50 {
			if err := d.Dump(); err != nil {
				return err
			}
		}
	}
}

// A killed process loses nothing that Append had taken, in the middle of a dump or not.
func TestKilledProcess(t *testing.T) {
	for _, after := range []int{10, 51, 150, 400} {
		dir := t.TempDir()
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+dir)
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		last := -1
		lines := bufio.NewScanner(out)
		for last < after && lines.Scan() {
			last, err = strconv.Atoi(lines.Text())
			must(t, err)
		}
		must(t, cmd.Process.Kill())
		for lines.Scan() { // what it had printed before it died
			if n, err := strconv.Atoi(lines.Text()); err == nil {
				last = n
			}
		}
		if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("it ended by itself: %v", err)
		}
		d := open(t, Dir(dir))
		rows := map[term.Term]bool{}
		must(t, d.Load("t", func(r term.Tuple) error { rows[r[1]] = true; return nil }))
		for i := range last + 1 {
			if !rows[term.Int(i)] {
				t.Fatalf("row %d of %d is gone", i, last)
			}
		}
		if n, err := d.Count("e"); n != len(rows) || err != nil {
			t.Errorf("one table has %d rows and the other %d: %v", len(rows), n, err)
		}
		must(t, d.Verify())
		must(t, d.Close())
	}
}
