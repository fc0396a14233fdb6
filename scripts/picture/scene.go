package main

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"quicpeer/certs"
	"quicpeer/overlay"
)

// act is something that happens in the scene, at a time of the day.
type act struct {
	hour, minute int
	from, to     certs.ID
	body         string
	kind         overlay.Kind
	about        int // the act that it is about, counted back from this one
}

const self = "alice"

// The scene: bob and alice look for a fault, while others talk elsewhere.
var acts = []act{
	{hour: 14, minute: 1, from: self, to: "bob", body: "hi! how is the new relay?"},
	{hour: 14, minute: 2, from: "bob", to: self, body: "it drops packets from my side, one in seven"},
	{hour: 14, minute: 3, from: self, to: "bob", body: "only from yours? I see none here"},
	{hour: 14, minute: 3, from: "mia", to: "*", body: "release notes are in the wiki"},
	{hour: 14, minute: 4, from: "bob", to: self, body: "only over IPv6, and only above 1350 bytes. The log says:\n  path to relay: MTU 1432 confirmed, then 3 probes lost"},
	{hour: 14, minute: 5, from: "ivan", to: "#dev", body: "who broke the build?"},
	{hour: 14, minute: 6, from: self, to: "bob", body: "so a router on the way drops them, and tells nobody. Does it hold with smaller ones?"},
	{hour: 14, minute: 6, from: "ruth", to: "#dev", body: "alice, can you look at the probe test?"},
	{hour: 14, minute: 8, from: "bob", to: self, body: "it holds!! 40 minutes witohut a loss"},
	{hour: 14, minute: 8, from: "bob", to: self, body: "it holds! 40 minutes without a loss", kind: overlay.KindEdit, about: 1},
	{hour: 14, minute: 8, from: self, to: "bob", body: "🎉", kind: overlay.KindReaction, about: 2},
	{hour: 14, minute: 9, from: self, to: "bob", body: "looks into the probing of paths now", kind: overlay.KindAction},
	{hour: 14, minute: 10, from: "ruth", to: "*", body: "the new relay is up"},
	{hour: 14, minute: 10, from: "frank", to: "*", body: "anyone for coffee?"},
	{hour: 14, minute: 11, from: self, to: "bob", body: "found it: we forget the lost probes when the path moves. Patch in #dev in ten minutes"},
	{hour: 14, minute: 11, from: "bob", to: self, body: "👍", kind: overlay.KindReaction, about: 1},
	{hour: 14, minute: 12, from: "frank", to: self, body: "lunch tomorrow?"},
	{hour: 14, minute: 12, from: "bob", to: self, body: "you are quick. I'll try it on the three machines in the cellar, one of them is behind the worst NAT that money can buy"},
}

const typed = "send me the logs of all three, plea"

// play has it all happen, in this order.
func (s *scene) play() error {
	s.clock.Store(14 * 60)
	for _, id := range []certs.ID{"bob", "mia", "ivan", "ruth", "frank"} {
		if err := s.show(overlay.PeerJoined{ID: id}); err != nil {
			return err
		}
	}
	if err := s.seen("5 are here"); err != nil {
		return err
	}
	for i := range acts {
		if err := s.do(i); err != nil {
			return err
		}
		if i == 0 { // the conversation with bob is there now
			s.term.Press("alt+2")
			if err := s.seen("alice @bob>"); err != nil {
				return err
			}
		}
	}
	s.term.Send(typed)
	row := "alice @bob> " + typed
	return s.until(row, func() bool {
		x, y := s.term.Cursor()
		return y == height-1 && x == utf8.RuneCountInString(row) && s.term.Row(y) == row && strings.Contains(s.term.Text(), "worst NAT")
	})
}

func (s *scene) seen(text string) error {
	return s.until(fmt.Sprintf("%q", text), func() bool { return strings.Contains(s.term.Text(), text) })
}

// do has one of the acts happen: what this peer writes arrives at once.
func (s *scene) do(i int) error {
	a := acts[i]
	s.clock.Store(int64(a.hour*60 + a.minute))
	id, about := overlay.MessageID{byte(i + 1)}, overlay.MessageID{}
	if a.about != 0 {
		about = overlay.MessageID{byte(i + 1 - a.about)}
	}
	if a.from != self {
		return s.show(overlay.Message{ID: id, From: a.from, To: a.to, Key: certs.PublicKey{a.from[0]}, Body: a.body, SentAt: s.now(), Kind: a.kind, About: about})
	}
	if err := s.show(overlay.Sent{Message: id, To: a.to, Body: a.body, SentAt: s.now(), Kind: a.kind, About: about}); err != nil {
		return err
	}
	return s.show(overlay.Delivered{To: a.to, Message: id})
}
