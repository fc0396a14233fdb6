package overlay

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/pb"
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
		both := *ticket
		both.ID, both.Doors = "bob", append(ticket.Doors, certs.TicketDoor{Address: w.Addr("carol").String(), Key: certs.KeyTag(carol.Key())})
		ticket.Doors = both.Doors[1:]
		bob := w.mustBy("bob", ticket.Text())
		talk(alice, bob)
		w.leave(bob)
		w.mustBy("bob", both.Text()) // each door sends the pass
		if strings.Contains(w.log.tail(1000), "a pass that is not valid") {
			t.Error("the second pass is not taken")
		}

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

// TestTicketIsUsedOnce: whenever its issuer is killed while a ticket is redeemed, the ticket is used
// for that key or for none: the same key gets one pass, and another key none.
func TestTicketIsUsedOnce(t *testing.T) {
	for at := range int64(12) {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				w.keeping("alice", "bob")
				var dead atomic.Bool
				var left atomic.Int64
				left.Store(1 << 40)
				w.dead, w.steps = &dead, func(string) bool {
					if left.Add(-1) < 0 {
						dead.Store(true)
					}
					return !dead.Load()
				}
				alice := w.found("alice")
				w.dead, w.steps = nil, nil
				ticket := alice.invite("bob")
				left.Store(at) // steps of the disk until it is killed
				joining := make(chan *peer, 1)
				go func() {
					cfg := w.config("bob")
					cfg.Join, cfg.JoinTimeout = []string{ticket}, -1
					n, err := Start(t.Context(), cfg)
					if err != nil {
						t.Errorf("bob: %v", err)
						joining <- nil
						return
					}
					p := w.peer(n)
					p.listen()
					joining <- p
				}()
				time.Sleep(2 * time.Second)
				w.kill(alice)
				alice = w.found("alice")
				bob := <-joining
				if bob == nil {
					return
				}
				talk(alice, bob)
				w.states["thief"] = state("bob", "thief")
				if _, err := w.by("thief", ticket); !isNotAdmitted(err) {
					t.Errorf("a thief comes: %v", err)
				}
				again := w.members(alice)
				if len(again) != 1 {
					t.Errorf("%d keys have a pass for bob", len(again))
				}
			})
		})
	}
}

// members are the keys that have used tickets of a peer.
func (w *world) members(p *peer) (keys []certs.PublicKey) {
	done := make(chan bool)
	p.post(onLoop(func(l *loop) {
		for _, t := range l.issuer.tickets {
			if t.pass != nil {
				keys = append(keys, t.key)
			}
		}
		close(done)
	}))
	<-done
	return keys
}

func isNotAdmitted(err error) bool {
	_, ok := errors.AsType[*NotAdmittedError](err)
	return ok
}

// TestTicketEnds: a ticket is good for a day by its issuer's clock; a used one stays used, after its
// member was removed and after months.
func TestTicketEnds(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.found("alice")
		used, late, void := alice.invite("bob"), alice.invite("carol"), alice.invite("dave")
		bob := w.mustBy("bob", used)
		if err := errors.Join(alice.Uninvite(t.Context(), "dave"), alice.Uninvite(t.Context(), "dave")); err == nil || strings.Count(err.Error(), "\n") > 0 {
			t.Errorf("/uninvite twice: %v", err)
		}
		if _, err := w.by("dave", void); !isNotAdmitted(err) || !strings.Contains(err.Error(), "has ended") {
			t.Errorf("a ticket that was withdrawn: %v", err)
		}
		w.leave(bob)
		if err := alice.Remove(t.Context(), "bob", false, ""); err != nil {
			t.Fatal(err)
		}
		w.states["thief"] = state("bob", "thief")
		if _, err := w.by("thief", used); !isNotAdmitted(err) {
			t.Errorf("the ticket of a removed member is good again: %v", err)
		}
		w.kill(alice)
		time.Sleep(25 * time.Hour)
		alice = w.found("alice")
		if _, err := w.by("carol", late); !isNotAdmitted(err) || !strings.Contains(err.Error(), "ended; ask alice for another") {
			t.Errorf("a ticket of yesterday: %v", err)
		}
		w.kill(alice)
		time.Sleep(90 * 24 * time.Hour)
		alice = w.found("alice")
		alice.invite("eve") // forgets the oldest
		w.states["thief"] = state("bob", "thief")
		if _, err := w.by("thief", used); !isNotAdmitted(err) {
			t.Errorf("the ticket is good again after months: %v", err)
		}
		w.keeping("bob")
		w.states["bob"].Identity = certs.NewIdentity(make([]byte, 32))
		w.mustBy("bob", alice.invite("bob")) // another key can have the ID
	})
}

// TestRemovedWhileAway: a member is removed while it is away, and messages for it and from it are
// kept by another: ours fail once, its own are not shown, and it is refused wherever it comes.
func TestRemovedWhileAway(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.found("alice")
		carol := w.mustBy("carol", alice.invite("carol"))
		bob := w.mustBy("bob", alice.invite("bob"))
		dave := w.mustBy("dave", alice.invite("dave"))
		talk(bob, dave)
		w.leave(dave)
		bob.send("dave", "of a removed peer")
		time.Sleep(5 * time.Second) // it is left with others
		w.leave(bob)
		waits := carol.send("bob", "never")
		time.Sleep(5 * time.Second)
		w.kill(carol)
		if err := alice.Remove(t.Context(), "bob", false, ""); err != nil {
			t.Fatal(err)
		}
		carol = w.start("carol")
		awaitEvent(carol, 10*time.Second, func(f Failed) bool { return f.Message == waits && strings.Contains(f.Error, "removed") })
		w.leave(alice)
		dave = w.start("dave")
		time.Sleep(20 * time.Second)
		if got := dave.bodies("bob"); len(got) != 0 {
			t.Errorf("dave is shown %v", got)
		}
		w.kill(carol)
		carol = w.start("carol")
		if _, err := Start(within(t, 20*time.Second), w.config("bob", "carol")); !isNotAdmitted(err) {
			t.Errorf("bob comes again: %v", err)
		}
		if n := len(all[Failed](carol)); n != 0 {
			t.Errorf("%d messages fail again", n)
		}
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
		dave := w.mustBy("dave", alice.invite("dave"))
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
		if err := alice.Remove(t.Context(), "carol", true, ""); err != nil { // on second thoughts
			t.Fatal(err)
		}
		<-bob.done
		if !isNotAdmitted(bob.Err()) || !strings.Contains(bob.Err().Error(), "carol, who has let this peer in") {
			t.Errorf("bob ends with %v", bob.Err())
		}
		back := w.start("dave", "alice")
		back.eventually(time.Second, "dave is back, since nothing counts that carol did", func() bool { return slices.Contains(back.here(), "alice") })
		if err := alice.Remove(t.Context(), "carol", true, ""); err == nil {
			t.Error("the same removal is taken again")
		}
	})
}

// TestIDIsGivenAnew: an ID that is given to another key after a removal is noticed by all who have
// written with the first one; what they write then goes nowhere before Trust.
func TestIDIsGivenAnew(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.found("alice")
		carol := w.mustBy("carol", alice.invite("carol"))
		bob := w.mustBy("bob", alice.invite("bob"))
		talk(carol, bob)
		if err := alice.Remove(t.Context(), "bob", false, ""); err != nil {
			t.Fatal(err)
		}
		awaitEvent(carol, time.Second, func(Removed) bool { return true })
		if _, err := carol.Send(t.Context(), "bob", "to whom?", ""); err == nil || !strings.Contains(err.Error(), "removed") {
			t.Errorf("writing to somebody who was removed: %v", err)
		}
		w.keeping("bob")
		w.states["bob"].Identity = certs.NewIdentity([]byte(strings.Repeat("another ", 4)))
		again := w.mustBy("bob", alice.invite("bob"))
		awaitEvent(carol, time.Second, func(k KeyChanged) bool { return k.Was == bob.Key() && k.Is == again.Key() })
		if _, err := carol.Send(t.Context(), "bob", "to whom?", ""); err == nil {
			t.Error("a message to another key is taken")
		}
		if err := carol.Trust("bob"); err != nil {
			t.Fatal(err)
		}
		talk(carol, again)
	})
}

// TestWhichNetwork: what a configuration, a ticket and a state directory say of the network has to
// agree; and a directory stays with its first network.
func TestWhichNetwork(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.found("alice")
		ticket := alice.invite("bob")
		w.leave(alice)
		open := w.start("open")
		w.keeping("kept")
		w.leave(w.start("kept"))
		for name, test := range map[string]struct {
			node   string
			change func(c *Config)
			want   func(error) bool
		}{
			"nothing kept": {"new", func(c *Config) { c.Private = true }, func(err error) bool { return errors.Is(err, ErrUnkept) }},
			"made and joined": {"alice", func(c *Config) { c.Private, c.Join = true, []string{"10.0.0.1:1"} },
				func(err error) bool { return errors.Is(err, ErrPrivateJoin) }},
			"an open network's directory": {"kept", func(c *Config) { c.Private = true }, func(err error) bool {
				e, ok := errors.AsType[*OpenStateError](err)
				return ok && e.Network == ""
			}},
			"another name": {"alice", func(c *Config) { c.Network = "work" }, func(err error) bool {
				e, ok := errors.AsType[*OtherNetworkError](err)
				return ok && strings.HasPrefix(e.Stored, "home#")
			}},
			"two tickets": {"bob", func(c *Config) { c.Join = []string{ticket, ticket} }, func(err error) bool { return errors.Is(err, ErrTwoTickets) }},
			"a ticket with another name": {"bob", func(c *Config) { c.Join, c.Network = []string{ticket}, "work" }, func(err error) bool {
				_, ok := errors.AsType[*OtherNetworkError](err)
				return ok
			}},
			"a ticket into the founder's": {"alice", func(c *Config) { c.Join = []string{ticket} }, func(err error) bool {
				e, ok := errors.AsType[*TicketIDError](err)
				return ok && e.Ticket == "bob"
			}},
			"a name that is too long": {"long", func(c *Config) { c.Private, c.Network = true, strings.Repeat("x", 25) }, func(err error) bool { return err != nil }},
		} {
			if name == "a name that is too long" {
				w.keeping("long")
			}
			cfg := w.config(test.node)
			test.change(&cfg)
			if n, err := Start(t.Context(), cfg); n != nil || !test.want(err) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := open.Invite(t.Context(), "bob", false); !errors.Is(err, ErrNotPrivate) {
			t.Errorf("an open network invites: %v", err)
		}
	})
}

// TestWrongClocks: nothing depends on the time of day but how long a ticket lasts, by its issuer's
// clock; and a clock that is set back makes neither a used ticket good nor a later grant the earlier.
func TestWrongClocks(t *testing.T) {
	for name, at := range map[string]time.Time{"1970": time.Unix(3600, 0), "2100": time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), "before 1970": time.Unix(-1<<30, 0)} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				begun := time.Now()
				w.keeping("alice", "bob")
				wall := at
				w.wall = func() time.Time { return wall.Add(time.Since(begun)) }
				alice := w.found("alice")
				ticket, late := alice.invite("bob"), alice.invite("dave")
				if _, err := w.states["bob"].NextEpoch(1 << 45); err != nil { // in 3084
					t.Fatal(err)
				}
				bob := w.mustBy("bob", ticket)
				talk(alice, bob)
				w.kill(alice)
				wall = at.AddDate(-10, 0, 0)
				alice = w.found("alice")
				awaitEvent(bob, 10*time.Second, func(j PeerJoined) bool { return j.ID == "alice" })
				w.states["thief"] = state("bob", "thief")
				if _, err := w.by("thief", ticket); !isNotAdmitted(err) {
					t.Errorf("set back, a used ticket is good again: %v", err)
				}
				carol := w.mustBy("carol", alice.invite("carol"))
				first, second := number(t, bob), number(t, carol)
				if second <= first {
					t.Errorf("the second grant has the number %d, the first %d", second, first)
				}
				talk(carol, bob)
				w.kill(alice)
				wall = at.AddDate(10, 0, 0)
				w.found("alice")
				if _, err := w.by("dave", late); !isNotAdmitted(err) {
					t.Errorf("set forward, a ticket of ten years ago is good: %v", err)
				}
			})
		})
	}
}

// number is that of a member's grant.
func number(t *testing.T, p *peer) uint64 {
	g, err := pb.ParseGrant(p.members.ownPass().GetGrant())
	if err != nil {
		t.Fatal(err)
	}
	return g.GetNumber()
}

// admin has a peer give a ticket for an admin.
func (p *peer) inviteAdmin(id certs.ID) string {
	p.t.Helper()
	in, err := p.Invite(p.t.Context(), id, true)
	if err != nil {
		p.t.Fatalf("%s invites %s: %v", p.ID(), id, err)
	}
	return in.Ticket
}

// TestFounderAlone: an admin is removed while nobody else is there, and the founder has just started.
// It was a member first. Whom it has let in stays, and it does not come back.
func TestFounderAlone(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.found("alice")
		w.leave(w.mustBy("carol", alice.invite("carol")))
		carol := w.mustBy("carol", alice.inviteAdmin("carol"))
		bob := w.mustBy("bob", carol.invite("bob"))
		talk(alice, bob)
		w.kill(bob)
		w.kill(carol)
		w.kill(alice)
		alice = w.start("alice")
		if err := alice.Remove(t.Context(), "carol", false, ""); err != nil {
			t.Fatal(err)
		}
		bob = w.start("bob", "alice")
		talk(alice, bob)
		if _, err := Start(within(t, 20*time.Second), w.config("carol", "alice")); !isNotAdmitted(err) {
			t.Errorf("carol is back: %v", err)
		}
	})
}

// TestOldTicket: a member that has become an admin, and starts with its first ticket, stays one.
func TestOldTicket(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.found("alice")
		first := alice.invite("bob")
		w.leave(w.mustBy("bob", first))
		w.leave(w.mustBy("bob", alice.inviteAdmin("bob")))
		bob := w.mustBy("bob", first)
		talk(alice, bob)
		bob.invite("carol")
	})
}

// TestBroughtBack: the network's key can bring back, as an admin, whom another admin has removed.
func TestBroughtBack(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.found("alice")
		carol := w.mustBy("carol", alice.inviteAdmin("carol"))
		bob := w.mustBy("bob", alice.invite("bob"))
		if err := carol.Remove(t.Context(), "bob", false, ""); err != nil {
			t.Fatal(err)
		}
		<-bob.done
		if _, err := w.by("bob", alice.invite("bob")); !isNotAdmitted(err) {
			t.Errorf("a removed key gets in by a member's ticket: %v", err)
		}
		bob = w.mustBy("bob", alice.inviteAdmin("bob"))
		talk(carol, bob)
	})
}

// TestTicketToNobody: a ticket that names no peer to dial makes no network.
func TestTicketToNobody(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.found("alice")
		ticket, err := certs.ParseTicket(alice.invite("bob"))
		if err != nil {
			t.Fatal(err)
		}
		ticket.Doors = nil
		if _, err := w.by("bob", ticket.Text()); !errors.Is(err, ErrNoDoor) {
			t.Errorf("alone: %v", err)
		}
		cfg := w.config("bob", "alice")
		cfg.Join = append(cfg.Join, ticket.Text())
		n, err := Start(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		bob := w.peer(n)
		bob.listen()
		talk(alice, bob)
	})
}

// TestTicketsAreBounded: an issuer remembers so many tickets that nobody uses, withdrawn ones too, and
// of the members met under one admin no more than a removal can keep.
func TestTicketsAreBounded(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.found("alice")
		for i := range maxTickets {
			id := certs.ID(fmt.Sprint("x", i))
			alice.invite(id)
			if i%2 == 0 {
				if err := alice.Uninvite(t.Context(), id); err != nil {
					t.Fatal(err)
				}
			}
		}
		if _, err := alice.Invite(t.Context(), "one-more", false); err == nil || !strings.Contains(err.Error(), "1024 tickets") {
			t.Errorf("one more: %v", err)
		}
		w.kill(alice)
		time.Sleep(ticketFor)
		alice = w.found("alice")
		alice.invite("one-more")
		admin := certs.PublicKey{1}
		ms := newMembers(state("bob", "bob"), certs.Network{Name: "home"})
		for i := range 2 * pb.MaxKeep {
			ms.met(&base.Record{Standing: &base.Standing{Issuer: admin, Name: base.StatementName{byte(i), byte(i >> 8)}}})
		}
		if n := len(ms.granted[admin]); n != pb.MaxKeep || len(ms.signedBy(admin, nil)) != pb.MaxKeep {
			t.Errorf("%d grants of one admin are remembered", n)
		}
	})
}

// TestWrongRootKey: the key of another network makes no passes of this one.
func TestWrongRootKey(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.found("alice")
		w.found("other")
		ticket := alice.inviteAdmin("bob")
		key, err := os.ReadFile(w.states["other"].RootPath())
		if err != nil {
			t.Fatal(err)
		}
		own, err := os.ReadFile(w.states["alice"].RootPath())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(w.states["alice"].RootPath(), key, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := alice.Invite(t.Context(), "carol", true); err == nil || !strings.Contains(err.Error(), "another network") {
			t.Errorf("inviting: %v", err)
		}
		if _, err := w.by("bob", ticket); err == nil {
			t.Error("bob has a pass by another network's key")
		}
		if err := os.WriteFile(w.states["alice"].RootPath(), own, 0o600); err != nil {
			t.Fatal(err)
		}
		talk(alice, w.mustBy("bob", ticket)) // it is not used up
	})
}

// TestWhyNotAdmitted: a refusal for good by a private network is told from all others.
func TestWhyNotAdmitted(t *testing.T) {
	n := &Node{members: newMembers(state("bob", "bob"), certs.Network{Name: "home"})}
	for code, want := range map[pb.HandshakeCode]bool{
		pb.HandshakeCode_NOT_INVITED: true, pb.HandshakeCode_REMOVED_FROM_NETWORK: true, pb.HandshakeCode_AWAY: false, pb.HandshakeCode_NETWORK: false,
	} {
		err := n.explain(&base.JoinError{Refusal: &pb.HandshakeResponse{Code: code, Reason: "why"}})
		if isNotAdmitted(err) != want || !strings.Contains(err.Error(), "why") {
			t.Errorf("%v: %v", code, err)
		}
	}
}
