package coretest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"quicpeer/overlay/core"
	"quicpeer/overlay/core/base"
	"quicpeer/pb"
)

// TestRooms: in networks of all sizes some peers are in a room, and say things in it and to everyone,
// while others come, crash and come back. Each peer in the room is shown each message once, live or as
// the past, each author's in its order; whoever is not passes them on and is shown none.
func TestRooms(t *testing.T) {
	for seed := range uint64(12) {
		w := testWorld(t, 0, 12)
		w.Rand = rand.New(rand.NewPCG(seed, 1))
		shown := make(map[*Process]map[string]int)
		last := make(map[*Process]map[string]int) // of each author's live ones
		w.Configure = func(m *Machine, cfg *base.Config) {
			cfg.Features = append(cfg.Features, pb.FeaturePast)
			if m.Index%3 != 0 {
				cfg.Rooms, cfg.Past = []string{"#dev"}, []base.Room{{Name: pb.Everyone}, {Name: "#dev"}}
			}
			m.History = make(map[string][]*pb.Signed)
		}
		see := func(p *Process, c *pb.BroadcastContent, live bool) {
			if shown[p] == nil {
				shown[p], last[p] = make(map[string]int), make(map[string]int)
			}
			var n int
			fmt.Sscan(c.GetContent(), &n)
			if shown[p][string(c.GetId())]++; shown[p][string(c.GetId())] > 1 {
				t.Errorf("seed %d: %s is shown %d of %s again", seed, p.ID, n, c.GetSender())
			}
			if p.Index%3 == 0 && c.GetRoom() != "" {
				t.Errorf("seed %d: %s, which is in no room, is shown %d of %s", seed, p.ID, n, c.GetSender())
			}
			if author := string(c.GetId()[:8]); live && n <= last[p][author] {
				t.Errorf("seed %d: %s is shown %d of %s after %d", seed, p.ID, n, c.GetSender(), last[p][author])
			} else if live {
				last[p][author] = n
			}
		}
		w.Shown = func(p *Process, event base.Event) {
			switch e := event.(type) {
			case base.Broadcasted:
				if !e.Hidden {
					see(p, e.Content, true)
				}
			case base.Recalled:
				for _, b := range e.List {
					see(p, b.Content, false)
				}
			}
		}
		w.Machines[0].Start()
		for _, m := range w.Machines[1:8] {
			m.Start(w.Machines[w.Rand.IntN(m.Index)].Address)
		}
		w.Run(5 * time.Second)
		said := 0
		say := func() {
			p := w.Living()[w.Rand.IntN(len(w.Living()))]
			if said++; p.IsReady && p.Index%3 != 0 {
				p.Say([]string{"", "#dev"}[said%2], fmt.Sprint(said))
			}
			w.Run(w.Between(0, 200*time.Millisecond))
		}
		for range 60 {
			say()
		}
		w.Machines[7].Process.Crash()
		for _, m := range w.Machines[8:] {
			m.Rejoin()
			for range 10 {
				say()
			}
		}
		w.Run(30 * time.Second)
		newcomer, old := w.Machines[10].Process, w.Machines[1].Process // both are in the room
		for id := range shown[old] {
			if shown[newcomer][id] != 1 && !slices.Contains(idsOf(newcomer.Machine), id) {
				t.Errorf("seed %d: the newcomer lacks what others have", seed)
				break
			}
		}
		newcomer.Core.Step(w.Now, core.ExitRoom{Name: "#dev"})
		before := len(shown[newcomer])
		old.Say("#dev", "1000")
		if w.Run(5 * time.Second); len(shown[newcomer]) != before {
			t.Errorf("seed %d: who has left the room is shown what is said there", seed)
		}
	}
}

// idsOf are the messages that a machine has said itself, or shown.
func idsOf(m *Machine) (list []string) {
	for _, room := range []string{pb.Everyone, "#dev"} {
		for _, s := range m.History[room] {
			if c, err := pb.ParseBroadcast(s); err == nil {
				list = append(list, string(c.GetId()))
			}
		}
	}
	return list
}

// TestPastOverDuplicates: two peers that have dialled each other at once close one of their links, and get the
// past of the other nevertheless.
func TestPastOverDuplicates(t *testing.T) {
	for seed := range uint64(200) {
		w := testWorld(t, 0, 2)
		w.Rand = rand.New(rand.NewPCG(seed, 2))
		w.Configure = func(m *Machine, cfg *base.Config) {
			cfg.Past, cfg.Features = []base.Room{{Name: pb.Everyone}}, append(cfg.Features, pb.FeaturePast)
			m.History = make(map[string][]*pb.Signed)
		}
		for i, m := range w.Machines {
			m.Start().Say("", fmt.Sprint(i))
		}
		w.Run(time.Second)
		for i, m := range w.Machines {
			w.At(w.Now+w.Between(0, 20*time.Millisecond), func() {
				m.Process.Core.Step(w.Now, core.Join{Address: w.Machines[1-i].Address})
				m.Process.Drain()
			})
		}
		w.Run(10 * time.Second)
		for _, m := range w.Machines {
			if n := len(m.History[pb.Everyone]); n != 2 {
				t.Errorf("seed %d: %s has %d of the two messages", seed, m.ID, n)
			}
		}
	}
}
