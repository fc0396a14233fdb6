package simtest

import (
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// exchange sends packets of these sizes from a to b and says when each arrived, 0: never.
func exchange(n *Network, sizes ...int) []time.Duration {
	a, b := n.Node("a"), n.Node("b")
	defer n.Close()
	start := time.Now()
	came := make([]time.Duration, len(sizes))
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 2000)
		for {
			_, _, err := b.ReadFrom(buffer)
			if err != nil {
				return
			}
			came[buffer[0]] = time.Since(start)
		}
	}()
	for i, size := range sizes {
		packet := make([]byte, size)
		packet[0] = byte(i)
		if _, err := a.WriteTo(packet, net.UDPAddrFromAddrPort(n.Addr("b"))); err != nil {
			panic(err)
		}
	}
	time.Sleep(time.Minute)
	b.Close()
	<-done
	return came
}

// TestLine: packets queue before a slow line, at either end, and those that don't fit into its
// queue are lost.
func TestLine(t *testing.T) {
	for _, slow := range []string{"a", "b"} {
		synctest.Test(t, func(t *testing.T) {
			n := New(1, time.Second)
			n.Line(slow, 8000, 3000) // 1000 bytes a second
			size := 1000 - headers
			for i, at := range exchange(n, size, size, size, size) {
				want := time.Duration(2+i) * time.Second
				if i == 3 {
					want = 0 // three are in the queue, and the first still is
				}
				if at != want {
					t.Errorf("%s is slow: packet %d came after %v", slow, i, at)
				}
			}
		})
	}
}

// TestNarrow: packets of more than so many bytes, headers included, are lost.
func TestNarrow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1, time.Second)
		n.Narrow("a", "b", 1280)
		came := exchange(n, 1280-headers, 1281-headers, 100)
		if came[0] == 0 || came[1] != 0 || came[2] == 0 {
			t.Errorf("they came after %v", came)
		}
	})
}
