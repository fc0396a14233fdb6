package chat

import (
	"fmt"
	"strings"
	"time"

	"quicpeer/certs"
	"quicpeer/internal/lines"
	"quicpeer/overlay"
	"quicpeer/overlay/files"
)

// Offering is an offer of another peer for a Screen: the message that it was, with what was made of it.
type Offering struct {
	overlay.Message
	Offer files.Offered
}

// Text is what is offered, behind the name of who offers it: a line, and the names below it, each on one line.
func (o Offering) Text() string {
	e := o.Offer
	s := fmt.Sprintf("%d: %s (%s)", e.File, OneLine(e.Name), amount(e.Files, e.Size))
	switch {
	case e.Declined:
		return s + "; declined, since this peer takes no files"
	case e.Accepted:
		s += "; it comes into " + OneLine(e.Dir)
	default:
		s += fmt.Sprintf("; /get %d takes it", e.File)
	}
	if e.Path == overlay.PathRelayed {
		s += ", over other peers and so slower"
	}
	if e.Note != "" {
		s += "\nnote: " + OneLine(e.Note)
	}
	if e.Files == 1 && len(e.Names) == 1 && e.Names[0] == e.Name {
		return s
	}
	for _, name := range e.Names {
		s += "\n" + OneLine(name)
	}
	if more := e.Files - len(e.Names); more > 0 {
		s += fmt.Sprintf("\nand %d more; /files %d names all", more, e.File)
	}
	return s
}

// OfferOf is what a message of the history offers, on one line, escaped; empty: it is not an offer, or not a readable one.
func OfferOf(s overlay.Said) string {
	if s.Kind != overlay.KindFile {
		return ""
	}
	o, err := files.ParseOffer(s.Body)
	if err != nil {
		return ""
	}
	text := fmt.Sprintf("%s (%s)", OneLine(o.Name), amount(o.Files, o.Size))
	if o.Note != "" {
		text += ": " + OneLine(o.Note)
	}
	return text
}

// held is an offer whose number is about to come; its Kind is empty where there is none.
type held struct{ overlay.Message }

// hold keeps a message that offers files until it has a number, and shows what was held before, if that is something
// else than the event is about.
func (t *filing) hold(event overlay.Event) (kept bool, err error) {
	before := t.offer
	t.offer = held{}
	o, isOffered := event.(files.Offered)
	if isOffered && o.Message == before.ID { // shown by offered
		t.offer = before
		return false, nil
	}
	if before.Kind != "" { // it was not taken up: too many are open, perhaps
		err = t.screen.Event(before.Message, func() {})
	}
	if m, ok := event.(overlay.Message); ok && !m.Before && OfferOf(m.Said()) != "" {
		t.offer = held{m}
		return true, err
	}
	return false, err
}

// offered shows an offer, which has a number now.
func (t *filing) offered(e files.Offered, shown func()) error {
	if e.From != t.self {
		m := t.offer.Message
		if t.offer = (held{}); m.ID != e.Message {
			m = overlay.Message{ID: e.Message, From: e.From, To: e.To, Path: e.Path, Kind: overlay.KindFile, SentAt: t.now()}
		}
		return t.screen.Event(Offering{m, e}, shown)
	}
	n := Note{Mark: "*", About: e.To}
	to := t.name(e.To)
	if e.To == overlay.Everyone {
		n.About, to = "", "everyone"
	}
	n.Text = fmt.Sprintf("%d is offered to %s: %s (%s); /drop %d withdraws it", e.File, to, OneLine(lines.Excerpt(e.Name)), amount(e.Files, e.Size), e.File)
	if e.Path == overlay.PathRelayed {
		n.Text += "; it goes over other peers, slower"
	}
	var rows []string
	for i, s := range e.Skipped {
		if i == maxListed {
			rows = append(rows, fmt.Sprintf("and %d more", len(e.Skipped)-i))
			break
		}
		rows = append(rows, "not sent: "+OneLine(s.Path)+": "+OneLine(s.Why))
	}
	n.Block = strings.Join(rows, "\n")
	if err := t.screen.Note(n); err != nil {
		return err
	}
	shown()
	return nil
}

// FileNote is what an event of a transfer has to say; name writes the ID of a peer. It returns false for other
// events.
func FileNote(event overlay.Event, name func(certs.ID) string) (n Note, ok bool) {
	title := func(file int, s string) string { return fmt.Sprintf("%d %s", file, OneLine(lines.Excerpt(s))) }
	n.Mark = "*"
	switch e := event.(type) {
	case files.Progress:
		way := "from"
		if e.Ours {
			way = "to"
		}
		n.Text = fmt.Sprintf("%s %s %s: %s", title(e.File, e.Name), way, name(e.Peer), pace(e.Bytes, e.Of, e.Rate, e.Left))
	case files.Waits:
		n.About, n.Text = e.Peer, fmt.Sprintf("%s waits (%s)", title(e.File, e.Name), OneLine(e.Reason))
	case files.Done:
		n.About, n.Text = e.Peer, fmt.Sprintf("%s is at %s", title(e.File, e.Name), OneLine(strings.Join(e.Paths, ", ")))
		if e.Path == "" {
			n.Text = fmt.Sprintf("%s has %s", name(e.Peer), title(e.File, e.Name))
		}
	case files.Ended:
		n.About, n.Text = e.Peer, title(e.File, e.Name)
		if e.Peer != "" {
			n.Text += " (" + name(e.Peer) + ")"
		}
		if e.Cancelled {
			n.Text += " was cancelled"
		} else {
			n.Mark, n.Text = "!", n.Text+" has failed"
		}
		if e.Error != "" && e.Error != "cancelled" {
			n.Text += ": " + OneLine(e.Error)
		}
	default:
		return n, false
	}
	return n, true
}

// paces are when the progress of transfers was printed last.
type paces map[transfer]time.Time

// transfer is one with one peer.
type transfer struct {
	file int
	peer certs.ID
}

const (
	paceEvery = 10 * time.Second // between two lines of one transfer
	maxPaces  = 1000             // transfers, a guess; then it begins again
)

// due says whether an event of a transfer is to be printed.
func (p *paces) due(event overlay.Event, now time.Time) bool {
	switch e := event.(type) {
	case files.Progress:
		key := transfer{e.File, e.Peer}
		if last, ok := (*p)[key]; ok && now.Sub(last) < paceEvery {
			return false
		}
		if *p == nil || len(*p) >= maxPaces {
			*p = paces{}
		}
		(*p)[key] = now
	case files.Waits:
		delete(*p, transfer{e.File, e.Peer})
	case files.Done:
		delete(*p, transfer{e.File, e.Peer})
	case files.Ended:
		delete(*p, transfer{e.File, e.Peer})
	}
	return true
}
