package transport_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"
)

// deafConn is a socket whose owner sends the first few packets of each dial, and hears nothing: as
// if the address were forged.
type deafConn struct {
	net.PacketConn

	mu      sync.Mutex
	left    int // packets that still go
	in, out int // bytes of the owner and of the other side
}

func (c *deafConn) SetReadBuffer(int) error  { return nil } // quic-go wants them
func (c *deafConn) SetWriteBuffer(int) error { return nil }

func (c *deafConn) WriteTo(b []byte, to net.Addr) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left--; c.left < 0 {
		return len(b), nil
	}
	c.in += len(b)
	return c.PacketConn.WriteTo(b, to)
}

func (c *deafConn) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := c.PacketConn.ReadFrom(b)
		if err != nil {
			return n, from, err
		}
		c.mu.Lock()
		c.out += n
		c.mu.Unlock()
	}
}

// A peer sends at most three times as much to an address that never answers as has come from there
// (RFC 9000, 8.1), however large the packets are and however often they come.
func TestAmplification(t *testing.T) {
	for _, c := range []struct {
		packets, dials int
		size           uint16
	}{
		{1, 1, 1200}, {2, 1, 1200}, {2, 1, 1252}, {1, 1, 1350}, {2, 1, 1280}, {2, 20, 1201}, {1, 60, 1201}, {3, 3, 1452},
	} {
		t.Run(fmt.Sprintf("%d packets of %d, %d times", c.packets, c.size, c.dials), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newHostileWorld(t)
				deaf := &deafConn{PacketConn: w.Node("hostile")}
				tr := &quic.Transport{Conn: deaf}
				conf := goodTLS(t)
				if c.packets == 1 { // the hello of TLS fits into one
					conf.CurvePreferences = []tls.CurveID{tls.X25519}
				}
				for range c.dials {
					deaf.mu.Lock()
					deaf.left = c.packets
					deaf.mu.Unlock()
					ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
					_, err := tr.Dial(ctx, net.UDPAddrFromAddrPort(w.Addr("b")), conf, &quic.Config{InitialPacketSize: c.size})
					cancel()
					if err == nil {
						t.Fatal("it has an answer")
					}
				}
				time.Sleep(20 * time.Second)
				tr.Close()
				deaf.Close()
				deaf.mu.Lock()
				defer deaf.mu.Unlock()
				t.Logf("%d in, %d out: %.3f", deaf.in, deaf.out, float64(deaf.out)/float64(deaf.in))
				if deaf.out > 3*deaf.in || deaf.out < deaf.in {
					t.Errorf("%d bytes have come from an address, and %d were sent there", deaf.in, deaf.out)
				}
				w.check()
			})
		})
	}
}

// A link gets its packets while strangers from the same address are still on their way in.
func TestProvedAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHostileWorld(t)
		tr := w.raw("hostile")
		var conns []*quic.Conn
		for range 3 {
			conn, err := w.dialRaw(tr, goodTLS(t))
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, conn)
		}
		control, err := conns[0].OpenStream()
		if err != nil {
			t.Fatal(err)
		}
		control.Write(hello)
		link := accept(t, w.b)
		receive(t, link, hello)
		read := make(chan int)
		go func() {
			n, buf := 0, make([]byte, 64<<10)
			for {
				m, err := control.Read(buf)
				if n += m; err != nil || n > 1<<20 {
					read <- n
					return
				}
			}
		}()
		for i := range 20 {
			send(t, link, numbered(i, 60_000))
		}
		if n := <-read; n < 1<<20 {
			t.Errorf("%d bytes have come", n)
		}
	})
}
