// Package coretest runs networks of up to 10,000 real cores (quicpeer/overlay/core, the
// code of the binary) over a pretended network: for core's own simulations, and for
// scripts/sim, which measures.
//
// It is a discrete-event simulation. Nothing waits: it keeps a queue of events (queue.go), and
// time is the time of the current event. One generator of random numbers serves the network and
// each peer has its own, all from one seed; no map is ever ranged over, and a network has no
// goroutines. So the same seed gives the same run to the last byte, and any failure can be
// repeated by its seed.
//
// A machine does the driver's part for its core (driver.go): it hands over connections, frames
// and time, and obeys every effect. Between machines lies a model of QUIC:
//
//   - Latency, one way, is 5 to 50 ms, by a hash of the pair.
//   - Each packet is lost with some probability. A frame is one packet for each 1200 bytes;
//     what is lost comes one probe timeout later, the next time after twice that, and
//     nothing overtakes it on its link (link.go).
//   - A connection stands after one round trip. A dial that nobody answers runs into
//     its timeout (dial.go), and NATs let in whom they expect (nat.go). A process that dies
//     is not noticed: its links fall silent.
//   - Keepalives are sent, lost, repeated and acknowledged as by quic-go (keepalive.go).
//   - A restarted process answers packets to its forerunner by a stateless reset.
//
// The model leaves out bandwidth and queues, processing time except for judging signatures,
// changing latency, and loss in bursts.
package coretest

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/pb"
)

// Latency of a pair of machines, one way, as in the study in which the protocol's constants were
// chosen: a guess at machines of one continent.
const (
	LeastLatency = 5 * time.Millisecond
	MostLatency  = 50 * time.Millisecond
)

// World is a network of machines and the time in it.
type World struct {
	Hooks
	private
	Seed     uint64
	Rand     *rand.Rand // the network's; each process has its own
	Now      time.Duration
	Machines []*Machine
	Loss     float64 // of a packet
	// MostLosses limits how often in a row a packet is lost; 0: no limit.
	MostLosses int
	// DriverDelay is how late a driver may be to report a connection that it has made.
	DriverDelay time.Duration
	// NoResets: packets to a dead process stay unanswered.
	NoResets bool
	// Oracle saves the work of keepalives: a link is heard as long as its other end lives and can
	// be reached.
	Oracle bool
	// Timed measures the time that cores take.
	Timed    bool
	Count    Counters
	Obeyed   []int64       // the number of effects of each kind
	Trace    uint64        // a hash over everything sent and shown
	LastSeen time.Duration // the last event of any peer

	queue     queue
	memory    *memory
	driver    []effect
	addresses map[string]*Machine
	names     names
	processes int
	changes   uint64     // of what is alive and who reaches whom, see End.sure
	doubted   []*Machine // see judgeDoubted
	gaps
}

// Hooks let the user of a world watch and interfere. All but Odd may be nil.
type Hooks struct {
	Odd       func(format string, args ...any)              // something is wrong
	Configure func(*Machine, *base.Config)                  // before a process starts
	Shown     func(*Process, base.Event)                    // an event
	Gone      func(observer, subject *Process)              // a living peer is shown as gone, rightly or not
	Lost      func(observer, subject *Process)              // a living peer was shown as lost, in this run of it
	Noted     func(*Process, base.Note)                     // a line for the log
	Ended     func(*Process)                                // its core ends with an error
	Ticked    func(*Process)                                // the timer, after all that it brings
	Sent      func(from *End, m *pb.PeerMessage, bytes int) // a frame goes out
	Rewrite   func(from *End, f base.Frame) [][]byte        // the frames that go out in its place
	Arrived   func(at *End, m *pb.PeerMessage)              // a frame has come
	Skipped   func(at *Process, data []byte)                // an unknown frame has come
	Story     func(who *Machine, what string, args ...any)  // everything, for people
}

// Counters are totals that grow while time passes.
type Counters struct {
	Frames    int64
	Bytes     int64 // of frames; keepalives apart
	Pings     int64 // packets of keepalives
	Dials     int64
	Strays    int64         // first packets of handshakes, to addresses at which nobody is
	Received  int64         // frames
	Receiving time.Duration // that cores took for them
	Ticks     int64
	Ticking   time.Duration
}

// NewWorld makes a network without machines.
func NewWorld(seed uint64, loss float64, hooks Hooks) *World {
	return &World{
		Hooks: hooks, Seed: seed, Rand: rand.New(rand.NewPCG(seed, 1)), Loss: loss, queue: newQueue(), memory: newMemory(),
		driver: effects[:], Obeyed: make([]int64, len(effects)),
		addresses: make(map[string]*Machine), names: newNames(), changes: 1, gaps: gaps{severed: make(map[[2]int]bool)},
	}
}

// Identity returns the identity of a number, the same each time.
func Identity(number uint64) *certs.Identity {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, number))
	return certs.NewIdentity(sum[:])
}

// Add adds a machine that every other can reach, and that runs nothing yet.
func (w *World) Add(id certs.ID, identity *certs.Identity, epoch uint64) *Machine {
	i := len(w.Machines)
	m := &Machine{World: w, Index: i, ID: id, Identity: identity, Key: identity.Key(), Epoch: epoch}
	m.number = w.names.of(m.ID, m.Key)
	w.names.list[m.number].machine = m
	w.Machines = append(w.Machines, m)
	m.setAddress(fmt.Sprintf("10.%d.%d.%d:5000", i>>16, i>>8&255, i&255))
	return m
}

func (m *Machine) setAddress(address string) {
	delete(m.World.addresses, m.Address)
	m.Address = address
	m.World.addresses[address] = m
}

// At plans an action.
func (w *World) At(when time.Duration, do func()) { w.queue.push(event{at: max(when, w.Now), do: do}) }

// Run lets time pass.
func (w *World) Run(d time.Duration) {
	until := w.Now + d
	for {
		e, now, ok := w.queue.pop(until)
		if !ok {
			break
		}
		w.Now = now
		if e.do != nil {
			e.do()
		} else {
			e.hand(e.parcel)
		}
	}
	w.Now = until
}

// Until lets time pass until ok, which is asked after each step, and stops after limit.
func (w *World) Until(step, limit time.Duration, ok func() bool) bool {
	end := w.Now + limit
	for !ok() {
		if w.Now >= end {
			return false
		}
		w.Run(step)
	}
	return true
}

// Mix scatters the bits of x (the finalizer of SplitMix64).
func Mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Latency is the latency of a pair, the same in both directions. It is computed, not stored:
// 10,000 machines have 50 million pairs.
func Latency(seed uint64, a, b int32) time.Duration {
	lo, hi := uint64(min(a, b)), uint64(max(a, b))
	h := Mix(seed*0x9e3779b97f4a7c15 ^ Mix(lo<<32|hi))
	return LeastLatency + time.Duration(h%uint64(MostLatency-LeastLatency))
}

func (w *World) latency(a, b *Machine) time.Duration {
	return Latency(w.Seed, int32(a.Index), int32(b.Index)) + a.Far + b.Far
}

// packetSize is the payload of a QUIC packet of the smallest size that the protocol relies on.
const packetSize = 1200

// pto is quic-go's probe timeout on a path with a measured round trip: the smoothed round trip,
// four times its deviation and 25 ms of delayed acknowledgement, here 1.5 round trips and 25 ms.
func pto(oneWay time.Duration) time.Duration { return 3*oneWay + ackDelay }

// Travel is the time that one packet takes on such a path.
func (w *World) Travel(oneWay time.Duration) time.Duration { return w.travel(oneWay, pto(oneWay), 1) }

// travel is the time until the last of several packets has arrived. The last is sent again after
// a probe timeout, which doubles; an earlier one as soon as its successors have been
// acknowledged, 9/8 of a round trip after it was sent (RFC 9002, 6.1.2).
func (w *World) travel(oneWay, probe time.Duration, packets int) time.Duration {
	if w.Loss == 0 {
		return oneWay
	}
	var latest time.Duration
	for i := range packets {
		var late time.Duration
		wait := probe
		for lost := 0; (w.MostLosses == 0 || lost < w.MostLosses) && w.Rand.Float64() < w.Loss; lost++ {
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

func (w *World) lost() bool { return w.Loss > 0 && w.Rand.Float64() < w.Loss }

// Between is a random duration.
func (w *World) Between(least, most time.Duration) time.Duration {
	return least + time.Duration(w.Rand.Int64N(int64(most-least)+1))
}

// Reach reports whether packets go from one machine to the other.
func (w *World) Reach(a, b *Machine) bool {
	return a.side == b.side && (len(w.severed) == 0 || !w.severed[pairOf(a, b)])
}

func pairOf(a, b *Machine) [2]int { return [2]int{min(a.Index, b.Index), max(a.Index, b.Index)} }

// Kinds of hashed things.
const (
	traceEvent = iota
	traceFrame
	traceClose
	traceDial
	traceLetter
)

// hash adds to the trace.
func (w *World) hash(what, a, b uint64) {
	w.Trace = Mix(w.Trace ^ uint64(w.Now)<<8 ^ what)
	w.Trace = Mix(w.Trace ^ a<<32 ^ b)
}

// tell adds to the story of the machine.
func (p *Process) tell(what string, args ...any) {
	if p.World.Story != nil {
		p.World.Story(p.Machine, what, args...)
	}
}
