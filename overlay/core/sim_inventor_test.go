package core_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core"
	"quicpeer/overlay/coretest"
	"quicpeer/pb"
)

// Members that invent peers, and networks of real ones that meet.

// ghosts are frames that announce so many invented peers.
func ghosts(n int) (frames [][]byte) {
	list := make([]*pb.Announcement, n)
	for i := range list {
		identity := coretest.Identity(1<<50 + uint64(i))
		key := identity.Key()
		list[i] = &pb.Announcement{Type: pb.AnnouncementType_JOIN, Hops: 1, Record: identity.SignRecord(&pb.Record{
			Type: pb.AnnouncementType_JOIN, Id: fmt.Sprint("ghost", i), Key: key[:], Network: "sim", Epoch: 5, Nonce: 7,
		})}
	}
	for part := range slices.Chunk(list, pb.MaxAnnouncements) {
		frames = append(frames, core.Encode(&pb.PropagationMessage{Announcements: part}))
	}
	return frames
}

// invent has new keys of one host join by the doors in turn, announce a part of the inventions
// each, and vanish.
func (w *world) invent(host *node, turn int, door *process, frames [][]byte) {
	n := w.addNode(fmt.Sprint("evil", turn), 1<<30+uint64(turn))
	n.MoveTo(host)
	p := n.Start(door.Address)
	p.Hostile = true
	if _, ok := w.runUntil(10*time.Second, func() bool { return p.IsReady || p.Dead }); !ok || p.Dead {
		return
	}
	for _, e := range p.Ends {
		if e.Open && !e.Ending() && p.Core.View(e.ID).Up {
			for _, f := range frames {
				e.Inject(f)
			}
			break
		}
	}
	w.Run(300 * time.Millisecond)
	if !p.Dead {
		p.Crash()
	}
}

// haunted is the most inventions that an honest peer shows.
func (w *world) haunted(honest []*process) (most int) {
	for _, p := range honest {
		n := 0
		for _, peer := range p.Core.Peers() {
			if strings.HasPrefix(string(peer.ID), "ghost") {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

// joins has a newcomer come, which must know all honest peers, and they it, within 10 s.
func (w *world) joins(id certs.ID, seed uint64, door *process, honest []*process) *process {
	n := w.addNode(string(id), seed)
	p := n.Start(door.Address)
	_, ok := w.runUntil(10*time.Second, func() bool {
		if p.Dead || !p.IsReady {
			return false
		}
		for _, q := range honest {
			key, known := p.KeyOf(q.ID)
			own, shown := q.KeyOf(id)
			if !known || key != q.Key || !shown || own != n.Key {
				return false
			}
		}
		return true
	})
	if !ok {
		w.fatal("%s does not get in", id)
	}
	return p
}

// TestSimInventor has a host invent 100,000 peers, over links of one new key after the other.
// Honest peers believe few of them and stay known, newcomers join, and the inventions are gone
// within 10 minutes.
func TestSimInventor(t *testing.T) {
	eachSeed(t, 4, 1, func(t *testing.T, seed uint64) {
		const peers, links, again = 8, 13, 40
		w := newWorld(t, seed, peers)
		w.hostile = &hostilePeers{}
		w.build(peers, time.Second)
		honest := w.Living()
		w.settle(10 * time.Second)
		host := w.addNode("evil", 1<<31)
		inventions := 100_000
		if testing.Short() || core.Race {
			inventions = 10_000
		}
		frames := ghosts(inventions)
		part := (len(frames) + links - 1) / links
		most := 0
		for i := range links {
			w.invent(host, i, honest[i%peers], frames[min(i*part, len(frames)):min((i+1)*part, len(frames))])
			most = max(most, w.haunted(honest))
		}
		honest = append(honest, w.joins("late", 1<<32, honest[2], honest))
		for i := range again {
			from := w.Rand.IntN(len(frames) - 10)
			w.invent(host, links+i, honest[i%peers], frames[from:from+10])
			most = max(most, w.haunted(honest))
		}
		honest = append(honest, w.joins("later", 1<<33, honest[5], honest))
		w.Run(30 * time.Second)
		took, ok := w.runUntil(10*time.Minute, func() bool { return w.haunted(honest) == 0 })
		t.Logf("%d inventions are shown at most, gone after %v more; %d frames", most, took, w.Count.Frames)
		if !ok || most > 128*peers {
			w.fatal("%d inventions are shown at most, gone: %v", most, ok)
		}
		w.joins("last", 1<<34, honest[6], honest)
	})
}

// TestSimMeet has two networks meet that know nothing of each other: each is more than a host is
// believed at once, and they become one within seconds.
func TestSimMeet(t *testing.T) {
	eachSeed(t, 4, 1, func(t *testing.T, seed uint64) {
		n := 150
		if testing.Short() || core.Race {
			n = 80
		}
		w := newWorld(t, seed, 2*n)
		w.hostile = &hostilePeers{} // no limit of frames
		first := [2]*process{}
		for half := range 2 {
			first[half] = w.Machines[half*n].Start()
			w.Run(time.Second)
			for i := 1; i < n; i++ {
				doors := w.Machines[half*n : half*n+i]
				w.Machines[half*n+i].Start(doors[w.Rand.IntN(i)].Address)
				w.Run(30 * time.Millisecond)
			}
		}
		w.Run(3 * time.Minute)                                                // whatever was believed is long ago
		free := func(p *process) bool { return len(p.Core.Neighbours()) < 9 } // it takes one more
		living := w.Living()
		a, b := living[slices.IndexFunc(living, free)], living[n+slices.IndexFunc(living[n:], free)]
		a.Core.Step(w.Now, core.Join{Address: b.Address})
		a.Drain()
		before := w.Count
		took := w.settle(30 * time.Second)
		t.Logf("%d and %d peers become one within %v; %d frames of %d bytes each", n, n, took, (w.Count.Frames-before.Frames)/int64(2*n), (w.Count.Bytes-before.Bytes)/max(1, w.Count.Frames-before.Frames))
	})
}
