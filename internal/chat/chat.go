// Package chat speaks with people: typed lines in, lines to read out, on a terminal or
// not. What others have written is shown so that it can't pass for anything else.
package chat

import (
	"fmt"
	"hash/fnv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"quicpeer/certs"
	"quicpeer/internal/lines"
	"quicpeer/overlay"
)

// Speaker speaks with people: typed lines in, lines to read out. Every line of its
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
type Speaker struct {
	out    *lines.Output
	look   Look
	now    func() time.Time
	listed []overlay.Outgoing // by /cancel; of the goroutine that obeys

	mu  sync.Mutex // held while a line is written, so that the date stands before the first of its day
	day string     // of the last line
}

// Look is how the lines look.
type Look struct {
	Terminal bool // short times, and a mark for what was delivered
	Dated    bool // each line has its date
	Colour   bool
	Width    func() int // of the terminal, 0 where there is none
}

// New makes a speaker that writes to out.
func New(out *lines.Output, look Look) *Speaker {
	return &Speaker{out: out, look: look, now: time.Now}
}

// Show writes an event.
func (t *Speaker) Show(event overlay.Event) error {
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

func (t *Speaker) message(e overlay.Message) error {
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
func (t *Speaker) sent(now, at time.Time) string {
	if now.Sub(at) <= time.Minute || at.Before(firstMessage) {
		return ""
	}
	return " (sent " + t.since(at) + ")"
}

// firstMessage is when this protocol was made.
var firstMessage = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// Obey does what a typed line says, but for sending.
func (t *Speaker) Obey(n lines.Node, line []byte) (m lines.Message, leave bool, err error) {
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
func (t *Speaker) Refuse(m lines.Message, problem error) error {
	if m.To == "" {
		return t.say("?", OneLine(lines.Problem(problem, false)))
	}
	return t.say("?", fmt.Sprintf("not sent (%s): %s", OneLine(lines.Problem(problem, m.To == overlay.Everyone)), OneLine(m.Ref)))
}

// Joined says who has let this peer in.
func (t *Speaker) Joined(m lines.Message, id certs.ID) error {
	return t.say("*", fmt.Sprintf("joined %s at %s", t.name(id), OneLine(m.Join)))
}

// Left is the last line.
func (t *Speaker) Left(undelivered int) error {
	s := "left"
	if undelivered > 0 {
		s += ", " + count(undelivered, "message") + " undelivered"
	}
	return t.put(t.out.Last, func(_ time.Time, clock string) string { return t.line(clock, "*", s) })
}

func (t *Speaker) peers(peers []overlay.Peer) error {
	if len(peers) == 0 {
		return t.say("*", "nobody else is here")
	}
	names := make([]string, len(peers))
	for i, p := range peers {
		names[i] = t.name(p.ID)
	}
	return t.say("*", count(len(peers), "peer")+" here: "+strings.Join(names, ", "))
}

// table shows the routing table. How says how the peer is reached: over a
// connection, or over which neighbour.
func (t *Speaker) table(peers []overlay.Peer) error {
	if len(peers) == 0 {
		return t.say("*", "the routing table is empty: nobody else is here")
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tSTATE\tHOW\tRTT\tADDRESSES\tKEY")
	for _, p := range peers {
		how, rtt := "-", "-"
		if p.Direct {
			how = "direct"
		} else if p.Via != "" {
			how = "via " + string(p.Via)
		}
		if p.RTT > 0 {
			rtt = fmt.Sprintf("%.1f ms", float64(p.RTT.Round(time.Microsecond))/float64(time.Millisecond))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%v\n", p.ID, p.State, how, rtt, OneLine(strings.Join(p.Addresses, " ")), p.Key)
	}
	w.Flush()
	return t.block(count(len(peers), "peer")+" in the routing table:", strings.TrimSuffix(b.String(), "\n"))
}

func (t *Speaker) buffer(waiting []overlay.Waiting) error {
	if len(waiting) == 0 {
		return t.say("*", "no messages are waiting")
	}
	items := make([]string, len(waiting))
	for i, w := range waiting {
		items[i] = fmt.Sprintf("%d for %s (since %s)", w.Count, t.name(w.To), t.since(w.Since))
	}
	return t.say("*", "waiting: "+strings.Join(items, ", "))
}

// since is a local time, with its date where the time alone could be another day's.
func (t *Speaker) since(at time.Time) string {
	if t.now().Sub(at).Abs() < 24*time.Hour {
		return at.Local().Format("15:04")
	}
	return at.Local().Format("2006-01-02 15:04")
}

// say writes a line of ours.
func (t *Speaker) say(mark, s string) error {
	return t.write(func(_ time.Time, clock string) string { return t.line(clock, mark, s) })
}

func (t *Speaker) line(clock, mark, s string) string {
	return fmt.Sprintf("%s %s %s\n", t.dim(clock), mark, s)
}

// block writes a line and, set in, those that belong to it.
func (t *Speaker) block(title, lines string) error {
	return t.write(func(_ time.Time, clock string) string {
		return t.line(clock, "*", title) + "    " + strings.ReplaceAll(lines, "\n", "\n    ") + "\n"
	})
}

// write writes what lines makes of the time.
func (t *Speaker) write(lines func(now time.Time, clock string) string) error {
	return t.put(t.out.Write, lines)
}

// put writes what lines makes of the time, behind a line with the date if it is
// another day than that of the line before.
func (t *Speaker) put(write func([]byte) (int, error), lines func(now time.Time, clock string) string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now().Local()
	clock := now.Format(time.TimeOnly)
	if t.look.Terminal {
		clock = now.Format("15:04")
	}
	day, before := now.Format(time.DateOnly), t.day
	t.day = day
	if t.look.Dated {
		clock = day + " " + clock
	}
	s := lines(now, clock)
	if before != "" && before != day && !t.look.Dated {
		s = t.line(clock, "*", now.Format("it is Monday, 2006-01-02")) + s
	}
	_, err := write([]byte(s))
	return err
}

func (t *Speaker) dim(s string) string {
	if !t.look.Colour {
		return s
	}
	return "\x1b[2m" + s + "\x1b[0m"
}

// name is an ID in its colour, which is the same everywhere and always.
func (t *Speaker) name(id certs.ID) string {
	if !t.look.Colour {
		return string(id)
	}
	colours := []int{31, 32, 33, 34, 35, 36, 91, 92, 93, 94, 95, 96} // all but black, white and greys
	h := fnv.New32a()
	h.Write([]byte(id))
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", colours[h.Sum32()%uint32(len(colours))], id)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
