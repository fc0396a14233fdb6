package transport

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// taken lists the receivers of the packets that next takes.
func taken(h *hop) (list []Tag) {
	for frames := h.next(nil); len(frames) > 0; {
		list = append(list, Tag(binary.BigEndian.Uint64(frames[3:])))
		frames = frames[2+binary.BigEndian.Uint16(frames):]
	}
	return list
}

// TestHopTurns: each link that packets come over has its turn, and so has the endpoint itself.
func TestHopTurns(t *testing.T) {
	c := newCarrier(1)
	h := carryingLink(c).hop
	a, b := carryingLink(c), carryingLink(c)
	for _, put := range []struct {
		from *Link
		to   Tag
	}{{a, 10}, {a, 11}, {a, 12}, {b, 20}, {nil, 30}, {b, 21}, {nil, 31}, {nil, 32}, {nil, 33}} {
		if !h.put(put.from, testPacket(100, put.to, 0)) {
			t.Fatal("no room")
		}
	}
	if got, want := taken(h), []Tag{10, 20, 30, 11, 21, 31, 12, 32, 33}; !slices.Equal(got, want) {
		t.Errorf("sent in the order %v, not %v", got, want)
	}
	if got := taken(h); got != nil || len(h.flows) != 0 {
		t.Errorf("%v were left, %d flows", got, len(h.flows))
	}
}

// TestHopTurnsOfBulk: what is of bulk connections takes turns with the rest that comes the same way, and
// is dropped before it.
func TestHopTurnsOfBulk(t *testing.T) {
	h := carryingLink(newCarrier(1)).hop
	from := carryingLink(newCarrier(1))
	bulk := func(to Tag) *packet {
		p := testPacket(100, to, 0)
		p.b[0] |= bulky
		return p
	}
	for i := range Tag(4) {
		h.put(from, bulk(10+i))
		h.put(nil, bulk(20+i))
	}
	h.put(from, testPacket(100, 30, 0))
	h.put(nil, testPacket(100, 40, 0))
	if got, want := taken(h), []Tag{10, 20, 30, 40, 11, 21, 12, 22, 13, 23}; !slices.Equal(got, want) {
		t.Errorf("sent in the order %v, not %v", got, want)
	}
	for h.put(from, bulk(10)) || h.put(nil, bulk(20)) {
	}
	if !h.put(from, testPacket(100, 30, 0)) || !h.put(nil, testPacket(100, 40, 0)) || h.size > maxHop {
		t.Error("bulk connections leave no room")
	}
	if got := taken(h); !slices.Equal(got[:4], []Tag{10, 20, 30, 40}) {
		t.Errorf("sent in the order %v", got[:4])
	}
}

// TestHopPortion: what is written at once is bounded, and the turns go on from there.
func TestHopPortion(t *testing.T) {
	c := newCarrier(1)
	h := carryingLink(c).hop
	a, b := carryingLink(c), carryingLink(c)
	for i := range 30 {
		h.put(a, testPacket(1217, Tag(100+i), 0))
		h.put(b, testPacket(1217, Tag(200+i), 0))
	}
	var all []Tag
	for {
		list := taken(h)
		if len(list) == 0 {
			break
		}
		if n := len(list) * (2 + 1217); n >= hopWrite+2+maxPacket || len(all)+len(list) < 60 && n < hopWrite {
			t.Errorf("%d bytes at once", n)
		}
		all = append(all, list...)
	}
	for i, to := range all {
		if want := Tag(100 + i%2*100 + i/2); to != want {
			t.Fatalf("packet %d is %v, not %v", i, to, want)
		}
	}
}

// TestHopBounds: what waits is bounded for each flow and for the link, however small the packets
// are, and a full queue drops the end of its longest flow.
func TestHopBounds(t *testing.T) {
	for _, size := range []int{packetHeader + 1, 100, maxPacket} {
		c := newCarrier(1)
		h := carryingLink(c).hop
		links := []*Link{carryingLink(c), carryingLink(c), carryingLink(c), nil}
		fill := func(i, packets int) (n int) {
			for ; n < packets && h.put(links[i], testPacket(size, Tag(1000*(i+1)+n), 0)); n++ {
			}
			return n
		}
		const most = maxFlow / maxPacket
		if n := fill(0, 10000); n != most {
			t.Errorf("packets of %d bytes: one flow holds %d, not %d", size, n, most)
		}
		if n := fill(1, 10000); n != most {
			t.Errorf("packets of %d bytes: the second flow holds %d, not %d", size, n, most)
		}
		for _, i := range []int{2, 3} {
			// The others give way until all are as long as each other.
			if n, fair := fill(i, 10000), maxHop/maxPacket/(i+1); n < fair || n > fair+2 {
				t.Errorf("packets of %d bytes: flow %d holds %d, its share is %d", size, i, n, fair)
			}
		}
		if h.size > maxHop || c.held.Load() != int64(h.size) {
			t.Errorf("packets of %d bytes: the queue holds %d bytes, %d are counted", size, h.size, c.held.Load())
		}
		var got []Tag
		for list := taken(h); len(list) > 0; list = taken(h) {
			got = append(got, list...)
		}
		next := map[Tag]Tag{} // of each flow the beginning is kept
		for _, to := range got {
			flow := to / 1000
			if to%1000 != next[flow] {
				t.Fatalf("packets of %d bytes: packet %d of flow %d after %d", size, to%1000, flow, next[flow])
			}
			next[flow]++
		}
		if held := c.held.Load(); held != 0 || h.size != 0 {
			t.Errorf("packets of %d bytes: %d are held by an empty queue", size, held)
		}
	}
}

// TestCarriedBound: all queues together are bounded, and yet a link that has little in its own
// can be carried for.
func TestCarriedBound(t *testing.T) {
	c := newCarrier(1)
	from := []*Link{carryingLink(c), carryingLink(c)}
	var hops []*hop
	for range 100 {
		h := carryingLink(c).hop
		hops = append(hops, h)
		for i := range 2 * maxFlow / maxPacket {
			h.put(from[i%2], testPacket(18, 2, 3))
		}
	}
	if held := c.held.Load(); held < maxCarried-maxPacket || held > maxCarried+100*alwaysHop {
		t.Errorf("%d are held", held)
	}
	last := hops[99]
	if last.size < alwaysHop || last.size > alwaysHop+maxPacket {
		t.Errorf("the last queue holds %d", last.size)
	}
	if !last.put(nil, testPacket(18, 2, 1)) {
		t.Error("it has no place for another flow")
	}
	if held := c.held.Load(); last.size > alwaysHop+maxPacket {
		t.Errorf("then it holds %d, all %d", last.size, held)
	}
	for _, h := range hops {
		h.ended()
	}
	if held := c.held.Load(); held != 0 {
		t.Errorf("%d are held after the end", held)
	}
}

// TestHopAge: what has waited too long is not sent, but dropped from the beginning.
func TestHopAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCarrier(1)
		h, from := carryingLink(c).hop, carryingLink(c)
		for i := range 10 {
			h.put(from, testPacket(100, Tag(i), 0))
			h.put(nil, testPacket(100, Tag(100+i), 0))
			time.Sleep(50 * time.Millisecond)
		}
		// Packet 6 has waited for 200 ms now.
		if got, want := taken(h), []Tag{6, 106, 7, 107, 8, 108, 9, 109}; !slices.Equal(got, want) {
			t.Errorf("sent %v, not %v", got, want)
		}
		h.put(from, testPacket(100, 50, 0))
		time.Sleep(carryAge + 1)
		if got := taken(h); got != nil || c.held.Load() != 0 {
			t.Errorf("sent %v, holds %d", got, c.held.Load())
		}
	})
}

// TestOwnPacketsWait for room, a little while; those of handshakes don't, and have room of their
// own.
func TestOwnPacketsWait(t *testing.T) {
	const most = maxFlow / maxPacket
	full := func() *hop {
		h := carryingLink(newCarrier(1)).hop
		for h.put(nil, testPacket(100, 5, 1)) {
		}
		return h
	}
	short, long := testPacket(100, 6, 1), testPacket(100, 7, 1)
	long.b[packetHeader] = 0xc0
	for _, c := range []struct {
		name    string
		p       *packet
		after   time.Duration
		happens func(h *hop)
		gets    bool
		at      time.Duration
	}{
		{"nothing", short, 0, nil, false, ownWait},
		{"room", short, ownWait - 1, func(h *hop) { h.next(nil) }, true, ownWait - 1},
		{"room too late", short, ownWait + 1, func(h *hop) { h.next(nil) }, false, ownWait},
		{"the end of the stream", short, 10 * time.Millisecond, func(h *hop) { h.ended() }, false, 10 * time.Millisecond},
		{"a handshake", long, 0, nil, true, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := full()
				if c.happens != nil {
					time.AfterFunc(c.after, func() { c.happens(h) })
				}
				begin := time.Now()
				if got := h.putOwn(c.p); got != c.gets || time.Since(begin) != c.at {
					t.Errorf("has found room: %v, after %v", got, time.Since(begin))
				}
				time.Sleep(time.Second)
			})
		})
	}
	t.Run("several", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := full()
			var wg sync.WaitGroup
			for range 10 {
				wg.Go(func() {
					if !h.putOwn(testPacket(100, 6, 1)) {
						t.Error("one of several has found no room")
					}
				})
			}
			time.Sleep(10 * time.Millisecond)
			if len(h.next(nil)) == 0 { // of all
				t.Error("nothing is sent")
			}
			wg.Wait()
		})
	})
	t.Run("after the end", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := full()
			h.ended()
			begin := time.Now()
			if h.putOwn(testPacket(100, 6, 1)) || time.Since(begin) != 0 {
				t.Errorf("waits for %v", time.Since(begin))
			}
		})
	})
	t.Run("many handshakes", func(t *testing.T) {
		h := full()
		n := 0
		for ; n < 1000; n++ {
			p := testPacket(100, 7, 1)
			p.b[packetHeader] = 0x80
			if !h.putOwn(p) {
				break
			}
		}
		if n != most {
			t.Errorf("%d handshakes have room, not %d", n, most)
		}
	})
}

// TestCarryRate: a hop stream is read at its rate, whatever it brings; and all together have so much
// passed on.
func TestCarryRate(t *testing.T) {
	const seconds = 2
	for _, size := range []int{0, packetHeader, packetHeader + 1, 100, maxPacket} {
		synctest.Test(t, func(t *testing.T) {
			c := newCarrier(1)
			from, next := carryingLink(c), carryingLink(c)
			c.set(9, next)
			stream := new(bytes.Buffer)
			frame := append(binary.BigEndian.AppendUint16(nil, uint16(size)), testPacket(maxPacket, 9, 8).b[:size]...)
			for range seconds * carryLink / (size + rateCost) {
				stream.Write(frame)
			}
			begin := time.Now()
			if err := from.hop.readStream(bufio.NewReader(stream)); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(begin); took < (seconds-0.1)*1e9 || took > (seconds+0.1)*1e9 {
				t.Errorf("packets of %d bytes were read in %v", size, took)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		c := newCarrier(1)
		next := carryingLink(c)
		c.set(9, next)
		passed := 0
		for begin := time.Now(); time.Since(begin) < time.Second; time.Sleep(time.Millisecond) {
			for range 200 { // 300 MB a second
				c.take(carryingLink(c), testPacket(maxPacket, 9, 8))
				for frames := next.hop.next(nil); len(frames) > 0; frames = next.hop.next(nil) {
					passed += (maxPacket + rateCost) * len(frames) / (maxPacket + 2)
				}
			}
		}
		if passed < carryAll*9/10 || passed > carryAll+2*carryBurst {
			t.Errorf("%d bytes are passed on in a second", passed)
		}
	})
}

// TestHopAccounts: whatever is put, taken, and ended, the counts are those of the queues, which
// keep their bounds, and in the end nothing is held.
func TestHopAccounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newCarrier(1)
		var links []*Link
		for range 4 {
			links = append(links, carryingLink(c))
		}
		check := func() {
			held := 0
			for i, l := range links {
				size := 0
				for _, f := range l.hop.flows {
					if len(f.queue) == 0 || f.size != len(f.queue)*packetCost || f.size > maxFlow {
						t.Fatalf("a flow of %d packets has size %d", len(f.queue), f.size)
					}
					size += f.size
				}
				if size != l.hop.size || size > maxHop || l.hop.state == hopEnded && size > 0 {
					t.Fatalf("link %d has size %d, its flows have %d", i, l.hop.size, size)
				}
				held += size
			}
			if held != int(c.held.Load()) {
				t.Fatalf("%d are held, not %d", c.held.Load(), held)
			}
		}
		froms := append(slices.Clone(links), nil, handshakes)
		link := rapid.SampledFrom(links)
		t.Repeat(map[string]func(*rapid.T){
			"": func(*rapid.T) { check() },
			"put": func(t *rapid.T) {
				l, from := link.Draw(t, "link"), rapid.SampledFrom(froms).Draw(t, "from")
				size := rapid.IntRange(packetHeader+1, maxPacket).Draw(t, "size")
				for range rapid.IntRange(1, 200).Draw(t, "packets") {
					if p := testPacket(size, 2, 3); !l.hop.put(from, p) {
						p.free()
					} else if l.hop.state == hopEnded {
						t.Fatal("put where the stream has ended")
					}
				}
			},
			"take": func(t *rapid.T) { link.Draw(t, "link").hop.next(nil) },
			"end": func(t *rapid.T) {
				if l := link.Draw(t, "link"); l.hop.state != hopEnded {
					l.hop.ended()
				}
			},
		})
		for _, l := range links {
			if l.hop.state != hopEnded {
				l.hop.ended()
			}
		}
		check()
	})
}

// FuzzHopStream reads a hop stream. The packets it takes, for whom, and where it stops are compared with
// a simpler reading.
func FuzzHopStream(f *testing.F) {
	const own, back, on, stranger = 1, 2, 3, 4
	frame := func(size, left int, to, from Tag) []byte {
		p := testPacket(maxPacket, to, from)
		p.b[0] = byte(left)
		return append(binary.BigEndian.AppendUint16(nil, uint16(size)), p.b[:min(size, maxPacket)]...)
	}
	good := slices.Concat(frame(1217, 16, own, on), frame(18, 2, on, own), frame(1500, 255, on, stranger), frame(100, 1, on, back))
	for _, seed := range [][]byte{
		nil, {0}, {0, 0}, {0xff, 0xff}, good, good[:len(good)-1], good[:1220], good[:1221],
		append(slices.Clone(good), frame(1501, 16, own, on)...), append(frame(17, 16, own, on), good...),
		frame(50, 16, own, own), frame(50, 0, own, on), frame(50, 16, back, on), frame(50, 16, stranger, on), frame(50, 16, own, stranger),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 64<<10 {
			return // more than a queue holds
		}
		c := newCarrier(own)
		from, next := carryingLink(c), carryingLink(c)
		c.set(back, from)
		c.set(on, next)
		var forUs [][]byte
		var passed [2][][]byte // the second are those of bulk connections
		first := 0             // which of the two has come first
		tooLarge, rest := false, data
		for len(rest) >= 2 {
			size := int(rest[0])<<8 | int(rest[1])
			rest = rest[2:]
			if tooLarge = size > 1500; tooLarge {
				break
			}
			if size > len(rest) {
				rest = nil
				break
			}
			p := slices.Clone(rest[:size])
			rest = rest[size:]
			if size < 18 {
				continue
			}
			to, sender := binary.BigEndian.Uint64(p[1:]), binary.BigEndian.Uint64(p[9:])
			switch {
			case to == own && (sender == back || sender == on) && len(forUs) < maxArrived:
				forUs = append(forUs, p)
			case to == on && p[0]&0x7f > 1 && len(passed[p[0]>>7]) < maxFlow/maxPacket:
				kind := p[0] >> 7
				p[0] = kind<<7 | (min(p[0]&0x7f, 16) - 1)
				if len(passed[0])+len(passed[1]) == 0 {
					first = int(kind)
				}
				passed[kind] = append(passed[kind], p)
			}
		}
		if !tooLarge {
			rest = nil
		}
		// The stream comes in pieces of any size, as far as the reader wants it.
		r := bufio.NewReaderSize(&pieces{data: data}, 16)
		if err := from.hop.readStream(r); (err != nil) != tooLarge {
			t.Fatalf("got %v", err)
		}
		if left, _ := io.ReadAll(r); !bytes.Equal(left, rest) {
			t.Errorf("%d bytes are left, not %d", len(left), len(rest))
		}
		for _, want := range forUs {
			b := make([]byte, maxPacket)
			if len(c.arrived) == 0 {
				t.Fatal("a packet for us is missing")
			}
			n, addr, err := c.ReadFrom(b)
			if err != nil || !bytes.Equal(b[:n], want[packetHeader:]) || uint64(addr.(carriedAddr).tag) != binary.BigEndian.Uint64(want[9:]) {
				t.Errorf("got %d bytes from %v, %v", n, addr, err)
			}
		}
		if len(c.arrived) > 0 {
			t.Errorf("%d packets too many are for us", len(c.arrived))
		}
		var got, want []byte
		for frames := next.hop.next(nil); len(frames) > 0; frames = next.hop.next(nil) {
			got = append(got, frames...)
		}
		for i := range max(len(passed[0]), len(passed[1])) { // they take turns
			for _, list := range [][][]byte{passed[first], passed[1-first]} {
				if i < len(list) {
					want = append(binary.BigEndian.AppendUint16(want, uint16(len(list[i]))), list[i]...)
				}
			}
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%d bytes are passed on, not %d", len(got), len(want))
		}
		if c.held.Load() != 0 || from.hop.size != 0 {
			t.Error("something is held")
		}
	})
}

// pieces is a reader that gives 1, 2, 3 … bytes.
type pieces struct {
	data []byte
	last int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.data) == 0 {
		return 0, io.EOF
	}
	p.last++
	n := copy(b, p.data[:min(p.last, len(p.data))])
	p.data = p.data[n:]
	return n, nil
}
