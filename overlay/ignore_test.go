package overlay

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/past"
	"quicpeer/overlay/messaging"
)

// refusedAs is what the author of a refused message is told.
const refusedAs = "the receiver refuses it: does not take messages from you"

// ignore and unignore have a peer begin and end to ignore another one.
func (p *peer) ignore(id certs.ID) {
	p.t.Helper()
	if err := p.Ignore(id); err != nil {
		p.t.Fatalf("%s: ignoring %s: %v", p.ID(), id, err)
	}
}

func (p *peer) unignore(id certs.ID) {
	p.t.Helper()
	if err := p.Unignore(id); err != nil {
		p.t.Fatalf("%s: ignoring %s no more: %v", p.ID(), id, err)
	}
}

// refused sends a message, and fails unless the receiver refuses it soon.
func (p *peer) refused(to certs.ID) {
	p.t.Helper()
	id := p.send(to, "ignored")
	if f := awaitEvent(p, 5*time.Second, func(f Failed) bool { return f.Message == id }); f.Error != refusedAs {
		p.t.Errorf("%s to %s: %+v", p.ID(), to, f)
	}
}

// broadcast sends a message to everyone.
func (p *peer) broadcast(body string) {
	p.t.Helper()
	if _, err := p.Broadcast(p.t.Context(), body, ""); err != nil {
		p.t.Fatal(err)
	}
}

// TestIgnore: bob ignores alice, also after a restart. Her messages come back to her, her
// broadcasts go through bob to carol; what bob writes reaches her, and nobody loses a link. Then
// bob shows her messages again, and none of those before.
func TestIgnore(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("bob")
		peers := w.line("alice", "bob", "carol")
		alice, bob, carol := peers[0], peers[1], peers[2]
		alice.send("bob", "before")
		bob.awaitBodies(time.Second, "alice", "before")
		link := bob.linkTo(alice.Key())
		bob.ignore("alice")
		for range 3 {
			t0 := time.Now()
			if alice.refused("bob"); time.Since(t0) > 2*latency+10*time.Millisecond {
				t.Errorf("the receipt takes %v", time.Since(t0))
			}
		}
		alice.broadcast("to all")
		carol.awaitBodies(time.Second, "alice", "to all")
		carol.broadcast("to all")
		bob.awaitBodies(time.Second, "carol", "to all")
		id := bob.send("alice", "still goes")
		awaitEvent(bob, time.Second, func(d Delivered) bool { return d.Message == id })
		time.Sleep(5 * time.Second)
		bob.awaitBodies(0, "alice", "before")
		if bob.linkTo(alice.Key()) != link {
			t.Error("the link is another one")
		}

		w.kill(bob)
		bob = w.start("bob", "alice")
		carol.eventually(10*time.Second, "bob is back", func() bool { return len(carol.here()) == 2 })
		if list := bob.Ignored(); len(list) != 1 || list[0] != (IgnoredPeer{ID: "alice", Key: alice.Key()}) {
			t.Errorf("after a restart are ignored: %v", list)
		}
		alice.refused("bob")
		alice.broadcast("again")
		carol.awaitBodies(2*time.Second, "alice", "to all", "again")
		bob.unignore("alice")
		if list := bob.Ignored(); len(list) != 0 {
			t.Errorf("ignored in the end: %v", list)
		}
		alice.send("bob", "after")
		bob.awaitBodies(2*time.Second, "alice", "after")
		alice.broadcast("after it")
		bob.awaitBodies(2*time.Second, "alice", "after", "after it")

		w.kill(bob)
		bob = w.start("bob", "alice")
		bob.eventually(10*time.Second, "all are here", func() bool { return len(bob.here()) == 2 })
		talk(alice, bob)
		time.Sleep(time.Minute)
		bob.awaitBodies(0, "alice", "talk")
		bob.ignore("alice")
		w.leave(alice)
		awaitEvent(bob, time.Second, func(l PeerLeft) bool { return l.ID == "alice" })
	})
}

// TestIgnoreAndThePast: what alice wrote to everyone and to a room while bob ignored her is not shown as the
// past either, whether the answer with it comes right after he has ended that, or after a later restart. What
// she writes some time after the end is shown.
func TestIgnoreAndThePast(t *testing.T) {
	if messaging.HiddenFor < past.KeepFor+past.AheadFor {
		t.Error("until when a peer was ignored is forgotten while there is a past from that time")
	}
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("alice", "bob")
		alice := w.start("alice")
		alice.enterRoom("#dev")
		bob := w.start("bob", "alice")
		alice.said(Everyone, "shown")
		bob.awaitHeard(5*time.Second, Everyone, "shown")
		bob.ignore("alice")
		alice.said(Everyone, "to all")
		alice.said("#dev", "to the room")
		time.Sleep(time.Minute)
		w.kill(bob)
		alice.said(Everyone, "while bob is away")

		bob = w.start("bob", "alice")
		bob.unignore("alice") // before the answer
		alice.said(Everyone, "live")
		bob.enterRoom("#dev")
		time.Sleep(time.Minute)
		bob.awaitHeard(time.Second, Everyone, "live")
		bob.awaitHeard(0, "#dev")
		w.kill(bob)
		alice.said(Everyone, "as if by a clock that is ahead")

		time.Sleep(past.AheadFor)
		alice.said(Everyone, "after")
		bob = w.start("bob", "alice")
		time.Sleep(time.Minute)
		bob.awaitHeard(time.Second, Everyone, "+after")
		bob.awaitHeard(0, "#dev")
	})
}

// TestIgnoreOverOthers: messages that come as letters, and over a link over others, are refused
// too, and those behind them are not held up.
func TestIgnoreOverOthers(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.line("alice", "bob", "carol")
		alice, carol := peers[0], peers[2]
		carol.ignore("alice")
		alice.refused("carol") // a letter
		if alice.carriedTo("carol") {
			t.Error("there is a link over others")
		}
		ids := make(map[MessageID]bool)
		for range opening {
			ids[alice.send("carol", "ignored")] = true
			time.Sleep(20 * time.Millisecond)
		}
		alice.eventually(5*time.Second, "there is one", func() bool { return alice.carriedTo("carol") })
		alice.eventually(5*time.Second, "all are refused", func() bool { return len(all[Failed](alice)) == opening+1 })
		alice.refused("carol")
		carol.unignore("alice")
		alice.send("carol", "after")
		carol.awaitBodies(time.Second, "alice", "after")
		alice.eventually(time.Second, "nothing waits", func() bool { return len(alice.Waiting()) == 0 })
	})
}

// TestIgnoreWhatIsKept: messages that others have kept for a peer which ignores their author are
// not shown, and kept no more; their author, who was away, is told when it comes back, even if
// it is not ignored any more.
func TestIgnoreWhatIsKept(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("alice", "bob", "carol")
		carol := w.start("carol")
		alice := w.start("alice", "carol")
		bob := w.start("bob", "carol")
		alice.eventually(time.Second, "all are here", func() bool { return len(alice.here()) == 2 })
		bob.eventually(time.Second, "all are here", func() bool { return len(bob.here()) == 2 })
		bob.ignore("alice")
		w.leave(bob)
		awaitEvent(alice, time.Second, func(l PeerLeft) bool { return l.ID == "bob" })
		for _, body := range numbers(20) {
			alice.send("bob", body)
		}
		time.Sleep(2 * time.Second)
		w.leave(alice)
		if carol.keeps() == 0 {
			t.Fatal("nothing is kept")
		}
		bob = w.start("bob", "carol")
		time.Sleep(5 * time.Second)
		bob.awaitBodies(0, "alice")
		bob.unignore("alice")
		alice = w.start("alice", "carol")
		alice.eventually(10*time.Second, "all are refused", func() bool { return len(all[Failed](alice)) == 20 })
		for _, f := range all[Failed](alice) {
			if f.Error != refusedAs {
				t.Errorf("%+v", f)
			}
		}
		alice.send("bob", "after")
		bob.awaitBodies(time.Second, "alice", "after")
		time.Sleep(time.Minute)
		bob.awaitBodies(0, "alice", "after")
		if n := carol.keeps(); n != 0 {
			t.Errorf("%d are still kept", n)
		}
	})
}

// keeps is how many deposits a peer with a state directory keeps for others.
func (p *peer) keeps() int {
	p.t.Helper()
	list, err := p.keptForOthers()
	if err != nil {
		p.t.Fatal(err)
	}
	return len(list)
}

// TestIgnoreIsRemembered: a message whose refusal got lost is refused when it is repeated, although
// its sender is not ignored any more, and the receiver has been killed since.
func TestIgnoreIsRemembered(t *testing.T) {
	for _, killed := range []bool{false, true} {
		t.Run(fmt.Sprint("killed ", killed), func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				w.keeping("bob")
				alice := w.start("alice")
				bob := w.start("bob", "alice")
				alice.eventually(time.Second, "bob is here", func() bool { return len(alice.here()) == 1 })
				talk(alice, bob)
				bob.ignore("alice")
				lost := alice.send("bob", "ignored")
				time.Sleep(latency / 2)
				w.Cut("alice", "bob") // the message is on its way, its receipt gets lost
				time.Sleep(latency)
				bob.unignore("alice")
				if killed {
					w.kill(bob)
					bob = w.start("bob")
				}
				time.Sleep(5 * time.Second)
				if n := len(all[Failed](alice)); n != 0 {
					t.Fatal("the receipt has come")
				}
				w.Heal("alice", "bob")
				if killed {
					if _, err := bob.Join(within(t, 5*time.Second), w.Addr("alice").String()); err != nil {
						t.Fatal(err)
					}
				}
				after := alice.send("bob", "after")
				awaitEvent(alice, 30*time.Second, func(d Delivered) bool { return d.Message == after })
				if f := all[Failed](alice); len(f) != 1 || f[0].Message != lost || f[0].Error != refusedAs {
					t.Errorf("failed: %+v", f)
				}
				if got := bob.bodies("alice"); got[len(got)-1] != "after" || len(got) > 2 {
					t.Errorf("bob is shown %q", got)
				}
			})
		})
	}
}

// A program that does not read its events does not withhold the receipts of what is refused.
func TestIgnoreNeedsNoReader(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.start("alice")
		bob := w.startDeaf("bob", "alice")
		alice.eventually(time.Second, "bob is here", func() bool { return len(alice.here()) == 1 })
		bob.ignore("alice")
		for range messaging.MaxIncoming + 100 {
			alice.send("bob", "ignored")
		}
		alice.eventually(5*time.Second, "all are refused", func() bool { return len(all[Failed](alice)) == messaging.MaxIncoming+100 })
	})
}

// TestIgnoreByKey: who is ignored is a key, whatever ID it has; the errors; and the bound.
func TestIgnoreByKey(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("bob")
		bob := w.start("bob")
		alice := w.start("alice", "bob")
		bob.eventually(time.Second, "alice is here", func() bool { return len(bob.here()) == 1 })
		for id, want := range map[certs.ID]error{"bob": ErrIgnoreSelf, "nobody": ErrUnknownPeer, "x y": ErrUnknownPeer} {
			if err := bob.Ignore(id); !errors.Is(err, want) {
				t.Errorf("%s: %v", id, err)
			}
		}
		if err := bob.Unignore("alice"); !errors.Is(err, ErrNotIgnored) {
			t.Errorf("unignore: %v", err)
		}
		bob.ignore("alice")
		bob.ignore("alice")
		w.leave(alice)
		awaitEvent(bob, time.Second, func(l PeerLeft) bool { return l.ID == "alice" })

		w.states["eve"] = NewState("eve", w.states["alice"].Identity)
		eve := w.start("eve", "bob") // the same key
		bob.eventually(time.Second, "eve is here", func() bool { return len(bob.here()) == 1 })
		eve.refused("bob")
		w.leave(eve)

		w.states["alice"] = state("alice", "another")
		other := w.start("alice", "bob") // another key
		bob.eventually(time.Second, "alice is here", func() bool { return len(bob.here()) == 1 })
		talk(other, bob)
		bob.ignore("alice")
		if list := bob.Ignored(); len(list) != 2 || list[0].ID != "alice" || list[1].ID != "alice" {
			t.Errorf("ignored: %v", list)
		}
		bob.unignore("alice") // both
		if list := bob.Ignored(); len(list) != 0 {
			t.Errorf("ignored: %v", list)
		}
		talk(other, bob)

		bob.ignore("alice")
		w.leave(bob)
		if err := bob.Unignore("alice"); !errors.Is(err, ErrClosed) || len(bob.Ignored()) != 1 {
			t.Errorf("at the end: %v, %v", err, bob.Ignored())
		}
	})
}
