package transport

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Bounds of what a link carries for others, guesses unless said otherwise.
const (
	// carryLink is how many bytes a second are read of the hop stream of a link, carryAll how many
	// are passed on of all together; a packet counts rateCost more than its size, as small ones cost
	// nearly as much. On loopback a megabyte in full packets takes a relay some 12 ms of a processor
	// (measured), so that a link alone can take less than half of one. Where lines are slower, QUIC's
	// congestion control sets the pace, and the queues below share it out. carryBurst is what may
	// come at once: QUIC adapts to the rate, and a longer burst makes but a longer queue.
	carryLink  = 40 << 20
	carryAll   = 128 << 20
	carryBurst = 128 << 10
	rateCost   = 500
	// carryOut is how many are written to it: a little fewer, whatever the two clocks say, so that what has to
	// wait for the rate waits in the queues below, where flows take turns, and not in the stream, where each
	// packet stands behind all others.
	carryOut = 39 << 20
	// rateStep is how much is read before the rate is looked at, and rateSleep the shortest wait.
	rateStep  = 16 << 10
	rateSleep = time.Millisecond
	// Queues for a link: of what comes over one other link, or is our own; of all that; of all
	// links together, but for the little that each may always hold, lest the queues of some peers
	// that do not read keep all others from being served. A packet counts as what it holds, however
	// short it is. A carried connection has at most its window of 160 KiB a stream on its way.
	maxFlow    = 256 << 10
	maxHop     = 512 << 10
	maxCarried = 16 << 20
	alwaysHop  = 32 << 10
	packetCost = maxPacket
	// carryAge is how long a packet may wait: then it is dropped, which tells QUIC to slow down,
	// rather than be late (as CoDel does, RFC 8289).
	carryAge = 200 * time.Millisecond
	// ownWait is how long QUIC waits to place a packet of ours.
	ownWait = 50 * time.Millisecond
	// hopWrite is how much is written at once: full packets, and few system calls; of small ones as many
	// as count for hopCost.
	hopWrite = 32 << 10
	hopCost  = 64 << 10
	// probeAfter is how long after a packet nothing may follow, before an empty one does.
	probeAfter = 15 * time.Millisecond
	// Questions that a link may cause about peers that are not known: at once, and in a second.
	asksAtOnce    = 64
	asksPerSecond = 100
)

// carryRate limits bytes by time.
type carryRate struct{ *rate.Limiter }

func newCarryRate(perSecond int) carryRate {
	return carryRate{rate.NewLimiter(rate.Limit(perSecond), carryBurst)}
}

func (r carryRate) allow(bytes int) bool { return r.AllowN(time.Now(), bytes) }

// wait waits until the rate is kept to, or nearly.
func (r carryRate) wait(bytes int) {
	now := time.Now()
	if d := r.ReserveN(now, bytes).DelayFrom(now); d >= rateSleep {
		time.Sleep(d)
	}
}

// hop is the end of a link that carries packets for others: a stream each way, opened when there
// is something to carry. Its reader waits for nothing but its rate, so that what lies unread takes
// the link's window for a moment only, and a peer that sends more is slowed down; its writer waits
// for the peer, and lets its queue fill and drop. A peer that does not read its hop stream hurts what
// goes over it alone.
type hop struct {
	link *Link
	c    *carrier
	rate carryRate
	asks *rate.Limiter
	used atomic.Int64 // when it last carried something, in nanoseconds since 1970

	wake chan struct{} // holds a token when there may be something to write
	room chan struct{} // holds a token when there may be room for a packet of ours
	gone chan struct{} // closed when nothing is carried any more

	mu    sync.Mutex
	flows []*flow // those with packets, in the order of their turns
	size  int     // what they hold
	state hopState
}

type hopState int

const (
	hopIdle    hopState = iota
	hopRunning          // a goroutine writes
	hopEnded            // the peer takes nothing, or the link has ended
)

// flow is what has come over one link for another, without that of bulk connections or that alone.
type flow struct {
	from  *Link // nil: our own
	bulk  bool
	queue []*packet
	size  int // what it holds
}

// handshakes stands for the origin of our own packets of handshakes.
var handshakes = new(Link)

func newHop(l *Link, c *carrier) *hop {
	return &hop{
		link: l, c: c, rate: newCarryRate(carryLink), asks: rate.NewLimiter(asksPerSecond, asksAtOnce),
		wake: make(chan struct{}, 1), room: make(chan struct{}, 1), gone: make(chan struct{}),
	}
}

func (h *hop) mayAsk() bool { return h.asks.AllowN(time.Now(), 1) }

// put queues a packet that has come over a link, or is our own (nil); false says that there is no
// room for it. A full queue drops the end of its longest flow, so that one that sends too much
// loses its own.
func (h *hop) put(from *Link, p *packet) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.state == hopEnded {
		return false
	}
	same := func(f *flow) bool { return f.from == from && f.bulk == p.isBulky() }
	i := slices.IndexFunc(h.flows, same)
	if i >= 0 && h.flows[i].size+packetCost > maxFlow {
		return false
	}
	if h.size+packetCost > maxHop || h.size >= alwaysHop && h.c.held.Load()+packetCost > maxCarried {
		longest := h.longest()
		if longest == nil || same(longest) {
			return false
		}
		h.drop(longest, len(longest.queue)-1)
		i = slices.IndexFunc(h.flows, same)
	}
	if i < 0 {
		i = len(h.flows)
		h.flows = append(h.flows, &flow{from: from, bulk: p.isBulky()})
	}
	p.at = time.Now()
	f := h.flows[i]
	f.queue = append(f.queue, p)
	h.count(f, packetCost)
	h.used.Store(p.at.UnixNano())
	if h.state == hopIdle {
		h.state = hopRunning
		if !h.link.endpoint.spawn(h.write) {
			h.end()
			return true // which has dropped it
		}
	}
	signal(h.wake)
	return true
}

func (h *hop) count(f *flow, bytes int) {
	f.size += bytes
	h.size += bytes
	h.c.held.Add(int64(bytes))
}

func (h *hop) longest() (most *flow) {
	for _, f := range h.flows {
		if most == nil || f.size > most.size {
			most = f
		}
	}
	return most
}

// pop takes a packet out of a flow. h.mu is held.
func (h *hop) pop(f *flow, i int) *packet {
	p := f.queue[i]
	f.queue[i] = nil // the slice goes on to hold its beginning
	if i == 0 {
		f.queue = f.queue[1:]
	} else {
		f.queue = f.queue[:i]
	}
	h.count(f, -packetCost)
	if len(f.queue) == 0 {
		h.flows = slices.DeleteFunc(h.flows, func(other *flow) bool { return other == f })
	}
	return p
}

func (h *hop) drop(f *flow, i int) { h.pop(f, i).free() }

// putOwn is put for a packet of ours; it waits a little for room. Those of handshakes do not:
// quic-go answers all strangers from one goroutine, and a peer that floods us with them and does
// not read would hold up the others. They are one more flow.
func (h *hop) putOwn(p *packet) bool {
	const longHeader = 0x80 // RFC 9000, 17.2
	if p.b[packetHeader]&longHeader != 0 {
		return h.put(handshakes, p)
	}
	if h.put(nil, p) {
		return true
	}
	late := time.NewTimer(ownWait)
	defer late.Stop()
	for {
		select {
		case <-h.room:
			if h.put(nil, p) {
				return true
			}
		case <-late.C:
			return false
		case <-h.gone:
			return false
		}
	}
}

// emptyFrame is a packet of no bytes, which is dropped. It follows the last of some packets: when that
// is lost, the acknowledgement of a later one shows it sooner than a probe timeout of QUIC.
var emptyFrame = []byte{0, 0}

// write is the goroutine that writes the queue to the hop stream.
func (h *hop) write() {
	defer h.ended()
	s, err := h.link.conn.OpenUniStream()
	if err != nil {
		return // the peer takes none
	}
	probe := time.NewTimer(time.Hour)
	defer probe.Stop()
	pace := carryRate{rate.NewLimiter(carryOut, hopCost+maxPacket+rateCost)}
	var frames []byte
	for {
		if frames = h.next(frames[:0]); len(frames) > 0 {
			pace.wait(costOf(frames))
			if _, err := h.link.hole.write(s, frames); err != nil {
				return
			}
			probe.Reset(probeAfter)
			continue
		}
		select {
		case <-h.wake:
		case <-probe.C:
			if _, err := h.link.hole.write(s, emptyFrame); err != nil {
				return
			}
		case <-h.link.conn.Context().Done():
			return
		}
	}
}

// costOf is what frames count of a rate.
func costOf(frames []byte) (cost int) {
	for len(frames) > 0 {
		size := int(binary.BigEndian.Uint16(frames))
		cost += size + rateCost
		frames = frames[2+size:]
	}
	return cost
}

// next takes packets in turns, one of each flow.
func (h *hop) next(frames []byte) []byte {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	for cost := 0; len(h.flows) > 0 && len(frames) < hopWrite && cost < hopCost; {
		f := h.flows[0]
		h.flows = append(h.flows[1:], f)
		p := h.pop(f, 0)
		if now.Sub(p.at) <= carryAge {
			frames = binary.BigEndian.AppendUint16(frames, uint16(p.size))
			frames = append(frames, p.b[:p.size]...)
			cost += p.size + rateCost
		}
		p.free()
		if f.from == nil {
			signal(h.room)
		}
	}
	return frames
}

func (h *hop) ended() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.end()
}

// end drops what waits, and all that follows. h.mu is held.
func (h *hop) end() {
	h.state = hopEnded
	close(h.gone)
	for len(h.flows) > 0 {
		h.drop(h.flows[0], 0)
	}
}

// read is the goroutine that reads the hop streams of the peer, one after the other.
func (h *hop) read() {
	r := bufio.NewReaderSize(nil, 16)
	for {
		s, err := h.link.conn.AcceptUniStream(h.link.conn.Context())
		if err != nil {
			return
		}
		if h.link.isStranger() {
			h.link.violation("a hop stream of a stranger")
			return
		}
		if r.Size() < hopWrite {
			r = bufio.NewReaderSize(nil, hopWrite) // most links carry nothing
		}
		r.Reset(s)
		if err := h.readStream(r); err != nil {
			h.link.violation(err.Error())
			return
		}
	}
}

// readStream takes the packets of a stream until it ends. An error is one that breaks the
// protocol.
func (h *hop) readStream(r *bufio.Reader) error {
	var length [2]byte
	for cost := 0; ; {
		if cost >= rateStep {
			h.rate.wait(cost)
			cost = 0
		}
		if _, err := io.ReadFull(r, length[:]); err != nil {
			return nil
		}
		size := int(binary.BigEndian.Uint16(length[:]))
		if size > maxPacket {
			return fmt.Errorf("a packet of %d bytes on the hop stream, more than %d", size, maxPacket)
		}
		cost += size + rateCost
		p := newPacket()
		p.size = size
		if _, err := io.ReadFull(r, p.b[:size]); err != nil {
			p.free()
			return nil
		}
		if size <= packetHeader {
			p.free()
			continue
		}
		h.c.take(h.link, p)
	}
}
