package main

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
)

// Latency of a pair of machines, one way: that of the study in which the
// protocol's constants were chosen. A guess at machines of one continent.
const (
	leastLatency = 5 * time.Millisecond
	mostLatency  = 50 * time.Millisecond
)

// world is a network of machines and the time in it.
type world struct {
	seed  uint64
	rng   *rand.Rand // the network's; each peer has its own
	now   time.Duration
	queue queue
	peers []*peer
	where map[string]*peer // by address
	loss  float64          // of a packet

	// oracle spares the work of keepalives: a link is heard while its other end
	// lives and can be reached.
	oracle bool
	// timed measures the time that cores take.
	timed bool

	memory   *memory
	count    counters
	trace    uint64        // a hash over all that was sent and shown
	follow   certs.ID      // whose story is printed; empty: nobody's
	lastSeen time.Duration // the last event of any peer
	doubted  []*peer       // see judgeDoubted
	// saw, if set, is told of each event of a living peer.
	saw func(observer, subject *peer, joined bool)
	// each, if set, is asked each 50 ms of a wait, until it says that it has seen enough.
	each   func() (enough bool)
	marked time.Duration // see watchMarks
}

// counters are what is added up while time passes.
type counters struct {
	frames     int64
	bytes      int64                // of frames; keepalives apart
	byContent  [len(contents)]int64 // of these, see contentOf
	pings      int64                // packets of keepalives
	dials      int64
	falseLost  int64 // living peers, that could be reached, were shown as lost
	cutLost    int64 // the same, by peers on the far side of a cut
	refuted    int64 // accusations that their subject has answered
	accused    int64 // a peer has said of another that it is lost
	violations int64
	errors     int64
	received   int64         // frames
	receiving  time.Duration // that cores took for them
	ticks      int64
	ticking    time.Duration
	first      []string // the first oddities, for people
}

// newWorld makes a network without machines.
func newWorld(seed uint64, loss float64) *world {
	return &world{
		seed: seed, rng: rand.New(rand.NewPCG(seed, 1)), queue: newQueue(),
		where: make(map[string]*peer), loss: loss, memory: newMemory(),
	}
}

// run lets so much time pass.
func (w *world) run(d time.Duration) {
	until := w.now + d
	for {
		e, now, ok := w.queue.pop(until)
		if !ok {
			break
		}
		w.now = now
		w.happen(&e)
	}
	w.now = until
}

// happen does what an event is.
func (w *world) happen(e *event) {
	switch e.kind {
	case happensTick:
		if e.life == e.peer.life && e.at == e.peer.tickAt {
			e.peer.tick()
		}
	case happensArrival:
		e.end.arrive(e.parcel)
	case happensRelease:
		e.end.release()
	case happensAttempt:
		e.dial.attempt()
	case happensDialFail:
		if e.life == e.peer.life {
			e.peer.dialFailed(e.dial, e.dial.self)
		}
	case happensClosed:
		e.end.finish(false, "closed")
	case happensExit:
		if e.life == e.peer.life {
			e.peer.lookToExit()
		}
	case happensVerdict:
		if e.life == e.peer.life {
			e.peer.answer(e.verify)
		}
	}
}

// until lets time pass until ok, which is asked each step, and gives up after limit.
func (w *world) until(step, limit time.Duration, ok func() bool) bool {
	end, look := w.now+limit, w.now
	for !ok() {
		if w.now >= end {
			return false
		}
		w.run(step)
		if w.each != nil && w.now >= look {
			look += 50 * time.Millisecond
			if w.each() {
				w.each = nil
			}
		}
	}
	return true
}

// mix scatters the bits of x (the finalizer of SplitMix64).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// latency is that of a pair, the same in both directions. It is computed, not stored:
// 10,000 machines have 50 million pairs.
func latency(seed uint64, a, b int32) time.Duration {
	lo, hi := uint64(min(a, b)), uint64(max(a, b))
	h := mix(seed*0x9e3779b97f4a7c15 ^ mix(lo<<32|hi))
	return leastLatency + time.Duration(h%uint64(mostLatency-leastLatency))
}

func (w *world) latency(a, b *peer) time.Duration { return latency(w.seed, a.index, b.index) }

// packetSize is what QUIC puts into a packet of the smallest size that it relies on.
const packetSize = 1200

// pto is quic-go's probe timeout on a measured way: smoothed round trip, four times its
// deviation and 25 ms of delayed acknowledgement, here 1.5 round trips and 25 ms.
func pto(oneWay time.Duration) time.Duration { return 3*oneWay + 25*time.Millisecond }

// travel is the time until the last of so many packets has arrived. The last of them is
// sent again after a probe timeout, which doubles; one before it already when its
// successors have been acknowledged, 9/8 of a round trip after it was sent (RFC 9002, 6.1.2).
func (w *world) travel(oneWay, probe time.Duration, packets int) time.Duration {
	if w.loss == 0 {
		return oneWay
	}
	var latest time.Duration
	for i := range packets {
		var late time.Duration
		for wait := probe; w.rng.Float64() < w.loss; {
			if i < packets-1 {
				late += oneWay * 9 / 4
			} else {
				late += wait
				wait *= 2
			}
		}
		latest = max(latest, late)
	}
	return oneWay + latest
}

func (w *world) lost() bool { return w.loss > 0 && w.rng.Float64() < w.loss }

// between is a random duration.
func (w *world) between(least, most time.Duration) time.Duration {
	return least + time.Duration(w.rng.Int64N(int64(most-least)+1))
}

// reach says whether packets go from one machine to the other.
func (w *world) reach(a, b *peer) bool { return a.side == b.side }

// cut puts each machine on the side that f names: packets cross no border. What
// was held back comes with the next probe of QUIC, at most 2 s later.
func (w *world) cut(side func(i int) uint8) {
	for _, p := range w.peers {
		for _, e := range p.ends {
			e.advance()
		}
	}
	for i, p := range w.peers {
		p.side = side(i)
	}
	for _, p := range w.peers {
		for _, e := range p.ends {
			if len(e.held) > 0 && w.reach(p, e.other.peer) {
				w.queue.push(event{at: w.now + w.between(0, 2*time.Second), kind: happensRelease, end: e})
			}
		}
	}
}

func (w *world) heal() { w.cut(func(int) uint8 { return 0 }) }

// hash adds to the trace.
func (w *world) hash(what kind, a, b uint64) {
	w.trace = mix(w.trace ^ uint64(w.now)<<8 ^ uint64(what))
	w.trace = mix(w.trace ^ a<<32 ^ b)
}

// odd notes something that should not be, for people.
func (w *world) odd(format string, args ...any) {
	if len(w.count.first) < 20 {
		w.count.first = append(w.count.first, fmt.Sprintf("%.3f s: ", w.now.Seconds())+fmt.Sprintf(format, args...))
	}
}

// addPeer adds a machine, with its identity, that runs nothing yet.
func (w *world) addPeer() *peer {
	i := int32(len(w.peers))
	p := &peer{w: w, index: i, epoch: firstEpoch}
	p.id = idOf(i)
	p.identity = identityOf(w.seed, i)
	p.key = p.identity.Key()
	p.address = fmt.Sprintf("10.%d.%d.%d:5000", i>>16, i>>8&255, i&255)
	w.peers = append(w.peers, p)
	w.where[p.address] = p
	return p
}

// sent counts a frame.
func (c *counters) sent(m *pb.PeerMessage, size int) {
	c.frames++
	c.bytes += int64(size)
	c.byContent[contentOf(m)] += int64(size)
}

// perPeer is the rate of bytes a second and peer between two counts.
func perPeer(bytes int64, d time.Duration, n int) float64 {
	return float64(bytes) / d.Seconds() / float64(n)
}

// seedOf makes a seed of 32 bytes.
func seedOf(a, b uint64) []byte {
	s := make([]byte, 0, 32)
	for i := range uint64(4) {
		s = binary.BigEndian.AppendUint64(s, mix(a*0x9e3779b97f4a7c15+mix(b*4+i)))
	}
	return s
}
