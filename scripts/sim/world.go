package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/coretest"
	"quicpeer/pb"
)

// never is a time that does not come.
const never = coretest.Never

// firstEpoch is that of a peer's first run: milliseconds of some day of 2026.
const firstEpoch = 1_790_000_000_000

type peer = coretest.Machine

// world is a simulated network, and what is counted of it.
type world struct {
	*coretest.World
	count counters
	// saw, if set, is called for each event of a living peer.
	saw func(observer, subject *peer, joined bool)
	// each, if set, is called every 50 ms of a wait, until it returns that it has seen enough.
	each   func() (enough bool)
	marked time.Duration // see watchMarks
	// private makes the network a private one, whose first peer has let in all others.
	private bool
}

// counters are what is added up while time passes, beside what the network counts itself.
type counters struct {
	coretest.Counters
	byContent  [len(contents)]int64 // bytes of frames, see contents
	falseLost  int64                // living peers, that could be reached, were shown as lost
	cutLost    int64                // the same, by peers on the far side of a cut
	refuted    int64                // accusations that their subject has answered
	accused    int64                // a peer has said of another that it is lost
	violations int64
	first      []string // the first oddities, for people
}

// newWorld makes a network without machines. If follow is not empty, it tells the story
// of the peer of that name.
func newWorld(seed uint64, loss float64, follow certs.ID) *world {
	w := &world{}
	w.World = coretest.NewWorld(seed, loss, coretest.Hooks{
		Odd: func(format string, args ...any) {
			w.count.violations++
			w.odd(format, args...)
		},
		Shown: w.shown, Lost: w.lost, Noted: w.noted,
		Sent: func(e *coretest.End, m *pb.PeerMessage, bytes int) {
			w.count.byContent[content[m.GetType()]] += int64(bytes)
			if follow != "" && e.Process.ID == follow {
				w.Story(e.Process.Machine, "sends", e.Other.Process.ID, contents[content[m.GetType()]], bytes)
			}
		},
		Ended: func(p *coretest.Process) {
			if _, removed := errors.AsType[*base.RemovedError](p.Err); !removed {
				w.odd("%s ends: %v", p.ID, p.Err)
			}
		},
	})
	if follow != "" {
		w.Story = func(who *peer, what string, args ...any) {
			if who.ID == follow || slices.ContainsFunc(args, func(a any) bool { return isAbout(a, follow) }) {
				fmt.Fprintf(os.Stderr, "%10.4f %s %s %v\n", w.Now.Seconds(), who.ID, what, args)
			}
		}
	}
	return w
}

// isAbout says that a part of a story is about the peer.
func isAbout(a any, id certs.ID) bool {
	switch a := a.(type) {
	case base.Joined:
		return a.ID == id
	case base.Left:
		return a.ID == id
	}
	return a == string(id) || a == id
}

// counted is all that has been counted until now.
func (w *world) counted() counters {
	w.count.Counters = w.Count
	return w.count
}

// odd notes something that should not happen, for people.
func (w *world) odd(format string, args ...any) {
	if len(w.count.first) < 20 {
		w.count.first = append(w.count.first, fmt.Sprintf("%.3f s: ", w.Now.Seconds())+fmt.Sprintf(format, args...))
	}
}

func (w *world) shown(p *coretest.Process, event base.Event) {
	switch e := event.(type) {
	case base.Joined:
		q := w.byID(e.ID)
		if q.Key != e.Key {
			w.Odd("%s shows %s with another's key", p.ID, e.ID)
		}
		if w.saw != nil {
			w.saw(p.Machine, q, true)
		}
	case base.Left:
		if w.saw != nil {
			w.saw(p.Machine, w.byID(e.ID), false)
		}
	}
}

// lost counts a living peer that was shown as lost, if it could be reached.
func (w *world) lost(p, q *coretest.Process) {
	switch {
	case !w.Reach(p.Machine, q.Machine):
	case p.Side() != 0:
		w.count.cutLost++
	default:
		w.count.falseLost++
		w.odd("%s says that %s is lost, which lives", p.ID, q.ID)
	}
}

// noted counts the log lines of a core.
func (w *world) noted(p *coretest.Process, n base.Note) {
	switch n.Kind {
	case base.Refutation:
		w.count.refuted++
	case base.Accusation:
		w.count.accused++
	case base.Violation:
		w.count.violations++
		w.odd("%s: %s %v", p.ID, n.Text, n.Args)
	}
}

// addPeer adds a machine, with its identity, that runs nothing yet.
func (w *world) addPeer() *peer {
	i := len(w.Machines)
	return w.Add(certs.ID(fmt.Sprintf("p%06d", i)), certs.NewIdentity(seedOf(w.Seed, uint64(i))), firstEpoch)
}

// byID finds the machine of an ID.
func (w *world) byID(id certs.ID) *peer {
	i := 0
	for _, c := range id[1:] {
		i = i*10 + int(c-'0')
	}
	return w.Machines[i]
}

// load starts n peers as a network that has stood for long.
func (w *world) load(n int) {
	for range n {
		w.addPeer()
	}
	if w.private {
		w.MakePrivate()
	}
	w.Load()
}

// enter starts a process that joins by these peers.
func enter(p *peer, doors ...*peer) *coretest.Process {
	var addresses []string
	for _, d := range doors {
		addresses = append(addresses, d.Address)
	}
	return p.Start(addresses...)
}

// until lets time pass until ok, which is asked each step, and gives up after limit.
func (w *world) until(step, limit time.Duration, ok func() bool) bool {
	start, look := w.Now, w.Now
	return w.Until(step, limit, func() bool {
		if w.each != nil && w.Now > start && w.Now >= look {
			look += 50 * time.Millisecond
			if w.each() {
				w.each = nil
			}
		}
		return ok()
	})
}

// agree says that all tables are equal, down to which run of a peer they know.
func (w *world) agree() bool {
	var first []byte
	for _, p := range w.Living() {
		d := p.Core.Digest()
		if first == nil {
			first = d
		}
		if !bytes.Equal(first, d) {
			return false
		}
	}
	return true
}

// settleOn is Settle for one side of a cut, to 50 ms.
func (w *world) settleOn(side uint8, limit time.Duration) time.Duration {
	start := w.Now
	if !w.until(50*time.Millisecond, limit, func() bool { return w.WrongOn(side, 1) == 0 }) {
		return never
	}
	return w.Now - start
}

// degrees are the least, the mean and the greatest number of neighbours.
func (w *world) degrees() (least int, mean float64, most int) {
	sum := 0
	least = 1 << 30
	living := w.Living()
	for _, p := range living {
		d := len(p.Core.Neighbours())
		least, most, sum = min(least, d), max(most, d), sum+d
	}
	return least, float64(sum) / float64(max(len(living), 1)), most
}

// perPeer is the rate of bytes a second and peer between two counts.
func perPeer(bytes int64, d time.Duration, n int) float64 {
	return float64(bytes) / d.Seconds() / float64(n)
}

// seedOf makes a seed of 32 bytes.
func seedOf(a, b uint64) []byte {
	s := make([]byte, 0, 32)
	for i := range uint64(4) {
		s = binary.BigEndian.AppendUint64(s, coretest.Mix(a*0x9e3779b97f4a7c15+coretest.Mix(b*4+i)))
	}
	return s
}

// contents are the contents of frames by name, for the table of bytes.
var contents = [...]string{
	"other", "handshake", "announcements", "neighbour", "sync", "broadcast", "routes", "routed",
}

// content is an index into contents.
var content = map[pb.PeerMessageType]int{
	pb.PeerMessageType_HANDSHAKE: 1, pb.PeerMessageType_ANNOUNCEMENT: 2, pb.PeerMessageType_NEIGHBOUR: 3, pb.PeerMessageType_SYNC: 4,
	pb.PeerMessageType_BROADCAST: 5, pb.PeerMessageType_ROUTES: 6, pb.PeerMessageType_ROUTED: 7,
}
