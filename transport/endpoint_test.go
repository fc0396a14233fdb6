package transport_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"quicpeer/certs"
	"quicpeer/transport"
	"quicpeer/transport/simtest"
)

// Over real sockets, with everything still running when the endpoints are closed;
// goleak looks for what is left.
func TestClose(t *testing.T) {
	a, b := loopback(t, "a"), loopback(t, "b")
	dialed, err := a.Dial(t.Context(), b.Addr(), identity("b").Key())
	if err != nil {
		t.Fatal(err)
	}
	send(t, dialed, hello)
	accepted := accept(t, b)
	receive(t, accepted, hello)

	var waiting sync.WaitGroup
	for _, call := range []func() error{
		func() error { _, err := a.Accept(context.Background()); return err },
		func() error { _, err := dialed.Receive(); return err },
		func() error { _, err := dialed.AcceptStream(context.Background()); return err },
	} {
		waiting.Go(func() {
			if err := call(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("a call that waits ends with %v", err)
			}
		})
	}
	var closing sync.WaitGroup
	for range 2 { // closing twice is allowed, also at once
		closing.Go(func() {
			if err := a.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
	closing.Wait()
	waiting.Wait()
	<-dialed.Done()
	checkClosed(t, dialed, transport.ClosedError{Code: transport.CodeShutdown})
	<-accepted.Done()
	checkClosed(t, accepted, transport.ClosedError{Remote: true, Code: transport.CodeShutdown})
	if _, err := a.Dial(t.Context(), b.Addr(), certs.PublicKey{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Dial after Close: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func TestCloseEndsDials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		a := w.endpoint("a")
		go func() {
			time.Sleep(time.Second)
			a.Close()
		}()
		start := time.Now()
		if _, err := a.Dial(t.Context(), w.Addr("nobody"), certs.PublicKey{}); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Dial: %v", err)
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestContexts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		a := w.endpoint("a")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := a.Dial(ctx, w.Addr("nobody"), certs.PublicKey{}); err != transport.ErrNoAnswer {
			t.Errorf("Dial, at the deadline: %v", err)
		}
		if _, err := a.Accept(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Accept, at the deadline: %v", err)
		}
		ctx, cancel = context.WithCancel(t.Context())
		cancel()
		if _, err := a.Dial(ctx, w.Addr("nobody"), certs.PublicKey{}); !errors.Is(err, context.Canceled) {
			t.Errorf("Dial, cancelled: %v", err)
		}
	})
}

// A crowd of more peers than the gate holds dials at once: all get in, and none that has
// dialled in vain believes it connected.
func TestCrowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		b := w.endpoint("b")
		const crowd = 150
		var group sync.WaitGroup
		for i := range crowd {
			e := w.endpoint(fmt.Sprint(i))
			group.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				for ctx.Err() == nil {
					l, err := e.Dial(ctx, w.Addr("b"), identity("b").Key())
					if err == transport.ErrNoAnswer { // quic-go does not answer all peers that it refuses
						continue
					}
					if err != nil {
						t.Errorf("%d: %v", i, err)
						return
					}
					send(t, l, hello)
					receive(t, l, hello)
					return
				}
				t.Errorf("%d: could not get in", i)
			})
		}
		peers := map[certs.PublicKey]bool{}
		for range crowd {
			l := accept(t, b)
			receive(t, l, hello)
			send(t, l, hello)
			peers[l.Peer()] = true
		}
		if len(peers) != crowd {
			t.Errorf("%d peers", len(peers))
		}
		group.Wait()
	})
}

func TestListen(t *testing.T) {
	for _, c := range []struct {
		address string
		fails   bool
		dial    []string // hosts under which it can be dialled
	}{
		{":0", false, []string{"127.0.0.1", "::1"}},
		{"127.0.0.1:0", false, []string{"127.0.0.1"}},
		{"localhost:0", false, nil},
		{"127.0.0.1", true, nil},
		{"127.0.0.1:port", true, nil},
		{"no.such.host.invalid:0", true, nil},
	} {
		conn, err := transport.Listen(c.address)
		if err != nil {
			if !c.fails {
				t.Errorf("%s: %v", c.address, err)
			}
			continue
		}
		if c.fails {
			t.Errorf("%s: no error", c.address)
		}
		b, a := endpointOn(t, conn, "b"), endpointOn(t, listen(t, ":0"), "a")
		for _, host := range c.dial {
			addr := netip.AddrPortFrom(netip.MustParseAddr(host), b.Addr().Port())
			if addr.Addr().Is6() && !hasIPv6() {
				continue
			}
			l, err := a.Dial(t.Context(), addr, identity("b").Key())
			if err != nil {
				t.Errorf("dialling %v: %v", addr, err)
				continue
			}
			send(t, l, hello)
			accepted := accept(t, b)
			receive(t, accepted, hello)
			if got := accepted.RemoteAddr(); got.Addr() != addr.Addr() || got.Port() != a.Addr().Port() {
				t.Errorf("dialled by %v", got)
			}
		}
		a.Close()
		b.Close()
	}
}

func listen(t *testing.T, address string) net.PacketConn {
	t.Helper()
	conn, err := transport.Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func hasIPv6() bool {
	conn, err := net.ListenPacket("udp", "[::1]:0")
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// A packet that the kernel refuses is lost, and nothing else is.
func TestPassingErrors(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the address is refused on Linux")
	}
	plain, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	conn := listen(t, "127.0.0.1:0").(interface {
		net.PacketConn
		WriteMsgUDP(b, oob []byte, addr *net.UDPAddr) (n, oobn int, err error)
	})
	defer conn.Close()
	away := &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 9} // RFC 5737: nobody's; and not reachable from 127.0.0.1
	if _, err := plain.WriteTo([]byte("x"), away); err == nil {
		t.Skip("the kernel takes a packet from 127.0.0.1 to everywhere")
	}
	if n, err := conn.WriteTo([]byte("xy"), away); n != 2 || err != nil {
		t.Errorf("WriteTo: %d, %v", n, err)
	}
	if n, _, err := conn.WriteMsgUDP([]byte("xy"), nil, away); n != 2 || err != nil {
		t.Errorf("WriteMsgUDP: %d, %v", n, err)
	}
	if _, err := conn.WriteTo(make([]byte, 70000), conn.LocalAddr()); err == nil {
		t.Error("a packet that is too large passes for sent")
	}
}

func TestCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := simtest.New(1, latency)
		defer net.Close()
		file := filepath.Join(t.TempDir(), "cut")
		a := endpointOn(t, transport.Cut(net.Node("a"), file), "a")
		defer a.Close()
		b := endpointOn(t, net.Node("b"), "b")
		defer b.Close()
		dialed, err := a.Dial(t.Context(), net.Addr("b"), identity("b").Key())
		if err != nil {
			t.Fatal(err)
		}
		send(t, dialed, hello)
		accepted := accept(t, b)
		receive(t, accepted, hello)

		for i, c := range []struct {
			content string
			cut     bool
		}{
			{"10.9.9.9:4242\n\n4243\nnonsense\n", false},
			{"nonsense\n" + net.Addr("b").String() + "\n", true},
			{"", false},
			{fmt.Sprintln(simtest.Port), true},
			{"[::ffff:10.0.0.2]:4242", true},
		} {
			if err := os.WriteFile(file, []byte(c.content), 0o600); err != nil {
				t.Fatal(err)
			}
			if i == 2 {
				os.Remove(file)
			}
			time.Sleep(2 * time.Second)
			before := dialed.Stats().Received
			time.Sleep(3 * time.Second)
			if cut := dialed.Stats().Received == before; cut != c.cut {
				t.Errorf("with the file %q: cut is %v", c.content, cut)
			}
		}
		os.Remove(file)
		send(t, dialed, hello)
		receive(t, accepted, hello)
	})
}
