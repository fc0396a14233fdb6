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

// TestSimAttack6: attack 6. Who steals a ticket and uses it first is in, and the rightful holder is
// told; once the thief is removed it is out everywhere, and another ticket works.
func TestSimAttack6(t *testing.T) {
	eachSeed(t, 16, 4, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, 7)
		w.MakePrivate()
		w.strict, w.Loss = false, 0.2*float64(seed%2)
		bob, thief := w.Machines[5], w.Machines[6]
		w.build(5, 0)
		w.settle(time.Minute)
		alice := w.Machines[0]
		bob.Ticket = alice.Invite(bob.ID)
		thief.ID, thief.Ticket = bob.ID, bob.Ticket
		stolen := thief.Start(w.Machines[2].Address)
		if _, ok := w.runUntil(30*time.Second, func() bool { return stolen.IsReady }); !ok {
			w.fatal("the thief is not in: %v", stolen.Err)
		}
		p := bob.Start(w.Machines[1].Address)
		w.runUntil(30*time.Second, func() bool { return p.Err != nil })
		if refused, ok := errors.AsType[*base.JoinError](p.Err); !ok || refused.Refusal.GetCode() != pb.HandshakeCode_NOT_INVITED {
			w.fatal("bob's ticket was used, and bob ends with %v", p.Err)
		}
		w.Run(4 * time.Second)
		alice.Remove(w.RemovalOf(thief.ID, thief.Key, alice))
		w.runUntil(10*time.Second, func() bool { return thief.Process == nil })
		bob.Ticket = alice.Invite(bob.ID)
		bob.Start(w.Machines[1].Address)
		w.settle(30 * time.Second)
		if bob.Process == nil || !bob.Process.IsReady || !w.isOut(thief) {
			w.fatal("bob is not in, or the thief is")
		}
	})
}

// TestSimAttack12: attack 12. A removal in one half of a cut network holds in the other once they meet,
// however the removed peer bridges them.
func TestSimAttack12(t *testing.T) {
	eachSeed(t, 16, 4, func(t *testing.T, seed uint64) {
		w := privateWorld(t, seed, 12, 12, 0.2*float64(seed%2))
		w.strict = false
		alice, out := w.Machines[0], w.Machines[11]
		w.split(func(i int) int { return i & 1 })
		w.Run(15 * time.Second)
		alice.Remove(w.RemovalOf(out.ID, out.Key, alice))
		w.Run(10 * time.Second)
		if out.Process == nil || w.isOut(out) {
			w.fatal("the other half knows")
		}
		if seed%2 == 0 { // it comes anew, over doors in both halves
			out.Process.Crash()
			w.Run(time.Second)
			w.heal()
			out.Start(w.Machines[3].Address, w.Machines[2].Address)
		} else {
			w.heal()
		}
		w.settle(60 * time.Second)
		if out.Process.Living() || !w.isOut(out) {
			w.fatal("%s is still there", out.ID)
		}
	})
}

// TestSimAttack14: attack 14. Two admins who are cut off from each other do what they like; when they
// meet again, an ID has one owner, removals have an outcome, and nothing flaps.
func TestSimAttack14(t *testing.T) {
	eachSeed(t, 16, 4, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, 12)
		w.MakePrivate()
		w.strict, w.Loss = false, 0.2*float64(seed%2)
		a, b, ofB, away := w.Machines[0], w.Machines[1], w.Machines[3], w.Machines[5]
		x, y := w.Machines[10], w.Machines[11]
		b.Pass = w.Admin(b)
		ofB.Pass = b.Member(ofB.ID, ofB.Key)
		w.build(10, 0)
		w.settle(time.Minute)
		away.Process.Leave()
		w.Run(5 * time.Second)
		w.split(func(i int) int { return i & 1 })
		w.Run(15 * time.Second)
		x.ID, y.ID = "bob", "bob"
		x.Pass = a.Member("bob", x.Key)
		y.Pass = b.Member("bob", y.Key)
		xs, ys := x.Start(w.Machines[2].Address), y.Start(w.Machines[7].Address)
		for _, admin := range []*node{a, b} {
			if !admin.Remove(w.RemovalOf(away.ID, away.Key, admin)) {
				w.fatal("%s can't remove a member that is away", admin.ID)
			}
		}
		a.Remove(w.RemovalOf(ofB.ID, ofB.Key, a))
		if b.Remove(w.RemovalOf(a.ID, a.Key, b)) {
			w.fatal("an admin has removed another")
		}
		w.Run(10 * time.Second)
		if !xs.IsReady || !ys.IsReady {
			w.fatal("bob is not in both halves")
		}
		w.heal()
		w.settle(60 * time.Second)
		if _, duplicate := errors.AsType[*base.DuplicateIDError](ys.Err); !duplicate || xs.Err != nil || !a.Process.Living() || ofB.Process.Living() {
			w.fatal("the first bob ends with %v, the second with %v; %v, %v", xs.Err, ys.Err, a.Process, ofB.Process)
		}
		away.Start(w.Machines[2].Address)
		w.Run(20 * time.Second)
		if away.Process.Living() || !w.isOut(away) {
			w.fatal("whom both have removed is back")
		}
		w.checkQuiet()
	})
}

// TestSimAttack16: attack 16. Whom a removed admin lets in where that is not known falls when it is,
// and the exchange about it ends.
func TestSimAttack16(t *testing.T) {
	eachSeed(t, 16, 4, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, 11)
		w.MakePrivate()
		w.strict, w.Loss = false, 0.2*float64(seed%2)
		carol, late := w.Machines[1], w.Machines[10]
		carol.Pass = w.Admin(carol)
		w.build(10, 0)
		w.settle(time.Minute)
		w.split(func(i int) int { return min(i, 2) & 1 }) // carol is alone, with whom she lets in
		w.Run(15 * time.Second)
		w.Machines[0].Remove(w.RemovalOf(carol.ID, carol.Key, nil))
		late.Pass = carol.Member(late.ID, late.Key)
		w.heal()
		p := late.Start(carol.Address, w.Machines[5].Address)
		w.settle(60 * time.Second)
		if removed, ok := errors.AsType[*base.RemovedError](p.Err); !ok || removed.Issuer != carol.ID || carol.Process.Living() {
			w.fatal("%s ends with %v, carol is %v", late.ID, p.Err, carol.Process)
		}
		w.checkQuiet()
	})
}

// TestSimAttack20: attack 20. A peer that comes back by an address of those that were removed, and have
// not heard, is on an island with them; by the peers that it remembers it finds the network, and they
// are out.
func TestSimAttack20(t *testing.T) {
	eachSeed(t, 16, 4, func(t *testing.T, seed uint64) {
		w := privateWorld(t, seed, 10, 10, 0)
		w.strict = false
		bob, x, y := w.Machines[9], w.Machines[7], w.Machines[8]
		bob.Process.Leave()
		w.Run(5 * time.Second)
		w.split(func(i int) int { return i / 7 })
		w.Run(15 * time.Second)
		for _, out := range []*node{x, y} {
			w.Machines[0].Remove(w.RemovalOf(out.ID, out.Key, w.Machines[0]))
		}
		w.Run(5 * time.Second)
		if seed%2 == 0 {
			w.met[bob] = []base.Acquaintance{{ID: w.Machines[1].ID, Key: w.Machines[1].Key, Addresses: []string{w.Machines[1].Address}}}
			w.Run(time.Second)
			w.heal()
		}
		bob.Start(x.Address)
		if seed%2 == 1 {
			w.Run(20 * time.Second)
			if !bob.Process.IsReady || !bob.Process.Shows(x) {
				w.fatal("bob is not on the island")
			}
		}
		w.heal()
		w.settle(2 * time.Minute)
		if x.Process.Living() || y.Process.Living() || !bob.Process.Living() {
			w.fatal("the removed are still there")
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
