package overlay

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// postKind sends a message of a kind.
func (p *peer) postKind(to ID, kind Kind, about MessageID, body string) MessageID {
	p.t.Helper()
	id, err := p.Post(p.t.Context(), to, Draft{Kind: kind, About: about, Body: body})
	if err != nil {
		p.t.Fatal(err)
	}
	return id
}

// kindLine is a message in a line.
func kindLine(s Said) string {
	line := fmt.Sprintf("%s>%s %q", s.From, s.To, s.Body)
	if s.Kind != "" {
		line = fmt.Sprintf("%s>%s %s %q", s.From, s.To, s.Kind, s.Body)
	}
	if s.About != (MessageID{}) {
		line += " about " + s.About.String()
	}
	if s.ReplyTo != (MessageID{}) {
		line += " to " + s.ReplyTo.String()
	}
	return line
}

// kinds are lines of all messages that the program got, and that it sent.
func (p *peer) kinds() (got, sent []string) {
	for _, m := range all[Message](p) {
		got = append(got, kindLine(m.Said()))
	}
	for _, s := range all[Sent](p) {
		sent = append(sent, kindLine(s.Said(p.ID(), p.Key())))
	}
	return got, sent
}

// past are lines of the history.
func (p *peer) past() (lines []string) {
	p.t.Helper()
	list, err := p.History().Messages(p.t.Context(), Query{})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, s := range list {
		lines = append(lines, kindLine(s))
	}
	return lines
}

// sendKinds sends a message of each kind, and returns the lines of them.
func (p *peer) sendKinds(to ID) []string {
	p.t.Helper()
	first := p.postKind(to, "", MessageID{}, "helo")
	p.postKind(to, KindEdit, first, "hello")
	reaction := p.postKind(to, KindReaction, first, "👍")
	p.postKind(to, KindDelete, reaction, "")
	p.postKind(to, KindAction, MessageID{}, "waves")
	if _, err := p.Post(p.t.Context(), to, Draft{Body: "yes", ReplyTo: first}); err != nil {
		p.t.Fatal(err)
	}
	who := fmt.Sprintf("%s>%s", p.ID(), to)
	return []string{
		who + ` "helo"`, who + ` edit "hello" about ` + first.String(), who + ` reaction "👍" about ` + first.String(),
		who + ` delete "(deletes a message)" about ` + reaction.String(), who + ` action "waves"`, who + ` "yes" to ` + first.String(),
	}
}

// awaitKinds waits until the program has got exactly these.
func (p *peer) awaitKinds(want []string) {
	p.t.Helper()
	p.eventually(10*time.Second, "all messages came", func() bool { return len(all[Message](p)) == len(want) })
	if got, _ := p.kinds(); !slices.Equal(got, want) {
		p.t.Errorf("%s got\n%s\nnot\n%s", p.ID(), strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestKinds: what a message is, and is about, arrives on every path, is told to its sender, and is in the history of
// both, over restarts too.
func TestKinds(t *testing.T) {
	t.Run("direct", func(t *testing.T) {
		simulate(t, func(t *testing.T, w *world) {
			w.keeping("alice", "bob")
			alice := w.start("alice")
			bob := w.start("bob", "alice")
			want := alice.sendKinds("bob")
			bob.awaitKinds(want)
			alice.eventually(time.Second, "all are sent", func() bool { return len(all[Sent](alice)) == len(want) })
			if _, sent := alice.kinds(); !slices.Equal(sent, want) {
				t.Errorf("alice was told of\n%s\nnot\n%s", strings.Join(sent, "\n"), strings.Join(want, "\n"))
			}
			alice.eventually(time.Second, "all are delivered", func() bool { return len(all[Delivered](alice)) == len(want) })
			w.kill(alice)
			w.kill(bob)
			for _, p := range []*peer{w.start("alice"), w.start("bob", "alice")} {
				wantSaid(t, string(p.ID()), p.past(), want...)
				var events []string
				for past, err := range p.History().Events(0) {
					if err != nil {
						t.Fatal(err)
					}
					switch e := past.Event.(type) {
					case Message:
						events = append(events, kindLine(e.Said()))
					case Sent:
						events = append(events, kindLine(e.Said(p.ID(), p.Key())))
					}
				}
				wantSaid(t, "events of "+string(p.ID()), events, want...)
			}
		})
	})
	t.Run("over others", func(t *testing.T) {
		simulate(t, func(t *testing.T, w *world) {
			w.older = "carol" // knows of no links over others: so these are letters
			peers := w.line("alice", "carol", "bob")
			peers[2].awaitKinds(peers[0].sendKinds("bob"))
		})
	})
	t.Run("kept by others, after a restart of the sender", func(t *testing.T) {
		simulate(t, func(t *testing.T, w *world) {
			w.keeping("alice", "bob")
			w.start("carol")
			alice, bob := w.start("alice", "carol"), w.start("bob", "carol")
			alice.eventually(time.Second, "bob is here", func() bool { return len(alice.here()) == 2 })
			w.leave(bob)
			awaitEvent(alice, time.Second, func(l PeerLeft) bool { return l.ID == "bob" })
			want := alice.sendKinds("bob")
			w.kill(alice)
			alice = w.start("alice", "carol")
			time.Sleep(time.Minute)
			w.leave(alice)
			time.Sleep(time.Hour)
			bob = w.start("bob", "carol")
			bob.awaitKinds(want)
		})
	})
	t.Run("in a room, and to one who comes later", func(t *testing.T) {
		simulate(t, func(t *testing.T, w *world) {
			w.keeping("alice", "bob", "carol")
			peers := w.network("alice", "bob")
			for _, p := range peers {
				if err := p.JoinRoom("#dev"); err != nil {
					t.Fatal(err)
				}
			}
			want := peers[0].sendKinds("#dev")
			peers[1].awaitKinds(want)
			if _, sent := peers[0].kinds(); !slices.Equal(sent, want) {
				t.Errorf("alice was told of\n%s", strings.Join(sent, "\n"))
			}
			peers[1].awaitKinds(append(want, peers[0].sendKinds(Everyone)...))
			w.kill(peers[1])
			bob := w.start("bob", "alice")
			wantSaid(t, "bob", bob.past()[:len(want)], want...)
			carol := w.start("carol", "bob")
			if err := carol.JoinRoom("#dev"); err != nil {
				t.Fatal(err)
			}
			carol.eventually(10*time.Second, "the past came", func() bool { return len(all[Message](carol)) == 2*len(want) })
			got, _ := carol.kinds()
			for _, line := range want {
				if !slices.Contains(got, line) {
					t.Errorf("carol did not get %s, but\n%s", line, strings.Join(got, "\n"))
				}
			}
		})
	})
}

// TestPostRefuses: what does not fit together is refused at once.
func TestPostRefuses(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.network("alice", "bob")[0]
		if err := alice.JoinRoom("#dev"); err != nil {
			t.Fatal(err)
		}
		for _, d := range []Draft{
			{Kind: "dance", Body: "x"},
			{Kind: KindEdit, Body: "x"},
			{Kind: KindDelete},
			{Kind: KindReaction, Body: "x"},
			{Kind: KindReaction, About: MessageID{1}},
			{Kind: KindReaction, About: MessageID{1}, Body: strings.Repeat("x", MaxReaction+1)},
			{Kind: KindAction, About: MessageID{1}, Body: "x"},
			{About: MessageID{1}, Body: "x"},
		} {
			for _, to := range []ID{"bob", "#dev", Everyone} {
				if _, err := alice.Post(t.Context(), to, d); !isKindError(err) {
					t.Errorf("%+v to %s: %v", d, to, err)
				}
			}
		}
		if _, err := alice.Post(t.Context(), "bob", Draft{Kind: KindEdit, About: MessageID{1}, Binary: true}); !isKindError(err) {
			t.Errorf("an edit that is data: %v", err)
		}
		for _, to := range []ID{"#dev", Everyone} {
			for _, d := range []Draft{{Binary: true}, {WantsReply: true}} {
				if _, err := alice.Post(t.Context(), to, d); !errors.Is(err, ErrNotToMany) {
					t.Errorf("%+v to %s: %v", d, to, err)
				}
			}
			if _, err := alice.Post(t.Context(), to, Draft{Body: strings.Repeat("x", MaxBroadcast+1)}); !errors.Is(err, ErrTooLong) {
				t.Errorf("too long, to %s: %v", to, err)
			}
		}
		if _, err := alice.Post(t.Context(), "#ops", Draft{Body: "x"}); !errors.Is(err, ErrNotInRoom) {
			t.Errorf("to a room that it is not in: %v", err)
		}
		if n := len(all[Sent](alice)); n != 0 {
			t.Errorf("%d messages were sent", n)
		}
	})
}

func isKindError(err error) bool {
	_, is := errors.AsType[*KindError](err)
	return is
}
