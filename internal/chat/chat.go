// Package chat is the front end for people: typed lines in, readable lines out, on a
// terminal or not. Text from other peers is shown in such a way that it can't be mistaken
// for anything else.
package chat

import (
	"cmp"
	"context"
	"fmt"
	"time"
	"unicode/utf8"

	"quicpeer/certs"
	"quicpeer/internal/lines"
	"quicpeer/overlay"
	"quicpeer/overlay/files"
)

// Frontend is the [lines.Frontend] for people. Its own lines begin with the local time:
// 12:01:05; on a terminal 12:01; without input, when it only keeps a record, with the date
// before it. All other lines begin with blanks, so that text from others can't pass for one
// of its own:
//
//	12:01:05 * you are bob, SHA256:…, listening on 192.168.1.5:5000
//	                                     or: …, in the private network home#…, listening on …
//	12:01:05 * keep a copy of …/network.key in a safe place: without it nobody can name admins
//	12:01:05 * alice joined              or: * alice joined (via carol)
//	12:01:05 * found the network again: alice at 192.168.1.5:5000
//	12:01:05 * alice left                or: * alice was lost
//	12:01:05 ! alice has another key than before (…): …
//	12:01:05 alice: to everyone
//	12:01:05 #dev alice: to a room
//	12:01:05 alice -> you: to this peer alone
//	12:01:05 * in #dev before you came, from 11:40 on:
//	    11:40 alice: said in the room before this peer was in it
//	12:01:05 * that was before you came
//	12:01:05 alice (new key) -> you: …   not of the peer that you have written with
//	12:01:05 alice -> you (sent 11:40): more than a minute ago, by her clock
//	00:00:05 * it is Thursday, 2026-03-05
//	12:01:05 * delivered to alice: hello
//	12:01:05 * waiting for alice (why): hello
//	12:01:05 ! not delivered to alice (why): hello
//	12:01:05 * joined alice at 192.168.1.5:5000
//	12:01:05 * pong of alice: 0.4 ms, direct at 192.168.1.5:5000
//	                                     or: …, carried via bob; or: …, only as letters go, via bob
//	12:01:05 ? what is wrong with a typed line
//	12:01:05 ? not sent (why): hello
//	12:01:05 * for carol, once, until tomorrow 12:01, while you are here:
//	    qp1…
//	12:01:05 * carol was let in (SHA256:…, by your ticket)
//	12:01:05 ! a use of your ticket for carol was refused (SHA256:…): why
//	12:01:05 * carol was removed from the network for good, by alice
//	12:01:05 bob -> you offers 3: report.pdf (2.3 MB); /get 3 takes it
//	12:01:05 * 4 is offered to bob: report.pdf (2.3 MB); /drop 4 withdraws it
//	12:01:05 * 3 report.pdf from bob: 45 %, 12.3 MB/s, 0:34 left
//	12:01:05 * 3 report.pdf waits (why)
//	12:01:05 * 3 report.pdf is at /home/me/report.pdf
//	12:01:05 * bob has 4 report.pdf
//	12:01:05 ! 3 report.pdf has failed: why
//	12:01:05 * left                      or: * left, 2 messages undelivered
//
// A message that was sent is identified by its ref, which is the beginning of its text.
type Frontend struct {
	voice
	filing
	KeyFile string // of a private network that has just begun; empty: there is none

	Turned func(front certs.ID) // called when another room or peer, or everyone, is in front; may be nil
	Parted func(room certs.ID)  // called when this peer has left a room; may be nil

	spoken spoken

	// Visitors who are here: who comes for one message is not announced. Owned by the goroutine that shows events.
	visitors map[certs.ID]bool
	earlier  positions // of what [Frontend.Earlier] has shown; of the same goroutine

	// Owned by the goroutine that executes lines: who is in front, what was listed by /cancel, the last
	// invitation, and the peer whose safety number was shown last.
	front    certs.ID // empty: everyone
	Edited   Edited   // what the next /edit is about
	listed   []overlay.Outgoing
	invited  overlay.Invitation
	compared overlay.Whois
}

// New returns a front end that writes plain lines to out.
func New(out *lines.Output, look Look) *Frontend {
	s := &style{look: look, now: time.Now}
	return newFrontend(s, &printer{style: s, out: out})
}

// Plain returns a screen that writes plain lines to out.
func Plain(out *lines.Output, look Look) Screen {
	return &printer{style: &style{look: look, now: time.Now}, out: out}
}

// NewOn returns a front end that shows everything on a screen, which folds lines itself.
func NewOn(screen Screen, colour bool) *Frontend {
	look := Look{Terminal: true, Colour: colour, Width: func() int { return 0 }}
	return newFrontend(&style{look: look, now: time.Now}, screen)
}

func newFrontend(s *style, screen Screen) *Frontend {
	v := voice{s, screen}
	return &Frontend{voice: v, filing: filing{voice: v}}
}

// maxVisitors is how many visitors are remembered, a guess; then it begins again.
const maxVisitors = 10_000

// Show shows an event.
func (t *Frontend) Show(event overlay.Event) error { return t.ShowThen(event, func() {}) }

// ShowThen shows an event, and calls shown, maybe later, when that was done.
func (t *Frontend) ShowThen(event overlay.Event, shown func()) error {
	t.spoken.note(event)
	if t.earlier.has(event) {
		shown()
		return nil
	}
	kept, err := t.hold(event)
	if err != nil {
		return err
	}
	if kept {
		shown()
		return nil
	}
	switch e := event.(type) {
	case overlay.Ready:
		err = t.ready(e)
	case overlay.Returned:
		err = t.say("*", fmt.Sprintf("found the network again: %s at %s", t.name(e.ID), OneLine(e.Address)))
	case overlay.KeyChanged:
		err = t.screen.Note(Note{Mark: "!", About: e.ID, Text: fmt.Sprintf("%s has another key than before (was %v, is %v): a new installation, or somebody else. What you write waits; /trust %s goes on", t.name(e.ID), e.Was, e.Is, e.ID)})
	case files.Offered:
		return t.offered(e, shown)
	case overlay.Removed:
		err = t.removed(e)
	case overlay.Redeemed:
		err = t.redeemed(e)
	case overlay.PeerJoined:
		if !e.Visitor {
			return t.screen.Event(event, shown)
		}
		if t.visitors == nil || len(t.visitors) >= maxVisitors {
			t.visitors = map[certs.ID]bool{}
		}
		t.visitors[e.ID] = true
	case overlay.PeerChanged:
		if t.visitors[e.ID] && !e.Visitor { // it stays
			delete(t.visitors, e.ID)
			_ = t.screen.Event(overlay.PeerJoined{ID: e.ID}, func() {}) // its error comes again
		}
		return t.screen.Event(event, shown)
	case overlay.PeerLeft:
		visited := t.visitors[e.ID]
		delete(t.visitors, e.ID)
		if !visited && e.Reason != overlay.ReasonRemoved { // the event Removed says it
			return t.screen.Event(event, shown)
		}
	default:
		return t.screen.Event(event, shown)
	}
	if err == nil {
		shown()
	}
	return err
}

// Execute carries out a typed line, except for sending, joining, the acts of an admin and offering files.
func (t *Frontend) Execute(ctx context.Context, n lines.Node, line []byte) (m lines.Message, leave bool, err error) {
	about := t.Edited
	t.Edited = Edited{}
	if !utf8.Valid(line) {
		return lines.Message{}, false, lines.Bad("the line is not UTF-8, nothing was sent")
	}
	c, err := parseTyped(string(line))
	if err != nil {
		return lines.Message{}, false, err
	}
	switch c.verb {
	case say:
		if c.to == "" {
			c.to = cmp.Or(t.front, overlay.Everyone)
		}
		return lines.Message{To: c.to, Body: c.text, Ref: lines.Excerpt(c.text)}, false, nil
	case away, back:
		err = t.setAway(n, c.text)
	case act, reply, answer, edit, unsay, react:
		m, err = t.refer(c, about)
		return m, false, err
	case onScreen:
		return lines.Message{}, false, lines.Bad("that is for a terminal, with line editing")
	case joinPeer:
		return lines.Message{Join: c.text}, false, lines.CheckJoin(c.text)
	case invite, uninvite, remove:
		return lines.Message{Act: c.act()}, false, nil
	case showQR:
		err = t.showTicket()
	case showPeers:
		err = t.peers(n.Peers())
	case showTable:
		err = t.table(n.Peers())
	case showBuffer:
		err = t.buffer(n.Waiting())
	case showNet:
		err = t.net(n.Net())
	case joinRoom, partRoom, frontRoom, showRooms:
		err = t.aboutRoom(n, c)
	case showStatus:
		err = t.status(n.Status())
	case showHistory, searchHistory:
		err = t.past(ctx, n, c)
	case withdraw:
		err = t.cancel(n, c.text)
	case ignorePeer:
		err = t.ignore(n, c.to)
	case unignorePeer:
		err = t.unignore(n, c.to)
	case sendFiles, getFiles, showFiles, dropFiles:
		m, err = t.aboutFiles(n, c)
		return m, false, err
	case pingPeer:
		return lines.Message{Ping: c.to}, false, nil
	case showWhois, trust, verify, forget:
		err = t.aboutPeer(n, c)
	case showHelp:
		err = t.block("what you can type:", typedHelp)
	}
	return lines.Message{}, c.verb == quit, err
}

// Refuse says why a line or its message was not accepted.
func (t *Frontend) Refuse(m lines.Message, problem error) error {
	if m.To == "" {
		return t.say("?", OneLine(lines.Problem(problem, false)))
	}
	return t.say("?", fmt.Sprintf("not sent (%s): %s", OneLine(lines.Problem(problem, m.IsWide())), OneLine(m.Ref)))
}

// Joined reports which peer has answered.
func (t *Frontend) Joined(m lines.Message, id certs.ID) error {
	return t.say("*", fmt.Sprintf("joined %s at %s", t.name(id), OneLine(m.Join)))
}

// Pinged reports a round trip.
func (t *Frontend) Pinged(m lines.Message, p overlay.Ping) error {
	way := "direct at " + OneLine(p.Address)
	switch p.How {
	case overlay.PingCarried:
		way = "carried"
	case overlay.PingLetters:
		way = "only as letters go"
	}
	if p.Via != "" {
		way += " via " + string(p.Via)
	}
	return t.say("*", fmt.Sprintf("pong of %s: %s, %s", t.name(p.ID), roundTrip(p.RTT), way))
}

// Left writes the last line.
func (t *Frontend) Left(undelivered int) error {
	s := "left"
	if undelivered > 0 {
		s += ", " + count(undelivered, "message") + " undelivered"
	}
	return t.screen.Last(Note{Mark: "*", Text: s})
}
