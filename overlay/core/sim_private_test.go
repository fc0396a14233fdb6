package core_test

import (
	"errors"
	"testing"
	"time"

	"quicpeer/overlay/core/base"
	"quicpeer/pb"
)

// privateWorld is a private network of n machines, of which the first is the admin, all in it.
func privateWorld(t *testing.T, seed uint64, n, build int, loss float64) *world {
	w := newWorld(t, seed, n)
	w.MakePrivate()
	w.Loss = loss
	w.build(build, 0)
	w.settle(time.Minute)
	return w
}

// isOut reports whether no living peer holds the machine as here.
func (w *world) isOut(n *node) bool {
	for _, p := range w.Living() {
		if key, ok := p.KeyOf(n.ID); ok && key == n.Key && p.Machine != n {
			return false
		}
	}
	return true
}

// TestSimRemoval: a removal reaches everybody, at 20 % loss too, ends the peer, survives the restart
// of all, and lets it in nowhere.
func TestSimRemoval(t *testing.T) {
	eachSeed(t, 16, 4, func(t *testing.T, seed uint64) {
		w := privateWorld(t, seed, 8, 8, 0.2*float64(seed%2))
		w.strict = false
		out := w.Machines[3]
		process := out.Process
		if !w.Machines[0].Remove(w.RemovalOf(out.ID, out.Key, w.Machines[0])) {
			t.Fatal("the removal is not taken")
		}
		if _, ok := w.runUntil(10*time.Second, func() bool { return w.isOut(out) && process.Err != nil }); !ok {
			w.fatal("%s is still there; its end: %v", out.ID, process.Err)
		}
		if removed, ok := errors.AsType[*base.RemovedError](process.Err); !ok || removed.By != w.Machines[0].ID {
			w.fatal("it ends with %v", process.Err)
		}
		w.Run(time.Second)
		for i, n := range w.Machines {
			if n.Process != nil {
				n.Process.Crash()
			}
			if n != out && len(n.Removals) != 1 {
				w.fatal("%s has %d removals on its disk", w.Machines[i].ID, len(n.Removals))
			}
		}
		w.Machines[1].Start()
		w.Run(time.Second)
		again := out.Start(w.Machines[1].Address)
		w.Run(20 * time.Second)
		if _, ok := errors.AsType[*base.RemovedError](again.Err); !ok || !w.isOut(out) {
			w.fatal("it comes again: %v", again.Err)
		}
	})
}

// TestSimTicket: a ticket lets its holder in through a door that did not issue it, once.
func TestSimTicket(t *testing.T) {
	eachSeed(t, 16, 4, func(t *testing.T, seed uint64) {
		w := privateWorld(t, seed, 6, 4, 0.1*float64(seed%2))
		bob, thief := w.Machines[4], w.Machines[5]
		bob.Ticket = w.Machines[0].Invite(bob.ID)
		bob.Start(w.Machines[2].Address)
		w.settle(30 * time.Second)
		if bob.Pass == nil || !bob.Process.IsReady {
			w.fatal("bob is not in: %v", bob.Process)
		}
		thief.ID, thief.Ticket = bob.ID, bob.Ticket
		p := thief.Start(w.Machines[1].Address)
		w.Run(20 * time.Second)
		refused, ok := errors.AsType[*base.JoinError](p.Err)
		if !ok || refused.Refusal.GetCode() != pb.HandshakeCode_NOT_INVITED {
			w.fatal("the second use ends with %v", p.Err)
		}
	})
}

// TestSimAdminRemoved: with an admin falls whom it has let in, but for those that are kept.
func TestSimAdminRemoved(t *testing.T) {
	eachSeed(t, 16, 4, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, 8)
		w.MakePrivate()
		w.strict = false
		carol, kept, fallen, lifted := w.Machines[1], w.Machines[2], w.Machines[3], w.Machines[4]
		carol.Pass = w.Admin(carol)
		kept.Pass, fallen.Pass = carol.Member(kept.ID, kept.Key), carol.Member(fallen.ID, fallen.Key)
		w.build(8, 0)
		w.settle(time.Minute)
		carol.Remove(w.RemovalOf(lifted.ID, lifted.Key, carol))
		w.Run(5 * time.Second)
		if !w.isOut(lifted) {
			w.fatal("%s is still there", lifted.ID)
		}
		fallenRun := fallen.Process
		name := base.NameOf(kept.Pass.GetGrant())
		w.Machines[0].Remove(w.RemovalOf(carol.ID, carol.Key, nil, name[:]))
		if _, ok := w.runUntil(10*time.Second, func() bool { return w.isOut(carol) && w.isOut(fallen) }); !ok {
			w.fatal("somebody is still there")
		}
		if removed, ok := errors.AsType[*base.RemovedError](fallenRun.Err); !ok || removed.Issuer != carol.ID {
			w.fatal("who has fallen ends with %v", fallenRun.Err)
		}
		if kept.Process == nil || w.isOut(kept) {
			w.fatal("who was kept is gone")
		}
		lifted.Start(w.Machines[5].Address)
		w.settle(30 * time.Second)
		if lifted.Process == nil || !lifted.Process.IsReady {
			w.fatal("whom the removed admin had removed does not come back")
		}
	})
}

// TestStrippedRemoval: a removal by an admin does not become one by the network's key when somebody
// leaves out whose it is.
func TestStrippedRemoval(t *testing.T) {
	w := newWorld(t, 1, 5)
	w.MakePrivate()
	w.hostile, w.strict = &hostilePeers{}, false
	alice, carol, liar := w.Machines[0], w.Machines[1], w.Machines[2]
	w.build(5, 0)
	w.settle(time.Minute)
	removal := w.RemovalOf(carol.ID, carol.Key, alice)
	if !alice.Remove(removal) {
		t.Fatal("not taken")
	}
	w.Run(5 * time.Second)
	stripped := &pb.Announcement{Type: removal.GetType(), Record: removal.GetRecord()}
	for _, e := range liar.Process.Ends {
		e.Inject(base.Encode(&pb.PropagationMessage{Announcements: []*pb.Announcement{stripped}}))
	}
	w.Run(5 * time.Second)
	carol.Pass = w.Admin(carol) // back, as only a removal by the network's key could prevent
	carol.Start(alice.Address)
	w.Run(30 * time.Second)
	if carol.Process == nil || !carol.Process.IsReady {
		w.fatal("carol is out")
	}
}
