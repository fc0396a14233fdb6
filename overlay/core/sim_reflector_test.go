package core_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core"
	"quicpeer/overlay/coretest"
	"quicpeer/pb"
)

// TestSimReflector: a member invents peers whose records name a victim's addresses. What the network sends
// there, however many it is, is at most three times what the member has sent; the honest still find each other.
func TestSimReflector(t *testing.T) {
	const (
		inventions = 40
		packet     = 1228 // bytes of a first packet, with UDP's and IPv4's headers
		keepalives = 150  // bytes a second that one link to a member costs each side
		handshake  = 5000 // bytes that one costs to begin with
		watched    = time.Minute
		pause      = 2 * time.Second // between two SYNCs over a link, with which it does most
	)
	eachSeed(t, 8, 2, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, []int{3, 5, 20, 60}[seed%4])
		answers := seed%8 < 4 // it answers pings for its inventions
		syncs := seed%3 == 0  // it asks all to dial them
		w.hostile = &hostilePeers{}
		w.build(len(w.Machines), time.Second)
		honest := w.Living()
		liar := w.addNode("liar", 1<<20).Start(w.Machines[0].Address)
		w.settle(30 * time.Second)
		w.Run(20 * time.Second) // nobody has just come
		liar.Hostile = true
		var ids []certs.ID
		var list []*pb.Announcement
		for i := range inventions {
			id, identity := certs.ID(fmt.Sprint("invented", i)), coretest.Identity(1<<21+uint64(i))
			key := identity.Key()
			record := &pb.Record{Type: pb.AnnouncementType_JOIN, Id: string(id), Key: key[:], Network: "sim", Epoch: 1000}
			for range pb.MaxAddresses {
				record.Addresses = append(record.Addresses, fmt.Sprintf("198.51.%d.%d:%d", w.Rand.IntN(256), w.Rand.IntN(256), 1024+w.Rand.IntN(60000)))
			}
			ids, list = append(ids, id), append(list, &pb.Announcement{Type: pb.AnnouncementType_JOIN, Record: identity.SignRecord(record), Hops: 1})
		}
		arrived, sent, links := w.Hooks.Arrived, 0, 0
		w.Hooks.Arrived = func(e *coretest.End, m *pb.PeerMessage) {
			arrived(e, m)
			asked := m.GetRouted()
			if ping := asked.GetPing(); answers && e.Process == liar && ping != nil && slices.Contains(ids, certs.ID(asked.GetTo())) {
				data := core.Encode(&pb.Routed{From: asked.GetTo(), To: asked.GetFrom(), Passed: []string{asked.GetTo()}, Parents: []byte{0},
					Content: &pb.Routed_Pong{Pong: ping}})
				e.Inject(data)
				sent += len(data)
			}
		}
		w.Count.Strays = 0
		data := core.Encode(&pb.PropagationMessage{Announcements: list})
		for _, e := range liar.Ends {
			if e.Open && !e.Ending() {
				e.Inject(data)
				sent, links = sent+len(data), links+1
			}
		}
		for range int(watched / pause) {
			w.Run(pause)
			for _, e := range liar.Ends {
				if i := w.Rand.IntN(inventions); syncs && e.Open && !e.Ending() {
					key := coretest.Identity(1<<21 + uint64(i)).Key()
					data := core.Encode(&pb.Sync{Number: w.Rand.Uint64(), Id: string(ids[i]), Key: key[:]})
					e.Inject(data)
					sent += len(data)
				}
			}
		}
		sent += links * (handshake + keepalives*int(watched/time.Second))
		if got := int(w.Count.Strays) * packet; got > 3*sent {
			t.Errorf("%d peers: the victim gets %d bytes of %d, %.1f times", len(honest), got, sent, float64(got)/float64(sent))
		} else {
			t.Logf("%d peers: %.2f times", len(honest), float64(got)/float64(sent))
		}
		fewest := 4
		if len(honest) == 3 {
			fewest = 1 // its door may be all that it finds among forty that can't be reached
		}
		newcomer := w.joins("newcomer", 1<<30, honest[0], honest)
		if _, ok := w.runUntil(10*time.Second, func() bool { return len(newcomer.Ends) >= fewest }); !ok {
			t.Errorf("a newcomer has %d links", len(newcomer.Ends))
		}
	})
}
