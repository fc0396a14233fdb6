package transport_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"

	"quicpeer/certs"
	"quicpeer/pb"
	"quicpeer/transport"
)

// hostileWorld is a world with an endpoint "b" and a well-behaved peer "good" of
// it, whose link must survive whatever others do.
type hostileWorld struct {
	*world
	b          *transport.Endpoint
	good, back *transport.Link
}

func newHostileWorld(t *testing.T) *hostileWorld {
	w := &hostileWorld{world: newWorld(t, 1)}
	w.b = w.endpoint("b")
	w.good, w.back = w.connect(w.endpoint("good"), w.b, "b")
	return w
}

// check fails if the well-behaved peer suffers, or a newcomer is kept out.
func (w *hostileWorld) check() {
	w.t.Helper()
	send(w.t, w.good, numbered(1, 1000))
	receive(w.t, w.back, numbered(1, 1000))
	send(w.t, w.back, hello)
	receive(w.t, w.good, hello)
	w.connect(w.endpoint("newcomer"), w.b, "b")
}

// raw is a socket of bare quic-go on a node of its own.
func (w *world) raw(name string) *quic.Transport {
	tr := &quic.Transport{Conn: w.Node(name)}
	w.t.Cleanup(func() {
		tr.Close()
		tr.Conn.Close()
	})
	return tr
}

// dialRaw connects with bare quic-go and this TLS configuration.
func (w *hostileWorld) dialRaw(tr *quic.Transport, conf *tls.Config) (*quic.Conn, error) {
	return tr.Dial(w.t.Context(), net.UDPAddrFromAddrPort(w.Addr("b")), conf, nil)
}

func goodTLS(t *testing.T) *tls.Config {
	conf, err := identity("hostile").TLS(certs.PublicKey{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return conf
}

// selfSigned makes a certificate of any key that expires at a time.
func selfSigned(t *testing.T, public, private any, notAfter time.Time) tls.Certificate {
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: notAfter}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private}
}

func TestHostileHandshakes(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		change func(t *testing.T, conf *tls.Config)
		log    string
	}{
		{"other protocol", func(t *testing.T, conf *tls.Config) { conf.NextProtos = []string{"h3"} },
			"unsupported application protocols"},
		{"no certificate", func(t *testing.T, conf *tls.Config) { conf.Certificates = nil },
			"client didn't provide a certificate"},
		{"RSA", func(t *testing.T, conf *tls.Config) {
			conf.Certificates = []tls.Certificate{selfSigned(t, &rsaKey.PublicKey, rsaKey, time.Now().Add(time.Hour))}
		}, "key of type RSA, not Ed25519"},
		{"expired", func(t *testing.T, conf *tls.Config) {
			conf.Certificates = []tls.Certificate{selfSigned(t, public, private, time.Now().Add(-time.Second))}
		}, "expired on 1999-12-31"},
		{"two certificates", func(t *testing.T, conf *tls.Config) {
			one := selfSigned(t, public, private, time.Now().Add(time.Hour))
			one.Certificate = append(one.Certificate, one.Certificate[0])
			conf.Certificates = []tls.Certificate{one}
		}, "shows 2 certificates"},
		{"the key of the endpoint, in another process", func(t *testing.T, conf *tls.Config) {
			own, err := identity("b").Certificate()
			if err != nil {
				t.Fatal(err)
			}
			conf.Certificates = []tls.Certificate{own}
		}, certs.ErrTwin.Error()},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newHostileWorld(t)
				conf := goodTLS(t)
				c.change(t, conf)
				conn, err := w.dialRaw(w.raw("hostile"), conf)
				if err == nil { // the client has finished before its certificate was judged
					<-conn.Context().Done()
					err = context.Cause(conn.Context())
				}
				var refused *quic.TransportError
				if !errors.As(err, &refused) || !refused.Remote || !refused.ErrorCode.IsCryptoError() {
					t.Errorf("the client is told %v", err)
				}
				synctest.Wait()
				if log := w.log.String(); !strings.Contains(log, c.log) || !strings.Contains(log, w.Addr("hostile").String()) {
					t.Errorf("the log does not say %q and from where:\n%s", c.log, log)
				}
				w.check()
			})
		})
	}
}

func TestHostileControlStreams(t *testing.T) {
	for _, c := range []struct {
		name   string
		do     func(control *quic.Stream)
		reason string
	}{
		{"oversized frame", func(s *quic.Stream) { s.Write([]byte{0xff, 0xff, 0xff, 0x7f}) }, "exceed"},
		{"endless length", func(s *quic.Stream) { s.Write(bytes.Repeat([]byte{0xff}, 11)) }, "malformed frame"},
		{"truncated frame", func(s *quic.Stream) { s.Write(hello[:len(hello)-1]); s.Close() }, "ends within a frame"},
		{"no protobuf", func(s *quic.Stream) { s.Write([]byte{3, 0xff, 0xff, 0xff}) }, "malformed frame"},
		{"empty frame", func(s *quic.Stream) { s.Write([]byte{0}) }, "no content"},
		{"message", func(s *quic.Stream) { s.Write(message("hi")) }, "MESSAGE on the control stream"},
		{"receipt", func(s *quic.Stream) {
			s.Write(frame(&pb.Receipt{Id: make([]byte, 16), Code: pb.ReceiptCode_DELIVERED}))
		}, "RECEIPT on the control stream"},
		{"cancelled", func(s *quic.Stream) { s.Write(hello[:1]); s.CancelWrite(7) }, "cancelled"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newHostileWorld(t)
				conn, err := w.dialRaw(w.raw("hostile"), goodTLS(t))
				if err != nil {
					t.Fatal(err)
				}
				control, err := conn.OpenStreamSync(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				control.Write(hello)
				link := accept(t, w.b)
				receive(t, link, hello)
				c.do(control)
				if _, err := link.Receive(); !errors.Is(err, pb.ErrMalformed) || !strings.Contains(err.Error(), c.reason) {
					t.Errorf("Receive: %v, want %q", err, c.reason)
				}
				within(t, time.Second, "the end of the link", link.Done())
				<-conn.Context().Done()
				var told *quic.ApplicationError
				if err := context.Cause(conn.Context()); !errors.As(err, &told) || !told.Remote ||
					transport.Code(told.ErrorCode) != transport.CodeProtocol || !strings.Contains(told.ErrorMessage, c.reason) {
					t.Errorf("the client is told %v", err)
				}
				if log := w.log.String(); !strings.Contains(log, c.reason) || !strings.Contains(log, link.Peer().String()) {
					t.Errorf("the log does not say %q and of whom:\n%s", c.reason, log)
				}
				w.check()
			})
		})
	}
}

// A peer that stalls within a frame holds up its own link only.
func TestStallWithinFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHostileWorld(t)
		conn, err := w.dialRaw(w.raw("hostile"), goodTLS(t))
		if err != nil {
			t.Fatal(err)
		}
		control, err := conn.OpenStreamSync(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		whole := numbered(1, 5000)
		control.Write(whole[:3000])
		link := accept(t, w.b)
		stalled := make(chan error)
		go func() {
			_, err := link.Receive()
			stalled <- err
		}()
		time.Sleep(time.Minute)
		select {
		case err := <-stalled:
			t.Errorf("a living link that says nothing ended: %v", err)
		default:
		}
		w.check()
		control.Write(whole[3000:])
		if err := <-stalled; err != nil {
			t.Errorf("the rest of the frame: %v", err)
		}
	})
}

func TestNoControlStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHostileWorld(t)
		conn, err := w.dialRaw(w.raw("hostile"), goodTLS(t))
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		<-conn.Context().Done()
		if took := time.Since(start); took < 5*time.Second || took > 5*time.Second+3*latency {
			t.Errorf("closed after %v", took)
		}
		var told *quic.ApplicationError
		if err := context.Cause(conn.Context()); !errors.As(err, &told) || transport.Code(told.ErrorCode) != transport.CodeHandshakeTimeout {
			t.Errorf("the client is told %v", err)
		}
		if log := w.log.String(); !strings.Contains(log, "no control stream within 5s") {
			t.Errorf("the log does not say why:\n%s", log)
		}
		w.check()
	})
}

// A peer that opens 10,000 streams gets a few at a time, whether they are read or not, and
// they do not add up in memory.
func TestManyStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHostileWorld(t)
		conn, err := w.dialRaw(w.raw("hostile"), goodTLS(t))
		if err != nil {
			t.Fatal(err)
		}
		control, err := conn.OpenStreamSync(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		control.Write(hello)
		link := accept(t, w.b)
		receive(t, link, hello)
		opened := 0
		for range 10000 {
			s, err := conn.OpenStream()
			var limit *quic.StreamLimitReachedError
			if errors.As(err, &limit) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			s.Write([]byte{1})
			opened++
		}
		if opened != 255 {
			t.Fatalf("opened %d streams", opened)
		}
		w.check()
		before := heap()
		go func() { // from now on the endpoint takes them, and cancels them
			for {
				s, err := link.AcceptStream(t.Context())
				if err != nil {
					return
				}
				s.Cancel(transport.CodeRefused)
			}
		}()
		for range 10000 {
			s, err := conn.OpenStreamSync(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			s.Write([]byte{1})
			s.Close()
			s.CancelRead(0)
		}
		if grown := int64(heap()) - int64(before); grown > 4<<20 {
			t.Errorf("the heap has grown by %d bytes", grown)
		}
		w.check2()
		conn.CloseWithError(0, "")
		<-link.Done()
	})
}

// check2 is check for worlds that have had their newcomer.
func (w *hostileWorld) check2() {
	w.t.Helper()
	send(w.t, w.good, hello)
	receive(w.t, w.back, hello)
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A peer that ignores all limits and floods a link that nobody reads fills its
// windows and no more.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHostileWorld(t)
		conn, err := w.dialRaw(w.raw("hostile"), goodTLS(t))
		if err != nil {
			t.Fatal(err)
		}
		control, err := conn.OpenStreamSync(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		before := heap()
		control.SetWriteDeadline(time.Now().Add(30 * time.Second))
		n, err := io.Copy(control, io.LimitReader(zeros{}, 1<<30))
		if err == nil || n > 256<<10 {
			t.Errorf("wrote %d bytes that nobody reads: %v", n, err)
		}
		accept(t, w.b)
		if grown := int64(heap()) - int64(before); grown > 4<<20 {
			t.Errorf("the heap has grown by %d bytes", grown)
		}
		w.check()
	})
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

func TestGarbage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHostileWorld(t)
		conn := w.Node("hostile")
		defer conn.Close()
		go func() { // answers are read and thrown away
			b := make([]byte, 2000)
			for {
				if _, _, err := conn.ReadFrom(b); err != nil {
					return
				}
			}
		}()
		random := mathrand.New(mathrand.NewPCG(1, 1))
		to := net.UDPAddrFromAddrPort(w.Addr("b"))
		before := heap()
		for i := range 10000 {
			b := make([]byte, random.IntN(1300))
			for j := range b {
				b[j] = byte(random.Uint32())
			}
			if len(b) > 5 && i%2 == 0 { // looks like the first packet of a connection
				copy(b, []byte{0xc0 | b[0]&0x0f, 0, 0, 0, 1})
			}
			conn.WriteTo(b, to)
			if i%100 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		time.Sleep(30 * time.Second) // what was taken for a handshake has timed out
		if grown := int64(heap()) - int64(before); grown > 4<<20 {
			t.Errorf("the heap has grown by %d bytes", grown)
		}
		w.check()
	})
}

// Strangers that connect and say nothing can't keep others out for long, a single
// host not at all.
func TestCrowdAtTheGate(t *testing.T) {
	for _, c := range []struct {
		name           string
		hosts, perHost int
		admitted       int           // at most; how many depends on which packets quic-go finds time for
		most           time.Duration // until a newcomer is in
	}{
		{"one host", 1, 60, 32, 10 * latency},
		{"many hosts", 6, 30, 96, 7 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newHostileWorld(t)
				results := make(chan error, c.hosts*c.perHost)
				for i := range c.hosts {
					tr := w.raw("hostile" + string(rune('0'+i)))
					for range c.perHost {
						go func() {
							_, err := w.dialRaw(tr, goodTLS(t))
							results <- err
						}()
					}
				}
				time.Sleep(300 * time.Millisecond)
				w.check2()
				start := time.Now()
				w.connect(w.endpoint("newcomer"), w.b, "b")
				if took := time.Since(start); took > c.most {
					t.Errorf("a newcomer took %v", took)
				}
				admitted := 0
				for range c.hosts * c.perHost {
					if err := <-results; err == nil {
						admitted++
					}
				}
				if admitted > c.admitted || admitted < c.admitted/2 {
					t.Errorf("%d admitted, want at most %d", admitted, c.admitted)
				}
			})
		})
	}
}

// TestGoneBeforeItsStream: a peer that ends its connection as soon as it is established,
// because another one of its connections has won a race, does no harm.
func TestGoneBeforeItsStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newHostileWorld(t)
		tr, conf := w.raw("hostile"), goodTLS(t)
		for range 150 {
			conn, err := w.dialRaw(tr, conf)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(latency)
			conn.CloseWithError(0, "another connection is used")
			time.Sleep(latency)
		}
		w.check()
	})
}

// A stranger may open only the control stream until it is admitted; with another one it is cut off.
func TestStreamsOfStrangers(t *testing.T) {
	for _, c := range []struct {
		name string
		open func(conn *quic.Conn) (io.Writer, error)
		told string
	}{
		{"message stream", func(conn *quic.Conn) (io.Writer, error) { return conn.OpenStream() }, "a message stream of a stranger"},
		{"hop stream", func(conn *quic.Conn) (io.Writer, error) { return conn.OpenUniStream() }, "a hop stream of a stranger"},
	} {
		for _, in := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, let in: %v", c.name, in), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newHostileWorld(t)
					conn, err := w.dialRaw(w.raw("hostile"), goodTLS(t))
					if err != nil {
						t.Fatal(err)
					}
					control, err := conn.OpenStreamSync(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					control.Write(hello)
					link, err := w.b.Accept(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					receive(t, link, hello)
					if n := w.b.Strangers(); n != 1 {
						t.Errorf("%d strangers are on their way in", n)
					}
					if in {
						link.Admit()
						if n := w.b.Strangers(); n != 0 {
							t.Errorf("%d strangers are on their way in", n)
						}
					}
					s, err := c.open(conn)
					if err != nil {
						t.Fatal(err)
					}
					s.Write([]byte{0, 0}) // an empty packet, or frame
					time.Sleep(10 * latency)
					if in {
						if err := link.Err(); err != nil {
							t.Errorf("the link of a peer that was let in has ended: %v", err)
						}
						return
					}
					var told *quic.ApplicationError
					if err := context.Cause(conn.Context()); !errors.As(err, &told) || !told.Remote ||
						transport.Code(told.ErrorCode) != transport.CodeProtocol || told.ErrorMessage != c.told {
						t.Errorf("the stranger is told %v", err)
					}
					if n := w.b.Strangers(); n != 0 {
						t.Errorf("%d strangers are on their way in", n)
					}
					w.check()
				})
			})
		}
	}
}

// Strangers that send one byte and fill the windows of streams that nobody reads take little memory,
// all together, and don't keep others out.
func TestFirstByte(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const hosts, each = 2, 60
		w := newHostileWorld(t)
		newcomers := make(chan *transport.Link)
		go func() { // the owner takes all, and lets in who says more
			for {
				l, err := w.b.Accept(t.Context())
				if err != nil {
					return
				}
				go func() {
					if _, err := l.Receive(); err == nil {
						l.Admit()
						newcomers <- l
					}
				}()
			}
		}()
		before := heap()
		for i := range hosts {
			tr := w.raw(fmt.Sprint("hostile", i))
			for range each {
				go func() {
					conn, err := w.dialRaw(tr, goodTLS(t))
					if err != nil {
						return // turned away
					}
					for i := range 14 {
						s, err := conn.OpenStream()
						if err != nil {
							return
						}
						if i == 0 {
							s.Write(hello[:1])
							continue
						}
						go s.Write(make([]byte, 160<<10))
					}
				}()
			}
		}
		most := 0
		for range 200 {
			time.Sleep(10 * time.Millisecond)
			most = max(most, w.b.Strangers())
		}
		if most > 64 || most < 32 {
			t.Errorf("%d strangers are on their way in", most)
		}
		if grown := int64(heap()) - int64(before); grown > 30<<20 {
			t.Errorf("the heap has grown by %d bytes, those of the attackers counted", grown)
		}
		w.dial(w.endpoint("newcomer"), "b")
		if l := <-newcomers; l.Peer() != identity("newcomer").Key() {
			t.Errorf("%v was let in", l.Peer())
		}
		w.check2()
	})
}
