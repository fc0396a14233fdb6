package tui

import (
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"quicpeer/certs"
	"quicpeer/internal/chat"
	"quicpeer/overlay"
	"quicpeer/overlay/files"
)

// talk is what is said, and by whom: the conversations, and who is here. It draws nothing.
type talk struct {
	cfg *Config
	convs
	crowd  crowd
	quiet  bool // nobody's coming and going is shown
	unseen bool // the end of the conversation in front is not on the screen
	news   news
	acts   acts
	files  underway
}

// acts are this peer's edits and the like that have no receipt yet.
type acts map[overlay.MessageID]bool

// maxActs is how many are remembered, a guess; then it begins again.
const maxActs = 1000

func (a *acts) add(id overlay.MessageID) {
	if *a == nil || len(*a) >= maxActs {
		*a = acts{}
	}
	(*a)[id] = true
}

func (a acts) take(id overlay.MessageID) bool {
	was := a[id]
	delete(a, id)
	return was
}

// news is what has come since it was taken.
type news struct {
	entries []*entry // in their order, for the scrollback
	notices []*entry // of these, those that the user is told of while he looks elsewhere
	soon    bool     // something was collected, which calmDown shows
}

// take returns the news, once.
func (t *talk) take() news {
	n := t.news
	t.news = news{}
	return n
}

// tell adds an entry to the news.
func (t *talk) tell(e *entry) { t.news.entries = append(t.news.entries, e) }

// put adds something to the talk.
func (t *talk) put(i item) {
	switch {
	case i.event != nil:
		t.event(i.event)
	case i.note != nil:
		if t.crowd.begun || i.last {
			t.calmDown()
		}
		t.remark(*i.note)
	case i.log != "":
		for _, row := range strings.Split(strings.TrimRight(i.log, "\n"), "\n") {
			t.remark(chat.Note{Mark: "!", Text: chat.OneLine(ansi.Strip(row))})
		}
	case i.part != "":
		t.drop(i.part)
	case i.past != nil:
		t.earlier(i)
	}
}

// remark adds a note to the conversation that it is about, or to that in front.
func (t *talk) remark(n chat.Note) {
	v := t.front
	if n.About != "" {
		if about := t.find(n.About); about != nil {
			v = about
		}
	}
	t.remarkIn(v, n)
}

func (t *talk) remarkIn(v *conv, n chat.Note) {
	e := &entry{at: t.cfg.Now(), note: n}
	v.push(e)
	t.tell(e)
}

func (t *talk) event(event overlay.Event) {
	switch e := event.(type) {
	case overlay.PeerJoined:
		t.crowd.joins(e.ID)
		t.news.soon = true
	case overlay.PeerChanged:
		t.crowd.isAway(e.ID, e.Tags[chat.AwayTag])
		if v := t.find(e.ID); v != nil {
			v.told = ""
		}
	case overlay.PeerLeft:
		t.crowd.leaves(e.ID, e.Reason == overlay.ReasonLost)
		t.news.soon = true
	case overlay.Message:
		if t.crowd.moved(e.From) {
			t.calmDown()
		}
		t.heard(t.newEntry(t.cfg.Now(), e.Said()))
	case chat.Offering:
		if t.crowd.moved(e.From) {
			t.calmDown()
		}
		offer := t.newEntry(t.cfg.Now(), e.Said())
		offer.offer = e.Text()
		t.heard(offer)
	case overlay.Sent:
		if chat.OfferOf(e.Said("", t.cfg.Key)) != "" {
			return // a note has its number
		}
		t.heard(t.newEntry(t.cfg.Now(), e.Said(t.cfg.Self, t.cfg.Key)))
	case overlay.Delivered:
		t.delivered(e)
	case overlay.Buffered:
		t.fate(e.To, e.Message, overlay.StateWaiting, e.Reason)
		t.remark(chat.Note{Mark: "*", About: e.To, Text: fmt.Sprintf("waiting for %s (%s): %s", t.colour(e.To), chat.OneLine(e.Reason), t.excerptOf(e.To, e.Message, e.Ref))})
	case overlay.Failed:
		t.fate(e.To, e.Message, overlay.StateFailed, e.Error)
		t.remark(chat.Note{Mark: "!", About: e.To, Text: fmt.Sprintf("not delivered to %s (%s): %s", t.colour(e.To), chat.OneLine(e.Error), t.excerptOf(e.To, e.Message, e.Ref))})
	default:
		t.files.note(event, t.cfg.Now())
		if _, ok := event.(files.Progress); ok {
			return // the row has it
		}
		if n, ok := chat.FileNote(event, t.colour); ok {
			t.remark(n)
		}
	}
}

// tellAway says, once, that the receiver of a message is away.
func (t *talk) tellAway(v *conv) {
	if text := t.crowd.away[v.name]; text != "" && v.told != text {
		v.told = text
		t.remark(chat.Note{Mark: "*", About: v.name, Text: t.colour(v.name) + " is away: " + clip(text, maxBrief)})
	}
}

// colour is the name of a peer in its colour.
func (t *talk) colour(id certs.ID) string {
	if !t.cfg.Colour {
		return string(id)
	}
	return chat.Name(id)
}

// newEntry makes an entry of a message.
func (t *talk) newEntry(at time.Time, s overlay.Said) *entry {
	return &entry{at: at, message: message{said: s, offer: chat.OfferOf(s), mine: s.From == t.cfg.Self && s.Key == t.cfg.Key}}
}

// place is the conversation of a message.
func (t *talk) place(e *entry) *conv {
	if e.said.To == overlay.Everyone || overlay.IsRoom(e.said.To) || e.mine {
		return t.get(e.said.To)
	}
	return t.get(e.said.From)
}

// heard adds a message, and notes that it is there.
func (t *talk) heard(e *entry) {
	v := t.place(e)
	v.quote(e)
	if !refer(v, e) {
		v.push(e)
	}
	t.tell(e)
	if e.mine {
		t.tellAway(v)
	}
	if e.mine && refers(e) {
		t.acts.add(e.said.ID)
	}
	if e.mine || e.said.Before || refers(e) {
		return
	}
	t.spoke(e.said.From)
	named := v.name == e.said.From || isNamed(e.said.Body, t.cfg.Self)
	if v != t.front || t.unseen {
		v.missed(e, named)
	}
	if v.notify.wants(named) {
		t.news.notices = append(t.news.notices, e)
	}
}

// refer applies an edit, a deletion or a reaction to the message that it is about. It returns false if that is not
// here, or is not by the same author.
func refer(v *conv, e *entry) bool {
	if !refers(e) {
		return false
	}
	about := v.about(e.said)
	switch {
	case about == nil && e.said.Kind == overlay.KindDelete && v.takeBack(e.said):
		e.answered = "a reaction"
		return true
	case about == nil:
		e.answered = "a message that is not here"
		return false
	}
	e.answered = brief(about.said)
	switch {
	case e.said.Kind == overlay.KindReaction:
		about.react(reaction{e.said.ID, e.said.Key, e.said.From, strings.TrimSpace(e.said.Body)})
	case e.said.Kind == overlay.KindDelete:
		e.answered = "a message of " + about.at.Local().Format("15:04") // its text is what nobody is to read again
		v.unquote(about)
		about.deleted, about.said.Body, about.reacted = true, "", nil
	case !about.deleted:
		about.said.Body, about.edited = e.said.Body, true
	}
	return true
}

// refers says that a message is about another one, and is not shown by itself.
func refers(e *entry) bool {
	return e.said.Kind == overlay.KindEdit || e.said.Kind == overlay.KindDelete || e.said.Kind == overlay.KindReaction
}

// fate notes what has become of a message of this peer.
func (t *talk) fate(to certs.ID, id overlay.MessageID, state overlay.SaidState, why string) {
	if e := t.ours(to, id); e != nil {
		e.said.State, e.said.Error = state, why
	}
}

// excerptOf is the beginning of a message of this peer.
func (t *talk) excerptOf(to certs.ID, id overlay.MessageID, ref string) string {
	if e := t.ours(to, id); e != nil {
		return brief(e.said)
	}
	return chat.OneLine(ref)
}

// ours is a message of this peer, nil if it is not here.
func (t *talk) ours(to certs.ID, id overlay.MessageID) *entry {
	if v := t.find(to); v != nil {
		if e := v.withID(id); e != nil && e.mine {
			return e
		}
	}
	return nil
}

// delivered notes a receipt: one that came at once is counted, any other says what it is about.
func (t *talk) delivered(e overlay.Delivered) {
	own := t.ours(e.To, e.Message)
	waited := !t.acts.take(e.Message) && (own == nil || own.said.State != overlay.StateSent)
	t.fate(e.To, e.Message, overlay.StateDelivered, "")
	if !waited {
		t.crowd.received(e.To)
		t.news.soon = true
		return
	}
	t.tell(&entry{at: t.cfg.Now(), note: chat.Note{Mark: "✓", Text: fmt.Sprintf("%s: %s", t.colour(e.To), t.excerptOf(e.To, e.Message, e.Ref))}})
}

// collect is for how long joins, leaves and receipts are collected: short enough to be "now" for people.
const collect = 400 * time.Millisecond

// calmDown shows what was collected.
func (t *talk) calmDown() {
	alone := len(t.crowd.left) > 0 && len(t.crowd.here) == 0
	movement, receipts := t.crowd.sum(t.colour)
	if movement != "" && !t.quiet {
		t.remarkIn(t.list[0], chat.Note{Mark: "*", Text: movement})
	}
	if alone && !t.quiet {
		t.remarkIn(t.list[0], chat.Note{Mark: "*", Text: "nobody else is here now"})
	}
	if receipts != "" {
		t.tell(&entry{at: t.cfg.Now(), note: chat.Note{Mark: "✓", Text: receipts}})
	}
}

// earlier adds what was said before the chat began.
func (t *talk) earlier(i item) {
	if len(i.past) == 0 {
		return
	}
	t.tell(&entry{at: t.cfg.Now(), note: chat.Note{Mark: "*", Text: "earlier:"}}) // in full screen its day says so
	isNew := false
	for _, said := range i.past {
		e := t.newEntry(said.SentAt, said)
		e.past = true
		v := t.place(e)
		if !isNew && !i.since.IsZero() && said.Pos > i.seen {
			isNew = true
			t.tell(&entry{at: e.at, note: chat.Note{Mark: "*", Text: "new since " + i.since.Local().Format("15:04")}})
		}
		if isNew && !e.mine {
			v.missed(e, false)
		}
		if v.quote(e); !refer(v, e) {
			v.push(e)
		}
		t.tell(e)
		if !e.mine {
			t.spoke(e.said.From)
		}
	}
	t.turnTo(t.front)
}

// prepend puts older messages of the history before those of a conversation.
func (t *talk) prepend(v *conv, list []overlay.Said) {
	var older, about []*entry
	for _, s := range list {
		if v.has(s) {
			continue
		}
		e := t.newEntry(s.SentAt, s)
		if e.past = true; refers(e) {
			about = append(about, e)
			continue
		}
		older = append(older, e)
	}
	v.extend(older, list)
	for _, e := range v.entries {
		v.quote(e)
	}
	pending := append(about, v.pending...)
	v.pending = nil
	for _, e := range pending {
		if !refer(v, e) && len(v.pending) < maxEntries {
			v.pending = append(v.pending, e)
		}
	}
}
