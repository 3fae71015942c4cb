//go:build !wasip1

package wire

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// echoEnv makes the test binary the other process of the benchmarks.
const echoEnv = "NETSPLIT_WIRE_ECHO"

// TestEcho is not a test: it is the process that answers the benchmarks, until its standard input ends.
func TestEcho(t *testing.T) {
	if os.Getenv(echoEnv) == "" {
		t.Skip("only for benchmarks")
	}
	n, err := ListenTCP(TCPConfig{Self: "b", Cookie: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("addr", n.Addr())
	go func() {
		for {
			c, err := n.Accept(context.Background())
			if err != nil {
				return
			}
			go echo(c)
		}
	}()
	_, _ = bufio.NewReader(os.Stdin).ReadByte()
	_ = n.Close()
}

// echo sends back the frames that begin with 1.
func echo(c Conn) {
	for {
		f, err := c.Recv()
		if err != nil {
			return
		}
		if f[0] == 1 && c.Send(f) != nil {
			return
		}
	}
}

// echoConn connects to an echo in another process.
func echoConn(b *testing.B) Conn {
	cmd := exec.Command(os.Args[0], "-test.run=^TestEcho$", "-test.v")
	cmd.Env = append(os.Environ(), echoEnv+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	lines, addr := bufio.NewScanner(out), ""
	for addr == "" && lines.Scan() {
		addr, _ = strings.CutPrefix(lines.Text(), "addr ")
		if addr == lines.Text() {
			addr = ""
		}
	}
	n, err := ListenTCP(TCPConfig{Self: "a", Cookie: "secret"})
	if err != nil {
		b.Fatal(err)
	}
	c, err := n.Dial(context.Background(), Peer{"b", addr})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = n.Close()
		_ = in.Close()
		_ = cmd.Wait()
	})
	return c
}

// BenchmarkRoundTrip is one frame of 132 bytes there and back, in two processes.
func BenchmarkRoundTrip(b *testing.B) {
	c := echoConn(b)
	frame := make([]byte, 132)
	frame[0] = 1
	for b.Loop() {
		if err := c.Send(frame); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Recv(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkShared is the same with many requests in flight on one connection, as nodes use it: whoever asks waits
// for a goroutine that reads.
func BenchmarkShared(b *testing.B) {
	for _, senders := range []int{1, 8, 64} {
		b.Run(fmt.Sprint(senders), func(b *testing.B) {
			c := echoConn(b)
			replies := make([]chan struct{}, senders)
			for i := range replies {
				replies[i] = make(chan struct{}, 1)
			}
			go func() {
				for {
					f, err := c.Recv()
					if err != nil {
						return
					}
					replies[binary.BigEndian.Uint32(f[4:])] <- struct{}{}
				}
			}()
			b.ResetTimer()
			var all sync.WaitGroup
			for i := range senders {
				all.Go(func() {
					for range b.N / senders {
						frame := make([]byte, 132)
						frame[0] = 1
						binary.BigEndian.PutUint32(frame[4:], uint32(i))
						if err := c.Send(frame); err != nil {
							b.Error(err)
							return
						}
						<-replies[i]
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
		})
	}
}

// BenchmarkOneWay is frames in one direction only, with a wait for the other end after each MiB.
func BenchmarkOneWay(b *testing.B) {
	for _, size := range []int{128, 4096, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			c := echoConn(b)
			b.SetBytes(int64(size))
			quiet, asking := make([]byte, size), make([]byte, size)
			asking[0] = 1
			every := max(1, 1<<20/size) // one frame in each MiB is answered, so that the queue never fills
			b.ResetTimer()
			for i := range b.N {
				if (i+1)%every != 0 && i+1 < b.N {
					if err := c.Send(quiet); err != nil {
						b.Fatal(err)
					}
					continue
				}
				if err := c.Send(asking); err != nil {
					b.Fatal(err)
				}
				if _, err := c.Recv(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
