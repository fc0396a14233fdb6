// Package chat speaks with people: typed lines in, lines to read out, on a terminal or
// not. What others have written is shown so that it can't pass for anything else.
package chat

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"quicpeer/certs"
	"quicpeer/internal/lines"
	"quicpeer/overlay"
)

// Frontend speaks with people: typed lines in, lines to read out. Every line of its
// own begins with the local time (12:01:05, on a terminal 12:01; without an input,
// where nobody talks but something is written down, with the date before it), every
// other one with blanks, so that no text of others can pass for a line of its own:
//
//	12:01:05 * you are bob, SHA256:…, listening on 192.168.1.5:5000
//	12:01:05 * alice joined              or: * alice joined (via carol)
//	12:01:05 * alice left                or: * alice was lost
//	12:01:05 alice: to everyone
//	12:01:05 alice -> you: to this peer alone
//	12:01:05 alice -> you (sent 11:40): more than a minute ago, by her clock
//	00:00:05 * it is Thursday, 2026-03-05
//	12:01:05 * delivered to alice: hello
//	12:01:05 * waiting for alice (why): hello
//	12:01:05 ! not delivered to alice (why): hello
//	12:01:05 * joined alice at 192.168.1.5:5000
//	12:01:05 ? what is wrong with a typed line
//	12:01:05 ? not sent (why): hello
//	12:01:05 * left                      or: * left, 2 messages undelivered
//
// A text that was sent is known by the ref of its message, which is its beginning.
type Frontend struct {
	printer
	listed []overlay.Outgoing // by /cancel; of the goroutine that obeys
}

// New makes a front that writes to out.
func New(out *lines.Output, look Look) *Frontend {
	return &Frontend{printer: printer{out: out, look: look, now: time.Now}}
}

// Show writes an event.
func (t *Frontend) Show(event overlay.Event) error {
	switch e := event.(type) {
	case overlay.Ready:
		return t.say("*", fmt.Sprintf("you are %s, %v, listening on %s", t.name(e.ID), e.Key, OneLine(strings.Join(e.Listen, ", "))))
	case overlay.PeerJoined:
		if e.Via != "" {
			return t.say("*", fmt.Sprintf("%s joined (via %s)", t.name(e.ID), e.Via))
		}
		return t.say("*", t.name(e.ID)+" joined")
	case overlay.PeerLeft:
		if e.Reason == overlay.ReasonLost {
			return t.say("*", t.name(e.ID)+" was lost")
		}
		return t.say("*", t.name(e.ID)+" left")
	case overlay.Message:
		return t.message(e)
	case overlay.Delivered:
		if t.look.Terminal {
			return t.say(t.dim("✓"), t.dim(fmt.Sprintf("%s: %s", e.To, OneLine(e.Ref))))
		}
		return t.say("*", fmt.Sprintf("delivered to %s: %s", e.To, OneLine(e.Ref)))
	case overlay.Buffered:
		return t.say("*", fmt.Sprintf("waiting for %s (%s): %s", t.name(e.To), OneLine(e.Reason), OneLine(e.Ref)))
	case overlay.Failed:
		return t.say("!", fmt.Sprintf("not delivered to %s (%s): %s", t.name(e.To), OneLine(e.Error), OneLine(e.Ref)))
	}
	return nil // what was sent is on the screen, or known to the writer
}

func (t *Frontend) message(e overlay.Message) error {
	from, plain := t.name(e.From), string(e.From)
	if e.To != overlay.Everyone {
		from, plain = from+" -> you", plain+" -> you"
	}
	return t.write(func(now time.Time, clock string) string {
		if sent := t.sent(now, e.SentAt); sent != "" {
			from, plain = from+t.dim(sent), plain+sent
		}
		margin := strings.Repeat(" ", len(clock)+3)
		first := len(clock) + len(plain) + len(" : ")
		return fmt.Sprintf("%s %s: %s\n", t.dim(clock), from, indent(e.Body, margin, first, t.look.Width()))
	})
}

// sent says when a message was sent that comes late. A clock that is ahead of ours, or
// that shows a time before there was such a message, was never set: it tells nothing.
func (t *Frontend) sent(now, at time.Time) string {
	if now.Sub(at) <= time.Minute || at.Before(firstMessage) {
		return ""
	}
	return " (sent " + t.since(at) + ")"
}

// firstMessage is when this protocol was made.
var firstMessage = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// Execute does what a typed line says, but for sending.
func (t *Frontend) Execute(n lines.Node, line []byte) (m lines.Message, leave bool, err error) {
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
			c.to = overlay.Everyone
		}
		return lines.Message{To: c.to, Body: c.text, Ref: lines.Excerpt(c.text)}, false, nil
	case joinPeer:
		return lines.Message{Join: c.text}, false, nil
	case showPeers:
		err = t.peers(n.Peers())
	case showTable:
		err = t.table(n.Peers())
	case showBuffer:
		err = t.buffer(n.Waiting())
	case showNet:
		err = t.net(n.Net())
	case withdraw:
		err = t.cancel(n, c.text)
	case showHelp:
		err = t.block("what you can type:", typedHelp)
	}
	return lines.Message{}, c.verb == quit, err
}

// Refuse says why a line, or the message that it was, is not accepted.
func (t *Frontend) Refuse(m lines.Message, problem error) error {
	if m.To == "" {
		return t.say("?", OneLine(lines.Problem(problem, false)))
	}
	return t.say("?", fmt.Sprintf("not sent (%s): %s", OneLine(lines.Problem(problem, m.To == overlay.Everyone)), OneLine(m.Ref)))
}

// Joined says who has let this peer in.
func (t *Frontend) Joined(m lines.Message, id certs.ID) error {
	return t.say("*", fmt.Sprintf("joined %s at %s", t.name(id), OneLine(m.Join)))
}

// Left is the last line.
func (t *Frontend) Left(undelivered int) error {
	s := "left"
	if undelivered > 0 {
		s += ", " + count(undelivered, "message") + " undelivered"
	}
	return t.put(t.out.Last, func(_ time.Time, clock string) string { return t.line(clock, "*", s) })
}
