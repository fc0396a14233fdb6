package overlay

import (
	"errors"
	"strings"
	"testing"
	"time"

	"quicpeer/certs"
)

// found starts a node that makes a private network.
func (w *world) found(name string) *peer {
	w.t.Helper()
	if w.states[name] == nil {
		w.keeping(name)
	}
	cfg := w.config(name)
	cfg.Private, cfg.Network = true, "home"
	n, err := Start(w.t.Context(), cfg)
	if err != nil {
		w.t.Fatalf("starting %s: %v", name, err)
	}
	p := w.peer(n)
	p.listen()
	return p
}

// invite has a peer give a ticket.
func (p *peer) invite(id certs.ID) string {
	p.t.Helper()
	in, err := p.Invite(p.t.Context(), id, false)
	if err != nil {
		p.t.Fatalf("%s invites %s: %v", p.ID(), id, err)
	}
	return in.Ticket
}

// by starts a node that joins by a ticket.
func (w *world) by(name, ticket string) (*peer, error) {
	if w.states[name] == nil {
		w.keeping(name)
	}
	cfg := w.config(name)
	cfg.Join = []string{ticket}
	n, err := Start(w.t.Context(), cfg)
	if err != nil {
		return nil, err
	}
	p := w.peer(n)
	p.listen()
	return p, nil
}

// mustBy is by that must succeed.
func (w *world) mustBy(name, ticket string) *peer {
	w.t.Helper()
	p, err := w.by(name, ticket)
	if err != nil {
		w.t.Fatalf("%s joins by a ticket: %v", name, err)
	}
	return p
}

// TestPrivateNetwork: who has a ticket gets in, once, and comes again without; a stranger does not;
// who was removed is out for good, and what waits for it fails.
func TestPrivateNetwork(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.found("alice")
		ticket := alice.invite("bob")
		bob := w.mustBy("bob", ticket)
		carol := w.mustBy("carol", alice.invite("carol"))
		talk(alice, bob)
		talk(carol, bob)

		_, err := w.by("thief", ticket)
		if wrong, ok := errors.AsType[*TicketIDError](err); !ok || wrong.Ticket != "bob" {
			t.Errorf("a ticket for bob lets in thief: %v", err)
		}
		w.states["thief"] = state("bob", "thief")
		_, err = w.by("thief", ticket)
		if refused, ok := errors.AsType[*NotAdmittedError](err); !ok || !strings.Contains(refused.Reason, bob.Key().String()) {
			t.Errorf("the second use: %v", err)
		}
		awaitEvent(alice, time.Second, func(r Redeemed) bool { return r.ID == "bob" && r.Why != "" })
		if _, err := Start(t.Context(), w.config("stranger", "alice")); err == nil {
			t.Error("a stranger gets in")
		}

		w.kill(bob)
		bob = w.start("bob") // it remembers the others
		bob.eventually(10*time.Second, "the others are there", func() bool { return len(bob.here()) == 2 })
		talk(carol, bob)

		w.Cut("bob", "alice")
		w.Cut("bob", "carol")
		waits := carol.send("bob", "never")
		if err := carol.Remove(t.Context(), "bob", false, ""); err == nil || !strings.Contains(err.Error(), "alice") {
			t.Errorf("a member removes another one: %v", err)
		}
		if err := alice.Remove(t.Context(), "bob", false, "r"); err != nil {
			t.Fatal(err)
		}
		awaitEvent(alice, time.Second, func(r Removed) bool { return r.ID == "bob" && r.Ref == "r" && r.By == "alice" })
		awaitEvent(carol, time.Second, func(r Removed) bool { return r.ID == "bob" && r.Ref == "" && r.Key == bob.Key() })
		awaitEvent(carol, time.Second, func(f Failed) bool { return f.Message == waits && strings.Contains(f.Error, "removed") })
		w.Heal("bob", "alice")
		w.Heal("bob", "carol")
		<-bob.done
		if refused, ok := errors.AsType[*NotAdmittedError](bob.Err()); !ok || !strings.Contains(refused.Reason, "alice has removed this peer") {
			t.Errorf("bob ends with %v", bob.Err())
		}
		_, err = Start(within(t, 20*time.Second), w.config("bob", "carol"))
		if _, ok := errors.AsType[*NotAdmittedError](err); !ok {
			t.Errorf("bob comes again: %v", err)
		}
		_, err = w.by("bob", ticket)
		if _, ok := errors.AsType[*NotAdmittedError](err); !ok {
			t.Errorf("bob uses its ticket again: %v", err)
		}
	})
}

// TestTicketOverAnother: any member is a door for a ticket, and the issuer must be here.
func TestTicketOverAnother(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.found("alice")
		carol := w.mustBy("carol", alice.invite("carol"))
		ticket, err := certs.ParseTicket(alice.invite("bob"))
		if err != nil {
			t.Fatal(err)
		}
		ticket.Doors = []certs.TicketDoor{{Address: w.Addr("carol").String(), Key: certs.KeyTag(carol.Key())}}
		bob := w.mustBy("bob", ticket.Text())
		talk(alice, bob)

		late, err := certs.ParseTicket(alice.invite("dave"))
		if err != nil {
			t.Fatal(err)
		}
		late.Doors = ticket.Doors
		if _, err := alice.Leave(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err = w.by("dave", late.Text())
		if away, ok := errors.AsType[*AwayError](err); !ok {
			t.Errorf("the issuer is away: %v, %v", away, err)
		}
	})
}

// TestTicketIsUsedOnce: a ticket stays used over a crash of its issuer, also one right behind the
// store; the same key gets the same pass.
func TestTicketIsUsedOnce(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.found("alice")
		ticket := alice.invite("bob")
		bob := w.mustBy("bob", ticket)
		pass := bob.members.ownPass()
		w.kill(bob)
		w.kill(alice)
		alice = w.found("alice")
		w.states["bob"] = state("bob", "bob") // without its pass
		bob = w.mustBy("bob", ticket)
		if string(bob.members.ownPass().GetGrant().GetPayload()) != string(pass.GetGrant().GetPayload()) {
			t.Error("the same key got another pass")
		}
		talk(alice, bob)
	})
}

// TestAdmins: an admin made by a ticket lets in and removes members; whom it has let in stays when it
// is removed.
func TestAdmins(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.found("alice")
		in, err := alice.Invite(t.Context(), "carol", true)
		if err != nil {
			t.Fatal(err)
		}
		carol := w.mustBy("carol", in.Ticket)
		bob := w.mustBy("bob", carol.invite("bob"))
		dave := w.mustBy("dave", carol.invite("dave"))
		if _, err := carol.Invite(t.Context(), "eve", true); err == nil {
			t.Error("an admin without the network's key makes another")
		}
		if err := carol.Remove(t.Context(), "alice", false, ""); err == nil {
			t.Error("an admin removes another without the network's key")
		}
		if err := carol.Remove(t.Context(), "dave", false, ""); err != nil {
			t.Fatal(err)
		}
		<-dave.done
		if err := alice.Remove(t.Context(), "carol", false, ""); err != nil {
			t.Fatal(err)
		}
		<-carol.done
		talk(alice, bob)
		if _, err := Start(within(t, 20*time.Second), w.config("dave", "alice")); err == nil {
			t.Error("dave is back: what carol had done is undone")
		}
		if m, _ := bob.cfg.State.Membership(); m.Pass.GetIssuer() == nil {
			t.Error("bob has no pass of a member")
		}
	})
}
