// Package hearsay bounds what we believe of peers that we know by the word of others alone: a
// member can invent as many as it likes.
package hearsay

import (
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/detect"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/route"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// A peer that is in the table by the word of others alone may not exist. So each host that names peers to
// us, over whatever links, is believed up to a number: small at first, and twice as large with each
// of those peers that proves to live, by a link to us, a pong, or a witness that hears it. A few of
// them are probed; one that does not live costs the host four others (link.Word). What exceeds the
// number is on trial: it is pinged by way of the link that has named it, and enters the table, to be
// shown and passed on, when it answers. What exceeds that too is dropped before its signature is
// judged. When the host is believed further, the tables are compared, which brings it again.
//
// So inventions fill no table, and hardly go beyond the peers that their inventor is linked to; two
// networks that meet become one about as fast as probes are answered. Whoever answers for all that
// it invents is believed: that costs it as much as running so many peers. The table that a newcomer
// takes from its door is believed as it is; honest doors have believed little of inventors.

// Bounds, guesses.
const (
	maxWords     = 1024             // hosts; one without a link is forgotten for another
	samples      = 4                // probed at once, of one host's claims
	sampledFirst = 5 * time.Second  // after it was named as next to the namer: a newcomer gets the time to join
	sampledLater = 15 * time.Second // after it was named as farther away: those next to it look first
	sampledSoon  = 2 * time.Second  // after it was named by a host of which no more is believed
	liesInARow   = 3                // and all that a host has made us believe is doubted
	maxTries     = 3                // pings of one trial: in triedFor, twice and four times that
	triedFor     = time.Second
	maxDismissed = 4096
	dismissedFor = 5 * time.Minute
)

// Hearsay judges what links say of peers that we have not met.
type Hearsay struct {
	*base.Env
	table  *table.Table
	links  *link.Links
	routes *route.Routes
	doubt  *link.Doubt
	probes *detect.Probes

	words     []*link.Word
	onTrial   map[certs.PublicKey]bool
	dismissed map[certs.PublicKey]time.Duration // that have not answered, until when
	order     []certs.PublicKey                 // of these, the oldest first
}

// New returns the judge of a peer that has heard nothing yet.
func New(en *base.Env, t *table.Table, ls *link.Links, rt *route.Routes, db *link.Doubt, pr *detect.Probes) *Hearsay {
	return &Hearsay{
		Env: en, table: t, links: ls, routes: rt, doubt: db, probes: pr,
		onTrial: make(map[certs.PublicKey]bool), dismissed: make(map[certs.PublicKey]time.Duration),
	}
}

// Believed: the trial of a peer is over.
type Believed struct {
	By    *link.Link
	News  link.News
	Lives bool // it has answered; else its host is believed now
}

// Grown: the word of a link's host counts for more, and some that the link has named were dropped.
type Grown struct{ Link *link.Link }

// Hear gives a link that is up the word of its host.
func (h *Hearsay) Hear(l *link.Link) {
	host := l.HostOf()
	i := slices.IndexFunc(h.words, func(w *link.Word) bool { return w.Host == host })
	if i >= 0 {
		l.Word = h.words[i]
		return
	}
	if len(h.words) >= maxWords {
		idle := slices.IndexFunc(h.words, func(w *link.Word) bool { return h.linkOf(w) == nil })
		if idle >= 0 {
			for _, t := range h.words[idle].Trials {
				delete(h.onTrial, t.News.Record.Key)
			}
			h.words = slices.Delete(h.words, idle, idle+1)
		}
	}
	l.Word = &link.Word{Host: host}
	h.words = append(h.words, l.Word)
}

// linkOf is a link of the host of the word; nil: there is none.
func (h *Hearsay) linkOf(w *link.Word) *link.Link {
	for _, l := range h.links.List {
		if l.Word == w && l.State == link.LinkUp {
			return l
		}
	}
	return nil
}

// isHearsay reports whether a link speaks of a peer, not itself, that we don't know. The table that
// a newcomer asks for is exempt.
func (h *Hearsay) isHearsay(from *link.Link, n link.News) bool {
	return from != nil && from.Word != nil && n.Record.Key != from.Key && (h.Ready || from.Exchange == nil) &&
		h.table.Lookup(n.Record.Tag, n.Record.ID, n.Record.Key) == nil
}

// Refuses reports whether news is not even worth judging its signature.
func (h *Hearsay) Refuses(from *link.Link, n link.News) bool {
	if !h.isHearsay(from, n) {
		return false
	}
	w, key := from.Word, n.Record.Key
	switch until, dismissed := h.dismissed[key]; {
	case n.State == pb.AnnouncementType_REMOVED:
		return false
	case n.State != pb.AnnouncementType_JOIN:
		return !w.MayBury(h.Now, false) || dismissed && h.Now < until
	case w.Good > 0 && w.Believes(h.Now): // whatever another host's word was worth
		return false
	case dismissed && h.Now < until, h.onTrial[key], !w.Believes(h.Now) && !w.MayTry():
		from.Refused = true
		return true
	}
	return false
}

// Believes reports whether verified news may enter the table. If not, its subject is put on trial,
// or the news dropped.
func (h *Hearsay) Believes(from *link.Link, n link.News) bool {
	switch {
	case !h.isHearsay(from, n) || n.State == pb.AnnouncementType_REMOVED:
		return true
	case h.Refuses(from, n):
	case n.State != pb.AnnouncementType_JOIN:
		return from.Word.MayBury(h.Now, true)
	case from.Word.Believes(h.Now):
		return true
	default:
		from.Word.Trials = append(from.Word.Trials, &link.Trial{Link: from.ID, News: n, Number: h.Cfg.Rand.Uint64(), Next: h.Now})
		h.onTrial[n.Record.Key] = true
		h.Wake(h.Now)
	}
	return false
}

// Told counts whom we have believed.
func (h *Hearsay) Told(ch link.Change) {
	from := ch.From
	if ch.Old == nil && from != nil && from.Word != nil && ch.News.State == pb.AnnouncementType_JOIN && ch.Entry.Record.Key != from.Key && (h.Ready || from.Exchange == nil) {
		due := sampledFirst
		if ch.News.Hops > 1 {
			due = sampledLater
		}
		from.Word.Took(ch.Entry, h.Now, h.Now+due)
	}
}

// Lives takes note that a peer of the table was heard, by us or by a witness.
func (h *Hearsay) Lives(e *table.Entry) {
	for _, w := range h.words {
		if i := w.Find(e); i >= 0 {
			w.Claims = slices.Delete(w.Claims, i, i+1)
			w.Lives(h.Now)
			h.resume(w)
		}
	}
}

// Ended takes note of the outcome of a trial, once its subject has entered the table.
func (h *Hearsay) Ended(what Believed) {
	r := what.News.Record
	if e := h.table.Lookup(r.Tag, r.ID, r.Key); e != nil && what.Lives {
		h.Lives(e)
	}
}

// Lied takes note that a peer of the table, as we have found out, is not heard by anybody. After some
// in a row we accuse all others that their host has made us believe: those that live refute it, and
// that costs less than a probe of each.
func (h *Hearsay) Lied(e *table.Entry) {
	for _, w := range h.words {
		i := w.Find(e)
		if i < 0 {
			continue
		}
		looked := w.Claims[i].Looked // else it was found out by chance, perhaps in a cut
		w.Claims = slices.Delete(w.Claims, i, i+1)
		if looked {
			w.Lied(h.Now)
		}
		if !looked || w.Lies < liesInARow {
			continue
		}
		rest := w.Claims
		w.Claims = nil
		for _, c := range rest {
			if c.Entry.Alive() {
				h.Happen(detect.Accused{Entry: c.Entry})
			}
		}
	}
}

// resume goes on with a host that is believed further than before: with those on trial, and with
// those that were dropped.
func (h *Hearsay) resume(w *link.Word) {
	if w.Good > 0 { // as many as one that lives speaks for: no more are on trial
		for len(w.Trials) > 0 {
			h.believe(w, w.Trials[0], false)
		}
	}
	h.compare(w)
	h.sample(w)
}

// compare has the tables compared with those whose words were refused, and count for more now.
func (h *Hearsay) compare(w *link.Word) {
	for _, l := range h.links.List {
		if l.Word == w && l.Refused && l.State == link.LinkUp && w.Good > 0 && w.Believes(h.Now) {
			l.Refused = false
			h.Happen(Grown{l})
		}
	}
}

func (h *Hearsay) believe(w *link.Word, t *link.Trial, lives bool) {
	h.end(w, t)
	h.Happen(Believed{h.links.Link(t.Link), t.News, lives})
}

func (h *Hearsay) end(w *link.Word, t *link.Trial) {
	w.Trials = slices.DeleteFunc(w.Trials, func(u *link.Trial) bool { return u == t })
	delete(h.onTrial, t.News.Record.Key)
}

// Pursue looks at some of those that we have believed, and pings those on trial.
func (h *Hearsay) Pursue() {
	for _, w := range h.words {
		w.Fade(h.Now)
		h.judge(w)
		h.sample(w)
		h.try(w)
		h.compare(w)
	}
}

// judge drops the claims about peers that have gone meanwhile. That others have called one lost says
// nothing about who has named it; that we have, while it was probed, does.
func (h *Hearsay) judge(w *link.Word) {
	w.Claims = slices.DeleteFunc(w.Claims, func(c link.Claim) bool {
		e := c.Entry
		return e.Buried() && !h.probes.IsProbed(e) || h.table.Lookup(e.Record.Tag, e.Record.ID, e.Record.Key) != e
	})
}

// sample probes some of the claims of a host, if they press.
func (h *Hearsay) sample(w *link.Word) {
	if len(w.Claims) == 0 || !w.Presses(h.Now) || h.doubt.Doubtful() {
		return
	}
	room := samples
	for _, c := range w.Claims {
		if h.probes.IsProbed(c.Entry) {
			room--
		}
	}
	for _, c := range slices.Clone(w.Claims) {
		if room > 0 && (h.Now >= c.Due || h.Now >= c.Taken+sampledSoon && !w.Believes(h.Now)) && !h.probes.IsProbed(c.Entry) && h.probes.Check(c.Entry) {
			w.Look(c) // if the probe finds out nothing, the others come first
			room--
		}
	}
}

// try pings those on trial. Those that don't answer are dismissed for a while: a comparison would
// bring them again at once.
func (h *Hearsay) try(w *link.Word) {
	for _, t := range slices.Clone(w.Trials) {
		l := h.links.Link(t.Link)
		switch {
		case l == nil || l.State != link.LinkUp:
			h.end(w, t)
		case h.Now < t.Next || h.doubt.Doubtful():
		case t.Tries == maxTries:
			h.end(w, t)
			h.dismiss(t.News.Record.Key)
			w.Failed(h.Now)
			l.Refused = true
		default:
			r := t.News.Record
			h.routes.SendBy(l, r.ID, &pb.Routed{Content: &pb.Routed_Ping{Ping: &pb.Ping{Number: t.Number, Key: r.Key[:]}}})
			t.Next = h.Now + h.doubt.Stretch(triedFor<<t.Tries) + l.Slowness()
			t.Tries++
		}
	}
}

func (h *Hearsay) dismiss(key certs.PublicKey) {
	if len(h.order) >= maxDismissed {
		delete(h.dismissed, h.order[0])
		h.order = h.order[1:]
	}
	if _, ok := h.dismissed[key]; !ok {
		h.order = append(h.order, key)
	}
	h.dismissed[key] = h.Now + dismissedFor
}

// ReceivePong takes the answer of a peer on trial.
func (h *Hearsay) ReceivePong(from certs.ID, m *pb.Ping) {
	for _, w := range h.words {
		for _, t := range w.Trials {
			if t.Number == m.GetNumber() && t.News.Record.ID == from {
				h.believe(w, t, true)
				return
			}
		}
	}
}
