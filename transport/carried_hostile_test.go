package transport_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"

	"quicpeer/certs"
	"quicpeer/pb"
	"quicpeer/transport"
)

// hopPeer is a peer of bare quic-go with a link to an endpoint, and does what it likes with the
// hop streams.
type hopPeer struct {
	t       *testing.T
	conn    *quic.Conn
	control *quic.Stream
	link    *transport.Link // the endpoint's end

	mu  sync.Mutex
	hop *quic.SendStream
}

// hopPeer connects the node of a name to the endpoint of another; conf may be nil.
func (w *world) hopPeer(tr *quic.Transport, name, to string, e *transport.Endpoint, conf *quic.Config) *hopPeer {
	w.t.Helper()
	tls, err := identity(name).TLS(certs.PublicKey{}, w.door)
	if err != nil {
		w.t.Fatal(err)
	}
	p := &hopPeer{t: w.t}
	if p.conn, err = tr.Dial(w.t.Context(), net.UDPAddrFromAddrPort(w.Addr(to)), tls, conf); err != nil {
		w.t.Fatal(err)
	}
	if p.control, err = p.conn.OpenStream(); err != nil {
		w.t.Fatal(err)
	}
	p.control.Write(hello)
	p.link = accept(w.t, e)
	receive(w.t, p.link, hello)
	return p
}

// open opens a hop stream.
func (p *hopPeer) open() *quic.SendStream {
	s, err := p.conn.OpenUniStreamSync(p.t.Context())
	if err != nil {
		p.t.Error(err)
	}
	return s
}

// carry writes packets to the hop stream, with their headers.
func (p *hopPeer) carry(packets ...[]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hop == nil {
		p.hop = p.open()
	}
	p.hop.Write(slices.Concat(packets...))
}

// read calls take for each packet on the hop stream of the endpoint.
func (p *hopPeer) read(take func(packet []byte)) {
	s, err := p.conn.AcceptUniStream(p.conn.Context())
	if err != nil {
		return
	}
	r := bufio.NewReader(s)
	for {
		var size [2]byte
		if _, err := io.ReadFull(r, size[:]); err != nil {
			return
		}
		packet := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(r, packet); err != nil {
			return
		}
		if len(packet) > 0 { // an empty one only shows losses
			take(packet)
		}
	}
}

// reads returns the packets that come on the hop stream.
func (p *hopPeer) reads() <-chan []byte {
	c := make(chan []byte, 10000)
	go p.read(func(packet []byte) { c <- packet })
	return c
}

// header is that of a packet.
func header(left byte, to, from transport.Tag) []byte {
	b := binary.BigEndian.AppendUint64([]byte{left}, uint64(to))
	return binary.BigEndian.AppendUint64(b, uint64(from))
}

// framed is a packet as it stands on the hop stream.
func framed(packet []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...)
}

func carriedPacket(left byte, to, from string, content []byte) []byte {
	return framed(append(header(left, tag(to), tag(from)), content...))
}

// TestHostileHopStreams: what is wrong is dropped, and the link lives; what is too large ends it.
// The endpoint b passes on to the peer sink, which sees what gets through.
func TestHostileHopStreams(t *testing.T) {
	garbage := bytes.Repeat([]byte{0xc5}, 1000)
	for _, c := range []struct {
		name   string
		do     func(p *hopPeer)
		asks   string // of whom b asks
		closed string // the reason
	}{
		{"too large", func(p *hopPeer) { p.carry([]byte{1501 >> 8, 1501 & 0xff}) }, "", "a packet of 1501 bytes on the hop stream"},
		{"much too large", func(p *hopPeer) { p.carry([]byte{0xff, 0xff}, garbage) }, "", "a packet of 65535 bytes on the hop stream"},
		{"the largest", func(p *hopPeer) { p.carry(carriedPacket(16, "b", "known", make([]byte, 1500-17))) }, "", ""},
		{"short", func(p *hopPeer) {
			for size := range 18 {
				p.carry(framed(header(16, tag("sink"), tag("known"))[:size]))
			}
		}, "", ""},
		{"no hop left", func(p *hopPeer) {
			p.carry(carriedPacket(1, "sink", "known", garbage), carriedPacket(0, "sink", "known", garbage))
		}, "", ""},
		{"unknown receiver", func(p *hopPeer) { p.carry(carriedPacket(16, "nobody", "known", garbage)) }, "nobody", ""},
		{"receiver without a way", func(p *hopPeer) { p.carry(carriedPacket(16, "lost", "known", garbage)) }, "", ""},
		{"back to the sender", func(p *hopPeer) { p.carry(carriedPacket(16, "known", "sink", garbage)) }, "", ""},
		{"unknown sender", func(p *hopPeer) { p.carry(carriedPacket(16, "b", "nobody", garbage)) }, "nobody", ""},
		{"the endpoint as the sender", func(p *hopPeer) { p.carry(carriedPacket(16, "b", "b", garbage)) }, "", ""},
		{"garbage for QUIC", func(p *hopPeer) {
			random := rand.New(rand.NewPCG(1, 2))
			for i := range 2000 {
				b := make([]byte, 1+random.IntN(1400))
				for j := range b {
					b[j] = byte(random.Uint32())
				}
				if len(b) > 5 && i%2 == 0 { // looks like the first packet of a connection
					copy(b, []byte{0xc0 | b[0]&0x0f, 0, 0, 0, 1})
				}
				p.carry(carriedPacket(16, "b", "known", b))
			}
		}, "", ""},
		{"another stream each time", func(p *hopPeer) {
			for i := range 100 {
				s := p.open()
				switch b := carriedPacket(16, "sink", "known", garbage); i % 5 {
				case 0: // empty
				case 1:
					s.Write(b[:1])
				case 2:
					s.Write(b[:2])
				case 3:
					s.Write(b[:500])
				case 4:
					s.Write(b[:500])
					s.CancelWrite(7)
				}
				s.Close()
			}
		}, "", ""},
		{"streams that are cancelled at once", func(p *hopPeer) {
			for range 100 {
				p.open().CancelWrite(0)
			}
		}, "", ""},
		{"two streams", func(p *hopPeer) {
			p.carry(nil)
			if _, err := p.conn.OpenUniStream(); !errors.As(err, new(*quic.StreamLimitReachedError)) {
				p.t.Errorf("a second hop stream: %v", err)
			}
		}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newHostileWorld(t)
				sink := w.hopPeer(w.raw("sink"), "sink", "b", w.b, nil)
				p := w.hopPeer(w.raw("hostile"), "hostile", "b", w.b, nil)
				w.b.SetWay(tag("sink"), sink.link)
				w.b.SetWay(tag("known"), p.link)
				w.b.SetWay(tag("lost"))
				got := sink.reads()
				c.do(p)
				if c.closed != "" {
					within(t, time.Second, "the end of the link", p.link.Done())
					<-p.conn.Context().Done()
					var told *quic.ApplicationError
					if err := context.Cause(p.conn.Context()); !errors.As(err, &told) || !told.Remote ||
						transport.Code(told.ErrorCode) != transport.CodeProtocol || !strings.Contains(told.ErrorMessage, c.closed) {
						t.Errorf("the peer is told %v", err)
					}
					if log := w.log.String(); !strings.Contains(log, c.closed) || !strings.Contains(log, p.link.Peer().String()) {
						t.Errorf("the log does not say %q and of whom:\n%s", c.closed, log)
					}
					w.check()
					return
				}
				p.carry(carriedPacket(16, "sink", "known", []byte("marker")))
				if b := <-got; b[0] != 15 || string(b[17:]) != "marker" {
					t.Errorf("%x was passed on", b)
				}
				time.Sleep(10 * time.Second)
				if len(got) != 0 {
					t.Errorf("%x was passed on", <-got)
				}
				if err := p.link.Err(); err != nil {
					t.Errorf("the link has ended: %v", err)
				}
				asked := false
				for len(w.b.CarryWishes()) > 0 {
					wish := <-w.b.CarryWishes()
					if asked = true; wish.Packet != nil || c.asks == "" || wish.To != tag(c.asks) {
						t.Errorf("b asks of %x, packet %x", wish.To, wish.Packet)
					}
				}
				if asked != (c.asks != "") {
					t.Errorf("b has asked: %v", asked)
				}
				w.check2()
			})
		})
	}
}

// numberedMessage is one of many, of 300 bytes.
func numberedMessage(i int) string { return fmt.Sprintf("%06d%s", i, strings.Repeat(".", 294)) }

// exchange sends messages both ways, on a stream each, and returns how far they got and why not
// further.
func exchange(t *testing.T, a, b *transport.Link, messages int) (got [2]int, failed error) {
	var wg sync.WaitGroup
	var errs [4]error
	for i, l := range [][2]*transport.Link{{a, b}, {b, a}} {
		wg.Go(func() {
			s, err := l[0].OpenStream(t.Context())
			for m := 0; err == nil && m < messages; m++ {
				err = s.Write(message(numberedMessage(m)))
				time.Sleep(5 * time.Millisecond)
			}
			if err == nil {
				err = s.CloseWrite()
			}
			errs[2*i] = err
		})
		wg.Go(func() {
			s, err := l[1].AcceptStream(t.Context())
			for err == nil {
				var m *pb.PeerMessage
				if m, err = s.Read(1 << 10); err == nil {
					if m.GetMessage().GetContent() != numberedMessage(got[i]) {
						t.Errorf("message %d is %.10q", got[i], m.GetMessage().GetContent())
					}
					got[i]++
				}
			}
			if err != io.EOF {
				errs[2*i+1] = err
			}
		})
	}
	wg.Wait()
	return got, errors.Join(errs[:]...)
}

// meddler is how a carrier treats a packet. It passes it on by on, or something else, at once or
// later; back sends to the side that it came from.
type meddler func(packet []byte, on, back func(packet []byte))

// between makes alice and bob reach each other over mallory alone.
func between(w *world, meddle meddler) (alice, bob *transport.Endpoint) {
	alice, bob = w.endpoint("alice"), w.endpoint("bob")
	tr := w.raw("mallory")
	sides := [2]*hopPeer{w.hopPeer(tr, "mallory", "alice", alice, nil), w.hopPeer(tr, "mallory", "bob", bob, nil)}
	alice.SetWay(tag("bob"), sides[0].link)
	bob.SetWay(tag("alice"), sides[1].link)
	alice.SetWay(tag("other"), sides[0].link) // a name for mallory to use
	bob.SetWay(tag("other"), sides[1].link)
	for i, from := range sides {
		on := func(packet []byte) { sides[1-i].carry(framed(packet)) }
		back := func(packet []byte) { from.carry(framed(packet)) }
		go from.read(func(packet []byte) { meddle(packet, on, back) })
	}
	return alice, bob
}

// closingInitial is an Initial packet that ends a connection, as anybody can make one who has seen the
// first packet: its keys follow from that (RFC 9001, 5.2). It goes to the sender of a packet if the server
// says it, else to its receiver.
func closingInitial(first, packet []byte, server bool) []byte {
	const number, refused = 1000, 2
	frames := append([]byte{0x1c, refused, 0, 0}, make([]byte, 1100)...) // CONNECTION_CLOSE, PADDING
	to, from := destination(packet), source(packet)
	if server {
		to, from = from, to
	}
	return sealInitial(destination(first), to, from, server, number, frames)
}

// sealInitial is an Initial packet of the connection whose first packet goes to the ID first.
func sealInitial(first, to, from []byte, server bool, number uint32, frames []byte) []byte {
	secret, err := hkdf.Extract(sha256.New, first, []byte{
		0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a,
	})
	derive := func(label string, size int) []byte {
		label = "tls13 " + label
		info := append([]byte{byte(size >> 8), byte(size), byte(len(label))}, label+"\x00"...)
		var b []byte
		if err == nil {
			b, err = hkdf.Expand(sha256.New, secret, string(info), size)
		}
		return b
	}
	side := "client in"
	if server {
		side = "server in"
	}
	secret = derive(side, 32)
	key, iv, hp := derive("quic key", 16), derive("quic iv", 12), derive("quic hp", 16)
	if err != nil {
		panic(err)
	}
	b := slices.Concat([]byte{0xc3, 0, 0, 0, 1, byte(len(to))}, to, []byte{byte(len(from))}, from, []byte{0})
	b = binary.BigEndian.AppendUint16(b, 0x4000|uint16(4+len(frames)+16))
	at := len(b)
	b = binary.BigEndian.AppendUint32(b, number)
	binary.BigEndian.PutUint32(iv[8:], binary.BigEndian.Uint32(iv[8:])^number)
	block, _ := aes.NewCipher(key) // keys of 16 bytes are right
	aead, _ := cipher.NewGCM(block)
	b = aead.Seal(b, iv, frames, b)
	var mask [16]byte
	block, _ = aes.NewCipher(hp)
	block.Encrypt(mask[:], b[at+4:][:16])
	b[0] ^= mask[0] & 0x0f
	for i := range 4 {
		b[at+i] ^= mask[1+i]
	}
	return b
}

// destination is the connection ID of a packet's receiver, and source that of its sender, as a packet
// with a long header has it; others do not.
func destination(packet []byte) []byte {
	if packet[0]&0x80 == 0 {
		return packet[1:5]
	}
	return packet[6:][:packet[5]]
}

func source(packet []byte) []byte {
	if packet[0]&0x80 == 0 {
		return nil
	}
	b := packet[6+packet[5]:]
	return b[1:][:b[0]]
}

// errOtherSide: the handshake has ended at the other side.
var errOtherSide = errors.New("the other side has ended")

// TestHostileCarrier: what a carrier may do to packets. Messages arrive all the same, exactly and
// in order, or the link ends and says why.
func TestHostileCarrier(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	chance := func(p float64) bool { return random.Float64() < p }
	initial := func(packet []byte) bool { return packet[17]&0xb0 == 0x80 }
	altered := func(packet []byte, from, to int) []byte {
		packet = slices.Clone(packet)
		packet[from+random.IntN(to-from)] ^= byte(1 + random.IntN(255))
		return packet
	}
	var kept [][]byte
	for _, c := range []struct {
		name   string
		meddle meddler
		later  bool  // it begins in the middle of the messages
		dial   error // how dialling fails
		end    error // how the link ends
	}{
		{"is honest", func(p []byte, on, _ func([]byte)) { on(p) }, false, nil, nil},
		{"drops", func(p []byte, on, _ func([]byte)) {
			if !chance(0.1) {
				on(p)
			}
		}, false, nil, nil},
		{"delays and reorders", func(p []byte, on, _ func([]byte)) {
			time.AfterFunc(time.Duration(random.IntN(100))*time.Millisecond, func() { on(p) })
		}, false, nil, nil},
		{"duplicates", func(p []byte, on, _ func([]byte)) { on(p); on(p); on(p) }, false, nil, nil},
		{"replays", func(p []byte, on, _ func([]byte)) {
			kept = append(kept, p)
			on(p)
			if chance(0.3) {
				on(kept[random.IntN(len(kept))])
			}
		}, false, nil, nil},
		{"alters", func(p []byte, on, _ func([]byte)) {
			if chance(0.1) {
				p = altered(p, 17, len(p))
			}
			on(p)
		}, false, nil, nil},
		{"alters headers", func(p []byte, on, _ func([]byte)) {
			if chance(0.1) {
				p = altered(p, 0, 17)
			}
			on(p)
		}, false, nil, nil},
		{"cuts", func(p []byte, on, _ func([]byte)) {
			if chance(0.1) {
				p = p[:random.IntN(len(p))]
			}
			on(p)
		}, false, nil, nil},
		{"invents", func(p []byte, on, back func([]byte)) {
			on(p)
			if chance(0.3) {
				q := slices.Clone(p)
				for i := 18; i < len(q); i++ {
					q[i] = byte(random.Uint32())
				}
				on(q)
			}
		}, false, nil, nil},
		{"sends back", func(p []byte, on, back func([]byte)) {
			on(p)
			if chance(0.3) {
				back(p)
				back(slices.Concat(p[:1], p[9:17], p[1:9], p[17:])) // as if of the other
			}
		}, false, nil, nil},
		{"renames", func(p []byte, on, _ func([]byte)) {
			name, other := tag("other"), header(0, 0, tag("other"))[9:]
			if chance(0.3) {
				p = slices.Concat(p[:9], other, p[17:])
			}
			switch { // what is for the other name is for the one who seemed to have it
			case transport.Tag(binary.BigEndian.Uint64(p[1:])) != name:
			case transport.Tag(binary.BigEndian.Uint64(p[9:])) == tag("alice"):
				p = slices.Concat(p[:1], header(0, tag("bob"), 0)[1:9], p[9:])
			default:
				p = slices.Concat(p[:1], header(0, tag("alice"), 0)[1:9], p[9:])
			}
			on(p)
		}, false, nil, nil},
		{"renames, and has no answers for that name", func(p []byte, on, _ func([]byte)) {
			if chance(0.3) {
				p = slices.Concat(p[:9], header(0, 0, tag("other"))[9:], p[17:])
			}
			on(p)
		}, true, nil, nil},
		{"drops all at last", func([]byte, func([]byte), func([]byte)) {}, true, nil, transport.ErrSilent},
		{"alters all at last", func(p []byte, on, _ func([]byte)) { on(altered(p, 18, len(p))) }, true, nil, transport.ErrSilent},
		{"repeats one at last", func(p []byte, on, _ func([]byte)) {
			if kept = append(kept, p); len(kept) > 1 {
				on(kept[0])
			}
		}, true, nil, transport.ErrSilent},
		{"drops all", func([]byte, func([]byte), func([]byte)) {}, false, transport.ErrNoAnswer, nil},
		{"alters the first", func(p []byte, on, _ func([]byte)) {
			if initial(p) {
				p = altered(p, 40, len(p))
			}
			on(p)
		}, false, transport.ErrNoAnswer, nil},
		{"speaks for the other side", func(p []byte, _, back func([]byte)) {
			if !initial(p) {
				return
			}
			// A version negotiation packet is not protected (RFC 9000, 17.2.1).
			receiver := p[17+5:][:1+p[17+5]]
			sender := p[17+5+len(receiver):][:1+p[17+5+len(receiver)]]
			back(slices.Concat(p[:1], p[9:17], p[1:9], []byte{0x80, 0, 0, 0, 0}, sender, receiver, []byte{0xff, 0, 0, 29}))
		}, false, transport.ErrProtocol, nil},
		{"ends the handshake", func(p []byte, _, back func([]byte)) {
			if initial(p) {
				back(slices.Concat(p[:1], p[9:17], p[1:9], closingInitial(p[17:], p[17:], true)))
			}
		}, false, transport.ErrRefused, nil},
		{"ends the handshake of the other side", func(p []byte, on, _ func([]byte)) {
			on(p)
			if initial(p) && len(kept) == 0 {
				kept = append(kept, p)
				on(slices.Concat(p[:17], closingInitial(p[17:], p[17:], false)))
			}
		}, false, errOtherSide, nil},
		{"ends the handshake too late", func(p []byte, on, back func([]byte)) {
			on(p)
			kept = append(kept, p)
			if first := kept[0]; len(kept) > 20 && chance(0.3) { // nobody has the keys of the first any more
				ends := closingInitial(first[17:], p[17:], false)
				on(slices.Concat(p[:17], ends))
				back(slices.Concat(p[:1], p[9:17], p[1:9], ends))
				ends = closingInitial(first[17:], first[17:], true) // to the one who has sent it
				on(slices.Concat(p[:1], first[9:17], first[1:9], ends))
				back(slices.Concat(p[:1], first[9:17], first[1:9], ends))
			}
		}, false, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 1)
				kept = nil
				var mu sync.Mutex // of what c.meddle uses
				var begins time.Time
				alice, bob := between(w, func(p []byte, on, back func([]byte)) {
					mu.Lock()
					defer mu.Unlock()
					if c.later && (begins.IsZero() || time.Now().Before(begins)) {
						on(p)
						return
					}
					c.meddle(p, on, back)
				})
				var a *transport.Link
				for try := 1; a == nil; try++ {
					var err error
					a, err = alice.DialCarried(t.Context(), tag("bob"), identity("bob").Key())
					switch {
					case c.dial == errOtherSide: // by then we have its answer
						within(t, time.Minute, "the end", a.Done())
						return
					case c.dial != nil:
						if !errors.Is(err, c.dial) {
							t.Errorf("dialling: %v", err)
						}
						return
					case err == nil:
					case errors.Is(err, certs.ErrSelf) && c.name == "sends back": // our own hello
					case !errors.Is(err, transport.ErrNoAnswer) && !errors.Is(err, transport.ErrRefused) || try == 8:
						t.Fatalf("dialling: %v", err)
					}
				}
				send(t, a, hello)
				b := accept(t, bob)
				receive(t, b, hello)
				mu.Lock()
				begins = time.Now().Add(250 * time.Millisecond)
				mu.Unlock()
				const messages = 100
				got, err := exchange(t, a, b, messages)
				if c.end == nil && (err != nil || got != [2]int{messages, messages}) {
					t.Errorf("%d of %d messages arrived: %v (%v, %v)", got, messages, err, a.Err(), b.Err())
				}
				if c.end != nil {
					within(t, time.Minute, "the end", a.Done())
					within(t, time.Minute, "the end", b.Done())
					if !errors.Is(a.Err(), c.end) || !errors.Is(b.Err(), c.end) || err == nil || got[0] == 0 || got[0] == messages {
						t.Errorf("%d messages arrived; the links have ended with %v and %v", got, a.Err(), b.Err())
					}
				}
			})
		})
	}
}

// TestSlowWayCarries: where no way is known, or the way is silent, a search carries.
func TestSlowWayCarries(t *testing.T) {
	for _, c := range []struct {
		name string
		deaf time.Duration // until then the way is good
	}{{"no way", 0}, {"the way is silent from the beginning", 1}, {"the way becomes silent", 300 * time.Millisecond}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 1)
				begin := time.Now()
				alice, bob := between(w, func(p []byte, on, _ func([]byte)) {
					if time.Since(begin) < c.deaf {
						on(p)
					}
				})
				if c.deaf == 0 {
					alice.SetWay(tag("bob"))
					bob.SetWay(tag("alice"))
				}
				search := func(from, to *transport.Endpoint, name string) {
					for {
						select {
						case wish := <-from.CarryWishes():
							if wish.Packet != nil {
								time.AfterFunc(2*latency, func() { to.TakeCarried(tag(name), wish.Packet) })
							}
						case <-t.Context().Done():
							return
						}
					}
				}
				go search(alice, bob, "alice")
				go search(bob, alice, "bob")
				a, err := alice.DialCarried(t.Context(), tag("bob"), identity("bob").Key())
				if err != nil {
					t.Fatal(err)
				}
				send(t, a, hello)
				b := accept(t, bob)
				receive(t, b, hello)
				const messages = 100
				if got, err := exchange(t, a, b, messages); err != nil || got != [2]int{messages, messages} {
					t.Errorf("%d of %d messages arrived: %v", got, messages, err)
				}
				if took := time.Since(begin); took > 2500*time.Millisecond {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}
