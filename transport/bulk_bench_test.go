package transport_test

import (
	"errors"
	"io"
	"net"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"quicpeer/certs"
	"quicpeer/pb"
	"quicpeer/transport"
)

// benchBytes go in one piece of a measure.
const benchBytes = 64 << 20

// benchLine is a row of endpoints on loopback, each with a link to the next and ways to all others.
func benchLine(b *testing.B, names ...string) (ends []*transport.Endpoint) {
	b.Helper()
	procs := runtime.GOMAXPROCS(runtime.NumCPU())
	b.Cleanup(func() { runtime.GOMAXPROCS(procs) })
	var links [][2]*transport.Link
	for i, name := range names {
		conn, err := transport.Listen("127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		e, err := transport.NewEndpoint(transport.Config{Conn: conn, Identity: identity(name), Tag: tag(name)})
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { e.Close() })
		if ends = append(ends, e); i == 0 {
			continue
		}
		near, err := ends[i-1].Dial(b.Context(), e.Addr(), identity(name).Key())
		if err == nil {
			err = near.Send(hello)
		}
		if err != nil {
			b.Fatal(err)
		}
		far, err := e.Accept(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		far.Admit()
		links = append(links, [2]*transport.Link{near, far})
	}
	for i, e := range ends {
		for j, name := range names {
			switch {
			case j < i:
				e.SetWay(tag(name), links[i-1][1])
			case j > i:
				e.SetWay(tag(name), links[i][0])
			}
		}
	}
	return ends
}

// benchBulk is a bulk connection from the first to the last of a row, with its first stream.
func benchBulk(b *testing.B, ends []*transport.Endpoint, to string) (asks, serves *transport.BulkStream) {
	b.Helper()
	dial := func() (*transport.Bulk, error) {
		return ends[0].DialBulk(b.Context(), ends[1].Addr(), identity(to).Key())
	}
	if len(ends) > 2 {
		dial = func() (*transport.Bulk, error) {
			return ends[0].DialBulkCarried(b.Context(), tag(to), identity(to).Key())
		}
	}
	near, err := dial()
	if err != nil {
		b.Fatal(err)
	}
	if asks, err = near.OpenStream(b.Context()); err == nil {
		_, err = asks.Write([]byte("?"))
	}
	if err != nil {
		b.Fatal(err)
	}
	far, err := ends[len(ends)-1].AcceptBulk(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	if serves, err = far.AcceptStream(b.Context()); err != nil {
		b.Fatal(err)
	}
	return asks, serves
}

// pump sends benchBytes for each round of the benchmark.
func pump(b *testing.B, to io.Writer, from io.Reader) {
	b.Helper()
	b.SetBytes(benchBytes)
	failed := make(chan error, 1)
	go func() {
		piece := make([]byte, 1<<20)
		for range int64(b.N) * benchBytes / int64(len(piece)) {
			if _, err := to.Write(piece); err != nil {
				failed <- err
				return
			}
		}
		failed <- nil
	}()
	b.ResetTimer()
	piece := make([]byte, 64<<10)
	for rest := int64(b.N) * benchBytes; rest > 0; {
		n, err := from.Read(piece)
		if rest -= int64(n); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	if err := <-failed; err != nil {
		b.Fatal(err)
	}
}

// BenchmarkBulk compares a stream for files with one of bare quic-go in its default configuration, and
// over another peer with a message stream. Run them together: the machine decides.
func BenchmarkBulk(b *testing.B) {
	b.Run("bare", func(b *testing.B) { pumpBare(b) })
	b.Run("direct", func(b *testing.B) {
		asks, serves := benchBulk(b, benchLine(b, "a", "b"), "b")
		pump(b, serves, asks)
	})
	b.Run("link carried", func(b *testing.B) {
		near, far := benchLink(b, benchLine(b, "a", "b", "c"), "c")
		s, err := far.OpenStream(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		message := message(string(make([]byte, 64<<10)))
		go func() {
			for s.Write(message) == nil {
			}
		}()
		got, err := near.AcceptStream(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(benchBytes)
		b.ResetTimer()
		for range b.N * benchBytes / (64 << 10) {
			if _, err := got.Read(pb.MaxMessageFrame); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("carried", func(b *testing.B) {
		asks, serves := benchBulk(b, benchLine(b, "a", "b", "c"), "c")
		pump(b, serves, asks)
	})
}

// benchLink is a link between the ends of a row, over others if there are some.
func benchLink(b *testing.B, ends []*transport.Endpoint, to string) (near, far *transport.Link) {
	b.Helper()
	dial := func() (*transport.Link, error) { return ends[0].Dial(b.Context(), ends[1].Addr(), identity(to).Key()) }
	if len(ends) > 2 {
		dial = func() (*transport.Link, error) {
			return ends[0].DialCarried(b.Context(), tag(to), identity(to).Key())
		}
	}
	near, err := dial()
	if err == nil {
		err = near.Send(hello)
	}
	if err != nil {
		b.Fatal(err)
	}
	if far, err = ends[len(ends)-1].Accept(b.Context()); err == nil {
		far.Admit()
		_, err = far.Receive()
	}
	if err != nil {
		b.Fatal(err)
	}
	return near, far
}

// BenchmarkBulkBesideChat measures the round trip of a small frame on a link, direct or over another peer,
// without and beside a transfer to the same peer on the same way.
func BenchmarkBulkBesideChat(b *testing.B) {
	for _, c := range []struct {
		name   string
		row    []string
		beside bool
	}{
		{"direct idle", []string{"a", "b"}, false}, {"direct beside", []string{"a", "b"}, true},
		{"carried idle", []string{"a", "b", "c"}, false}, {"carried beside", []string{"a", "b", "c"}, true},
	} {
		b.Run(c.name, func(b *testing.B) {
			last := c.row[len(c.row)-1]
			ends := benchLine(b, c.row...)
			near, far := benchLink(b, ends, last)
			go func() {
				for {
					if _, err := far.Receive(); err != nil || far.Send(hello) != nil {
						return
					}
				}
			}()
			if c.beside {
				asks, serves := benchBulk(b, ends, last)
				go func() {
					for piece := make([]byte, 1<<20); ; {
						if _, err := serves.Write(piece); err != nil {
							return
						}
					}
				}()
				go func() { _, _ = io.Copy(io.Discard, asks) }()
			}
			pause := time.NewTicker(5 * time.Millisecond)
			defer pause.Stop()
			var took []time.Duration
			b.ResetTimer()
			for range b.N {
				<-pause.C
				begin := time.Now()
				if err := near.Send(hello); err != nil {
					b.Fatal(err)
				}
				if _, err := near.Receive(); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(begin))
			}
			slices.Sort(took)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(took[len(took)/2])/1e6, "ms-median")
			b.ReportMetric(float64(took[len(took)*99/100])/1e6, "ms-p99")
		})
	}
}

// pumpBare is pump over quic-go as it is.
func pumpBare(b *testing.B) {
	procs := runtime.GOMAXPROCS(runtime.NumCPU())
	defer runtime.GOMAXPROCS(procs)
	socket := func() (*quic.Transport, *net.UDPAddr) {
		conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			b.Fatal(err)
		}
		tr := &quic.Transport{Conn: conn}
		b.Cleanup(func() { _ = errors.Join(tr.Close(), conn.Close()) })
		return tr, conn.LocalAddr().(*net.UDPAddr)
	}
	near, _ := socket()
	far, addr := socket()
	theirs, err := identity("b").TLS(certs.PublicKey{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	ours, err := identity("a").TLS(certs.PublicKey{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	l, err := far.Listen(theirs, nil)
	if err != nil {
		b.Fatal(err)
	}
	dialled, err := near.Dial(b.Context(), addr, ours, nil)
	if err != nil {
		b.Fatal(err)
	}
	accepted, err := l.Accept(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	to, err := accepted.OpenStream()
	if err == nil {
		_, err = to.Write([]byte("!"))
	}
	if err != nil {
		b.Fatal(err)
	}
	from, err := dialled.AcceptStream(b.Context())
	if err == nil {
		_, err = io.ReadFull(from, make([]byte, 1))
	}
	if err != nil {
		b.Fatal(err)
	}
	pump(b, to, from)
}
