package chat

import (
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"quicpeer/certs"
	"quicpeer/internal/lines"
	"quicpeer/overlay"
)

// printer is the [Screen] that writes plain lines. They begin with the time, and a line with the date
// comes first when a new day has begun.
type printer struct {
	*style
	out *lines.Output

	mu  sync.Mutex // held while a line is written, so that the date comes before the first line of its day
	day string     // of the previous line
	in  certs.ID   // the block of the previous line

	paces paces // of the goroutine that shows events
}

// margin is before the lines of a block.
const margin = "    "

// Note writes a line, and what belongs to it.
func (p *printer) Note(n Note) error { return p.note(p.out.Write, n) }

// Last writes the last line.
func (p *printer) Last(n Note) error { return p.note(p.out.Last, n) }

func (p *printer) note(write func([]byte) (int, error), n Note) error {
	return p.put(write, block{}, func(_ time.Time, clock string) string {
		switch {
		case n.Block == "":
			return p.line(clock, n.Mark, n.Text)
		case p.look.Bare:
			return n.Block + "\n"
		}
		return p.line(clock, n.Mark, n.Text) + margin + strings.ReplaceAll(n.Block, "\n", "\n"+margin) + "\n"
	})
}

// Event writes an event.
func (p *printer) Event(event overlay.Event, shown func()) error {
	if err := p.event(event); err != nil {
		return err
	}
	shown()
	return nil
}

func (p *printer) event(event overlay.Event) error {
	say := func(mark, s string) error { return p.Note(Note{Mark: mark, Text: s}) }
	switch e := event.(type) {
	case overlay.PeerJoined:
		if e.Via != "" {
			return say("*", fmt.Sprintf("%s joined (via %s)", p.name(e.ID), e.Via))
		}
		return say("*", p.name(e.ID)+" joined")
	case overlay.PeerLeft:
		return say("*", p.name(e.ID)+howLeft(e.Reason))
	case overlay.Message:
		if e.Before {
			return p.bygone(e)
		}
		colon, body := wording(e.Said())
		return p.message(e, colon, body)
	case Offering:
		return p.message(e.Message, " offers ", e.Text())
	case overlay.Delivered:
		if p.look.Terminal {
			return say(p.dim("✓"), p.dim(fmt.Sprintf("%s: %s", e.To, OneLine(e.Ref))))
		}
		return say("*", fmt.Sprintf("delivered to %s: %s", e.To, OneLine(e.Ref)))
	case overlay.Buffered:
		return say("*", fmt.Sprintf("waiting for %s (%s): %s", p.name(e.To), OneLine(e.Reason), OneLine(e.Ref)))
	case overlay.Failed:
		return say("!", fmt.Sprintf("not delivered to %s (%s): %s", p.name(e.To), OneLine(e.Error), OneLine(e.Ref)))
	}
	if n, ok := FileNote(event, p.name); ok && p.paces.due(event, p.now()) {
		return p.Note(n)
	}
	return nil // the user has seen, or written, what was sent
}

// howLeft says, behind its name, how a peer left.
func howLeft(reason overlay.Reason) string {
	if reason == overlay.ReasonLost {
		return " was lost"
	}
	return " left"
}

// message writes a message: colon is between the name of its author and the body.
func (p *printer) message(e overlay.Message, colon, body string) error {
	from, plain := p.name(e.From), string(e.From)
	if e.NewKey {
		from, plain = from+" (new key)", plain+" (new key)"
	}
	switch {
	case overlay.IsRoom(e.To):
		from, plain = string(e.To)+" "+from, string(e.To)+" "+plain
	case e.To != overlay.Everyone:
		from, plain = from+" -> you", plain+" -> you"
	}
	if e.Kind == overlay.KindAction {
		from, plain = "· "+from, "· "+plain
	}
	return p.put(p.out.Write, block{}, func(now time.Time, clock string) string {
		if sent := Late(now, e.SentAt); sent != "" {
			from, plain = from+p.dim(sent), plain+sent
		}
		margin := strings.Repeat(" ", len(clock)+3)
		first := len(clock) + len(" ") + utf8.RuneCountInString(plain+colon)
		return fmt.Sprintf("%s %s%s%s\n", p.dim(clock), from, colon, indent(body, margin, first, p.look.Width()))
	})
}

// wording is what stands between the name of an author and a message of any kind, and its text.
func wording(s overlay.Said) (colon, body string) {
	body = Body(s)
	switch s.Kind {
	case overlay.KindAction:
		return " ", body
	case overlay.KindEdit:
		return " (edited): ", body
	case overlay.KindDelete:
		return ": ", "(has deleted a message)"
	case overlay.KindReaction:
		return ": ", "(reacts with " + body + ")"
	case overlay.KindFile:
		if OfferOf(s) != "" {
			return " ", body
		}
	}
	return ": ", body
}

// bygone shows a message from before this peer came: within a block that says from when on, so that
// it can't be taken for something said now.
func (p *printer) bygone(e overlay.Message) error {
	from := string(e.From)
	if e.NewKey {
		from += " (new key)"
	}
	if e.Unproved {
		from += " (not known)"
	}
	about := ""
	if e.To != overlay.Everyone {
		about = "in " + string(e.To) + " "
	}
	return p.put(p.out.Write, block{about: e.To, title: about + "before you came, from " + p.since(e.SentAt) + " on:"}, func(time.Time, string) string {
		colon, body := wording(e.Said())
		head := p.since(e.SentAt) + " " + from + colon
		text := head + indent(body, margin+strings.Repeat(" ", 2), len(margin)+len(head), p.look.Width())
		return margin + p.dimLines(text) + "\n"
	})
}

// Body is the body of a message as text: of data it says how much that is, and of an offer of files, what is
// offered.
func Body(s overlay.Said) string {
	if text := OfferOf(s); text != "" {
		return "offers " + text
	}
	switch {
	case !s.Binary:
		return s.Body
	case len(s.Body) < 1000:
		return fmt.Sprintf("[%s of data]", count(len(s.Body), "byte"))
	}
	return fmt.Sprintf("[%d kB of data]", (len(s.Body)+500)/1000)
}

func (p *printer) line(clock, mark, s string) string {
	if p.look.Bare {
		return s + "\n"
	}
	return fmt.Sprintf("%s %s %s\n", p.dim(clock), mark, s)
}

// block is where a line belongs: to what was said before this peer came, in a room or to everyone,
// under a title. Zero: nowhere.
type block struct {
	about certs.ID
	title string
}

// put writes what the function makes of the time, after a line with the date if the
// day has changed since the previous line, and between lines that begin and end a block.
func (p *printer) put(write func([]byte) (int, error), in block, lines func(now time.Time, clock string) string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now().Local()
	clock := now.Format(time.TimeOnly)
	if p.look.Terminal {
		clock = now.Format("15:04")
	}
	day, before := now.Format(time.DateOnly), p.day
	p.day = day
	if p.look.Dated {
		clock = day + " " + clock
	}
	s := lines(now, clock)
	if in.about != p.in {
		if in.about != "" {
			s = p.line(clock, "*", in.title) + s
		}
		if p.in != "" {
			s = p.line(clock, "*", "that was before you came") + s
		}
		p.in = in.about
	}
	if before != "" && before != day && !p.look.Dated && !p.look.Bare {
		s = p.line(clock, "*", now.Format("it is Monday, 2006-01-02")) + s
	}
	_, err := write([]byte(s))
	return err
}
