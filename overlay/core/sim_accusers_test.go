package core_test

import (
	"fmt"
	"testing"
	"time"

	"quicpeer/overlay/core"
	"quicpeer/overlay/coretest"
	"quicpeer/pb"
)

// accomplices is how many peers the liar invents.
const accomplices = 100

// TestSimAccusers: a member invents accomplices, and calls a living peer lost in the names of any two of
// them, over each of its links, for half a minute. The peer may be far away from all others. Nobody
// shows it as lost.
func TestSimAccusers(t *testing.T) {
	eachSeed(t, 12, 4, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, 4+int(seed*7%27))
		w.hostile = &hostilePeers{}
		victim := w.Machines[1]
		victim.Far = []time.Duration{0, 225 * time.Millisecond, 450 * time.Millisecond}[seed%3]
		w.build(len(w.Machines), time.Second)
		liar := w.addNode("liar", 1<<20).Start(w.Machines[0].Address)
		w.settle(time.Minute)
		liar.Hostile = true
		shown := 0
		w.Hooks.Gone = func(_, subject *process) {
			if !subject.Hostile {
				shown++
				w.note("", "shown", subject.ID)
			}
		}
		var names []string
		var list []*pb.Announcement
		for i := range accomplices {
			id, identity := fmt.Sprint("accomplice", i), coretest.Identity(1<<41+uint64(i))
			key := identity.Key()
			names = append(names, id)
			list = append(list, &pb.Announcement{Type: pb.AnnouncementType_JOIN, Hops: 1, Record: identity.SignRecord(&pb.Record{
				Type: pb.AnnouncementType_JOIN, Id: id, Key: key[:], Network: "sim", Addresses: []string{liar.Address}, Epoch: 1000,
			})})
		}
		say := func(list ...*pb.Announcement) {
			data := core.Encode(&pb.PropagationMessage{Announcements: list})
			for _, e := range liar.Ends {
				if e.Open && !e.Ending() && liar.Core.View(e.ID).Up {
					e.Inject(data)
				}
			}
		}
		for len(list) > 0 {
			n := min(len(list), pb.MaxAnnouncements)
			say(list[:n]...)
			list = list[n:]
		}
		w.Run(2 * time.Second)
		accused := 0
		for end := w.Now + 30*time.Second; w.Now < end; w.Run(50 * time.Millisecond) {
			for _, e := range liar.Core.Entries() {
				if e.ID == victim.ID && e.Key == victim.Key && e.Alive {
					a, b := w.Rand.IntN(accomplices), w.Rand.IntN(accomplices-1)
					accused++
					say(&pb.Announcement{Type: pb.AnnouncementType_LOST, Record: e.Signed, Hops: 1, Accusers: []string{names[a], names[(a+1+b)%accomplices]}})
				}
			}
		}
		t.Logf("%d peers, the victim %v away: %d accusations, shown as lost %d times", len(w.Machines), victim.Far, accused, shown)
		if shown > 0 {
			t.Errorf("shown as lost %d times", shown)
		}
	})
}
