package transport_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"

	"quicpeer/certs"
	"quicpeer/transport"
)

var ourDoor, otherDoor = certs.NewDoor(certs.PublicKey{1}), certs.NewDoor(certs.PublicKey{2})

// guarded is an endpoint of which a test sees every signature and every packet.
type guarded struct {
	*transport.Endpoint
	*tap
	signatures atomic.Int64
}

// guarded starts an endpoint behind the door of the world.
func (w *world) guarded(name string) *guarded {
	w.t.Helper()
	g := &guarded{tap: newTap(w.Node(name))}
	e, err := transport.NewChangedEndpoint(w.config(name, g.tap), func(c *tls.Config) {
		c.Certificates[0].PrivateKey = &signer{c.Certificates[0].PrivateKey.(crypto.Signer), &g.signatures}
	})
	if err != nil {
		w.t.Fatal(err)
	}
	g.Endpoint = e
	w.ends = append(w.ends, e)
	return g
}

// held is for how much of a time some stranger has a place at the gate.
func (g *guarded) held(of time.Duration) (held time.Duration) {
	const step = time.Millisecond
	for range of / step {
		time.Sleep(step)
		if g.Strangers() > 0 {
			held += step
		}
	}
	return held
}

// signer counts the signatures that it makes.
type signer struct {
	crypto.Signer
	count *atomic.Int64
}

func (s *signer) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	s.count.Add(1)
	return s.Signer.Sign(rand, digest, opts)
}

// tap is a socket that counts what goes through it, for each address, and keeps what comes in.
type tap struct {
	net.PacketConn

	mu   sync.Mutex
	seen map[string]*traffic
}

type traffic struct {
	in       [][]byte
	out      int
	inBytes  int
	outBytes int
}

func newTap(conn net.PacketConn) *tap { return &tap{PacketConn: conn, seen: map[string]*traffic{}} }

func (p *tap) with(addr string) *traffic {
	if p.seen[addr] == nil {
		p.seen[addr] = new(traffic)
	}
	return p.seen[addr]
}

func (p *tap) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := p.PacketConn.ReadFrom(b)
	if err == nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		t := p.with(from.String())
		t.in, t.inBytes = append(t.in, bytes.Clone(b[:n])), t.inBytes+n
	}
	return n, from, err
}

func (p *tap) WriteTo(b []byte, to net.Addr) (int, error) {
	p.mu.Lock()
	t := p.with(to.String())
	t.out, t.outBytes = t.out+1, t.outBytes+len(b)
	p.mu.Unlock()
	return p.PacketConn.WriteTo(b, to)
}

// of is the traffic with a node so far.
func (p *tap) of(addr fmt.Stringer) traffic {
	p.mu.Lock()
	defer p.mu.Unlock()
	return *p.with(addr.String())
}

// hostileHello is the hello of a TLS configuration, for a connection with this source ID.
func hostileHello(t *testing.T, conf *tls.Config, id []byte) (b []byte) {
	t.Helper()
	conn := tls.QUICClient(&tls.QUICConfig{TLSConfig: conf})
	defer conn.Close()
	conn.SetTransportParameters(append([]byte{0x0f, byte(len(id))}, id...)) // initial_source_connection_id
	if err := conn.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for e := conn.NextEvent(); e.Kind != tls.QUICNoEvent; e = conn.NextEvent() {
		if e.Kind == tls.QUICWriteData {
			b = append(b, e.Data...)
		}
	}
	return b
}

// firstFlight is the packets that begin a connection with a hello.
func firstFlight(hello, to, from []byte) (list [][]byte) {
	for offset := 0; offset < len(hello); {
		piece := hello[offset:min(len(hello), offset+1000)]
		frames := binary.BigEndian.AppendUint16([]byte{0x06}, 0x4000|uint16(offset)) // CRYPTO
		frames = binary.BigEndian.AppendUint16(frames, 0x4000|uint16(len(piece)))
		frames = append(frames, piece...)
		frames = append(frames, make([]byte, 1160-len(frames))...) // PADDING
		list = append(list, sealInitial(to, to, from, false, uint32(len(list)), frames))
		offset += len(piece)
	}
	return list
}

// sealedIn is where the sealed hello stands in a hello: the start of its extension and the end.
func sealedIn(t *testing.T, hello []byte) (from, to int) {
	t.Helper()
	from = bytes.Index(hello, []byte{0xfe, 0x0d})
	if from < 0 || !bytes.Equal(hello[from+4:][:6], []byte{0, 0, 1, 0, 3, 0}) {
		t.Fatal("the hello has no sealed one")
	}
	return from, from + 4 + int(binary.BigEndian.Uint16(hello[from+2:]))
}

func hostileTLS(t *testing.T, door *certs.Door, change func(*tls.Config)) *tls.Config {
	t.Helper()
	conf, err := identity("hostile").TLS(certs.PublicKey{}, door)
	if err != nil {
		t.Fatal(err)
	}
	change(conf)
	return conf
}

// TestScanner: a stranger at the door of a private network learns what it learns of any service
// that speaks another protocol; it costs no signature, and no place for longer than a moment.
func TestScanner(t *testing.T) {
	same := func(*tls.Config) {}
	for _, c := range []struct {
		name   string
		door   *certs.Door
		change func(*tls.Config)
		alter  func(t *testing.T, hello []byte) // not nil: of the bytes sent
		alert  quic.TransportErrorCode
	}{
		{"our protocol, no sealed hello", nil, same, nil, 0x178},
		{"files, no sealed hello", nil, func(c *tls.Config) { c.NextProtos = []string{certs.ALPNFile} }, nil, 0x178},
		{"files, another network", otherDoor, func(c *tls.Config) { c.NextProtos = []string{certs.ALPNFile} }, nil, 0x178},
		{"another protocol", nil, func(c *tls.Config) { c.NextProtos = []string{"h3", "none"} }, nil, 0x178},
		{"no protocol", nil, func(c *tls.Config) { c.NextProtos = nil }, func(*testing.T, []byte) {}, 0x178},
		{"the name that all can read", nil, func(c *tls.Config) { c.ServerName = "quicpeer.invalid" }, nil, 0x178},
		{"another network", otherDoor, same, nil, 0x178},
		{"another network, no name", otherDoor, func(c *tls.Config) { c.ServerName = "" }, nil, 0x178},
		{"a member's hello, altered", ourDoor, same, func(t *testing.T, hello []byte) {
			_, end := sealedIn(t, hello)
			hello[end-20] ^= 1
		}, 0x178},
		{"a member's hello, with another key", ourDoor, same, func(t *testing.T, hello []byte) {
			begin, _ := sealedIn(t, hello)
			hello[begin+20] ^= 1
		}, 0x178},
		{"a member's hello, altered outside", ourDoor, same, func(_ *testing.T, hello []byte) { hello[10] ^= 1 }, 0x178},
		{"a sealed hello within another one", ourDoor, func(c *tls.Config) { c.NextProtos = []string{"h3"} }, nil, 0x178},
		// This tells an implementation that seals from one that does not, as much as any
		// fingerprint of Go's TLS does: see docs/wire.md.
		{"a cipher that nobody knows", ourDoor, same, func(t *testing.T, hello []byte) {
			begin, _ := sealedIn(t, hello)
			hello[begin+5] = 0xee
		}, 0x150},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 1)
				w.door = ourDoor
				b := w.guarded("b")
				good, back := w.connect(w.endpoint("good"), b.Endpoint, "b")
				before := b.signatures.Load()
				conf := hostileTLS(t, c.door, c.change)
				told := make(chan error, 1)
				if c.alter == nil {
					tr := w.raw("hostile")
					go func() {
						_, err := tr.Dial(t.Context(), net.UDPAddrFromAddrPort(w.Addr("b")), conf, nil)
						told <- err
					}()
				} else {
					conn, from := w.Node("hostile"), []byte("hostile!")
					hello := hostileHello(t, conf, from)
					c.alter(t, hello)
					for _, p := range firstFlight(hello, []byte("anywhere"), from) {
						conn.WriteTo(p, net.UDPAddrFromAddrPort(w.Addr("b")))
					}
					close(told)
				}
				if held := b.held(200 * time.Millisecond); held > 2*latency {
					t.Errorf("it has a place at the gate for %v", held)
				}
				if err, dialled := <-told; dialled {
					var refused *quic.TransportError
					if !errors.As(err, &refused) || !refused.Remote || refused.ErrorCode != c.alert {
						t.Errorf("it is told %v", err)
					}
				}
				if log, want := w.log.String(), fmt.Sprintf("CRYPTO_ERROR %#x (local)", uint64(c.alert)); strings.Count(log, want) != 1 {
					t.Errorf("the log does not say %q:\n%s", want, log)
				}
				if n := b.signatures.Load() - before; n != 0 {
					t.Errorf("it costs %d signatures", n)
				}
				// A certificate would be in a packet of its own, beyond the one that refuses.
				if seen := b.of(w.Addr("hostile")); seen.out != 1 || seen.outBytes > 1200 {
					t.Errorf("it gets %d packets of %d bytes", seen.out, seen.outBytes)
				}
				send(t, good, hello)
				receive(t, back, hello)
			})
		})
	}
}

// TestHalfHello: a stranger whose hello is not complete can't be judged yet, and keeps its place for as
// long as in an open network.
func TestHalfHello(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.door = ourDoor
		b := w.guarded("b")
		conn, from := w.Node("hostile"), []byte("hostile!")
		flight := firstFlight(hostileHello(t, hostileTLS(t, ourDoor, func(*tls.Config) {}), from), []byte("anywhere"), from)
		conn.WriteTo(flight[0], net.UDPAddrFromAddrPort(w.Addr("b")))
		if held := b.held(20 * time.Second); held < time.Second || held > 15*time.Second {
			t.Errorf("it has a place at the gate for %v", held)
		}
		if n := b.signatures.Load(); n != 0 {
			t.Errorf("it costs %d signatures", n)
		}
	})
}

// TestImpostor: a member that reaches somebody else in the place of a peer of its network shows
// itself to nobody, is told so, and leaves nothing behind however often it tries.
func TestImpostor(t *testing.T) {
	for _, c := range []struct {
		name  string
		door  *certs.Door
		dials int
		want  error
	}{
		{"open", nil, 500, transport.ErrOtherNetwork},
		{"other", otherDoor, 500, transport.ErrClosedDoor},
		{"curious", nil, 10, transport.ErrOtherNetwork}, // takes any certificate
		{"another protocol", nil, 10, transport.ErrClosedDoor},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 1)
				w.door = ourDoor
				a := w.guarded("a")
				var shown atomic.Int64
				there := func() int { return 0 }
				if c.name == "curious" || c.name == "another protocol" {
					conf := hostileTLS(t, nil, func(conf *tls.Config) {
						conf.VerifyConnection = func(s tls.ConnectionState) error {
							shown.Add(int64(len(s.PeerCertificates)))
							return nil
						}
						if c.name == "another protocol" {
							conf.NextProtos = []string{"h3"}
						}
					})
					l, err := w.raw("b").Listen(conf, nil)
					if err != nil {
						t.Fatal(err)
					}
					defer l.Close()
				} else {
					w.door = c.door
					b, err := transport.NewChangedEndpoint(w.config("b", w.Node("b")), func(conf *tls.Config) {
						judge := conf.VerifyConnection
						conf.VerifyConnection = func(s tls.ConnectionState) error {
							shown.Add(int64(len(s.PeerCertificates)))
							return judge(s)
						}
					})
					if err != nil {
						t.Fatal(err)
					}
					w.ends, there = append(w.ends, b), b.Strangers
				}
				dial := func() {
					if _, err := a.Dial(t.Context(), w.Addr("b"), identity("b").Key()); err != c.want || !errors.Is(err, transport.ErrProtocol) {
						t.Fatalf("it is told %v", err)
					}
				}
				dial()
				time.Sleep(time.Minute)
				before := runtime.NumGoroutine()
				for range c.dials {
					dial()
				}
				time.Sleep(time.Minute)
				if n := runtime.NumGoroutine(); n > before+2 {
					t.Errorf("%d goroutines are left of %d dials", n-before, c.dials)
				}
				if a.signatures.Load() != 0 || shown.Load() != 0 {
					t.Errorf("the dialler has made %d signatures and shown %d certificates", a.signatures.Load(), shown.Load())
				}
				if n := a.Strangers() + there(); n != 0 {
					t.Errorf("%d places are taken", n)
				}
			})
		})
	}
}

// TestReplay: the first flight of a member can be recorded and sent again. The peer can't tell, and
// answers with what only the member could read: that gives no link, costs one signature, and is
// bounded as all strangers are.
func TestReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.door = ourDoor
		b := w.guarded("b")
		alice, _ := w.connect(w.endpoint("alice"), b.Endpoint, "b")
		recorded := b.of(w.Addr("alice")).in[:2]
		alice.Abort(transport.CodeBye, "")
		<-alice.Done()
		time.Sleep(time.Minute) // nobody knows of the connection any more
		for _, from := range []string{"alice", "eve"} {
			conn := w.Node(from)
			before, signed := b.of(w.Addr(from)), b.signatures.Load()
			for range 20 {
				for _, p := range recorded {
					conn.WriteTo(p, net.UDPAddrFromAddrPort(w.Addr("b")))
				}
				time.Sleep(100 * time.Millisecond)
				if n := b.Strangers(); n > 1 {
					t.Fatalf("from %s: %d places are taken", from, n)
				}
			}
			if n := b.signatures.Load() - signed; n != 1 {
				t.Errorf("from %s: %d signatures", from, n)
			}
			time.Sleep(30 * time.Second)
			after := b.of(w.Addr(from))
			if in, out := after.inBytes-before.inBytes, after.outBytes-before.outBytes; out == 0 || out > 3*in {
				t.Errorf("from %s: %d bytes out for %d in", from, out, in)
			}
		}
		noLink(t, b)
	})
}

// noLink fails if a link comes, or a place is still taken.
func noLink(t *testing.T, b *guarded) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if l, err := b.Accept(ctx); err == nil {
		t.Errorf("there is a link to %v", l.Peer())
	}
	if n := b.Strangers(); n != 0 {
		t.Errorf("%d places are taken", n)
	}
}

// TestReplayFlood: a recorded hello in many new packets, from many addresses, is worth what as
// many strangers are in an open network.
func TestReplayFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.door = ourDoor
		b := w.guarded("b")
		from := []byte("a member")
		recorded := hostileHello(t, hostileTLS(t, ourDoor, func(*tls.Config) {}), from)
		const hosts, flights = 6, 60
		for i := range hosts {
			conn := w.Node(fmt.Sprint("hostile", i))
			for range flights {
				to := binary.BigEndian.AppendUint64(nil, rand.Uint64())
				for _, p := range firstFlight(recorded, to, from) {
					conn.WriteTo(p, net.UDPAddrFromAddrPort(w.Addr("b")))
				}
			}
			time.Sleep(latency + time.Millisecond)
			if n := b.Strangers(); n > min(32*(i+1), 96) {
				t.Fatalf("%d places are taken by %d hosts", n, i+1)
			}
		}
		if n := b.signatures.Load(); n == 0 || n > 96 {
			t.Errorf("%d signatures", n)
		}
		time.Sleep(30 * time.Second)
		for i := range hosts {
			if seen := b.of(w.Addr(fmt.Sprint("hostile", i))); seen.outBytes > 3*seen.inBytes {
				t.Errorf("%d bytes out for %d in", seen.outBytes, seen.inBytes)
			}
		}
		noLink(t, b)
		w.connect(w.endpoint("newcomer"), b.Endpoint, "b")
	})
}

// TestFirstPackets: an open network's connections begin with the packets they always have, and
// those through a door cost neither a packet nor a byte nor a round trip more.
func TestFirstPackets(t *testing.T) {
	for _, door := range []*certs.Door{nil, ourDoor} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 1)
			w.door = door
			b := w.guarded("b")
			a := w.endpoint("a")
			begin := time.Now()
			link, err := a.Dial(t.Context(), w.Addr("b"), identity("b").Key())
			if err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begin); took != 2*latency {
				t.Errorf("door %v: the dial takes %v", door != nil, took)
			}
			seen := b.of(w.Addr("a"))
			var sizes []int
			for _, p := range seen.in {
				sizes = append(sizes, len(p))
			}
			if !slices.Equal(sizes, []int{1200, 1200}) || seen.out != 2 || seen.outBytes != 2400 {
				t.Errorf("door %v: packets of %v bytes in, %d of %d bytes out", door != nil, sizes, seen.out, seen.outBytes)
			}
			if link.Sealed() != (door != nil) {
				t.Errorf("door %v: the hello was sealed: %v", door != nil, link.Sealed())
			}
			link.Abort(transport.CodeBye, "")
		})
	}
}

// TestCarriedDoor: links over others go through the door as well, at both ends.
func TestCarriedDoor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.door = ourDoor
		l := w.line("alice", "bob", "carol")
		a, c := l.carry(0, 2)
		if !a.Sealed() || !c.Sealed() || !l.links[0][0].Sealed() || !l.links[0][1].Sealed() {
			t.Error("a hello was not sealed")
		}
		send(t, a, hello)
		receive(t, c, hello)
	})
}

// TestCarriedScanner: a member that carries for a stranger shows it no more than the stranger would
// see at the door.
func TestCarriedScanner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		w.door = ourDoor
		b := w.guarded("b")
		p := w.hopPeer(w.raw("relay"), "relay", "b", b.Endpoint, nil)
		b.SetWay(tag("stranger"), p.link)
		answers := p.reads()
		signed := b.signatures.Load()
		for i, door := range []*certs.Door{nil, otherDoor, ourDoor} { // the last knows the network
			id := []byte("stranger")
			for _, packet := range firstFlight(hostileHello(t, hostileTLS(t, door, func(*tls.Config) {}), id), []byte{8: byte(i)}, id) {
				p.carry(carriedPacket(3, "b", "stranger", packet))
			}
			time.Sleep(200 * time.Millisecond)
			if n, stays := b.signatures.Load()-signed, b.Strangers(); (n == 0) != (door != ourDoor) || n != int64(stays) {
				t.Errorf("door %d: %d signatures, %d places", i, n, stays)
			}
			if len(answers) == 0 {
				t.Errorf("door %d: no answer", i)
			}
			for len(answers) > 0 {
				<-answers
			}
		}
	})
}
