package tui

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"

	"quicpeer/certs"
	"quicpeer/internal/chat"
	"quicpeer/overlay"
)

// entry is something that is shown: a message, or what the program has to say.
type entry struct {
	at   time.Time // when it was shown
	note chat.Note // Mark is empty of a message
	message
}

// message is what was said, by others or by this peer, and what has become of it since.
type message struct {
	said     overlay.Said
	mine     bool
	past     bool   // it was said before the chat began
	offer    string // what it offers, escaped; empty: it is not an offer of files
	edited   bool
	deleted  bool
	reacted  []reaction
	answered string // the beginning of the message that an edit or the like is about
}

// reaction is what somebody has put to a message.
type reaction struct {
	id   overlay.MessageID
	key  certs.PublicKey
	from certs.ID
	sign string
}

// painter draws entries in one width.
type painter struct {
	self   certs.ID
	width  int
	colour bool
	full   bool // in full screen, under the name of a conversation; else in a row of many
	wide   func(string) int
}

const clockWidth = len("15:04 ")

// rows are the rows of an entry, none of them wider than the painter's width.
func (p *painter) rows(e *entry) []string {
	clock := e.at.Local().Format("15:04") + " "
	if e.note.Mark != "" {
		return p.noteRows(clock, e.note)
	}
	label, plain := p.label(e)
	body, after := p.body(e)
	colon := ": "
	if e.said.Kind == overlay.KindAction {
		colon = " "
	} else if e.offer != "" {
		colon = " offers "
	}
	first := clockWidth + ansi.StringWidth(plain) + len(colon)
	rest := clockWidth + 2
	if p.full {
		rest = min(first, clockWidth+p.width/4)
	}
	if first+10 > p.width {
		rest = min(2, p.width-1)
	}
	rows := chat.Wrap(body+after, first, rest, p.width, p.wide)
	for i := range rows {
		rows[i] = p.isolate(p.highlight(rows[i], e))
		if e.said.Before || e.deleted {
			rows[i] = p.dim(rows[i])
		}
		if i > 0 {
			rows[i] = strings.Repeat(" ", rest) + rows[i]
		}
	}
	rows[0] = p.dim(clock) + label + colon + rows[0]
	if p.full && len(e.reacted) > 0 {
		for _, row := range chat.Wrap(p.reactions(e.reacted), rest, rest, p.width, p.wide) {
			rows = append(rows, strings.Repeat(" ", rest)+p.dim(row))
		}
	}
	return p.cut(rows)
}

// isolate guards a row in a terminal that writes from right to left by itself. The cells of full screen have no
// room for that.
func (p *painter) isolate(row string) string {
	if p.full {
		return row
	}
	return chat.Isolate(row)
}

// label says who speaks to whom, with and without colours.
func (p *painter) label(e *entry) (label, plain string) {
	name, plain := p.inColour(e.said.From), string(e.said.From)
	if e.mine {
		name = p.bold(plain)
	}
	doubt := ""
	switch {
	case e.said.Unproved:
		doubt = " (not known)"
	case e.said.NewKey:
		doubt = " (new key)"
	}
	name, plain = name+doubt, plain+doubt
	if e.said.ReplyTo != (overlay.MessageID{}) && e.answered != "" {
		re := " (re " + ansi.Truncate(e.answered, max(10, p.width/4), "…") + ")"
		name, plain = name+p.dim(re), plain+re
	}
	if e.said.Kind == overlay.KindAction {
		name, plain = "· "+name, "· "+plain
	}
	switch {
	case p.full || e.said.To == overlay.Everyone:
	case overlay.IsRoom(e.said.To):
		name, plain = string(e.said.To)+" "+name, string(e.said.To)+" "+plain
	case e.mine:
		name, plain = name+" -> "+string(e.said.To), plain+" -> "+string(e.said.To)
	default:
		name, plain = name+" -> you", plain+" -> you"
	}
	if late := chat.Late(e.at, e.said.SentAt); late != "" {
		name, plain = name+p.dim(late), plain+late
	}
	return name, plain
}

// body is the text of a message, and what is said behind it.
func (p *painter) body(e *entry) (body, after string) {
	body = chat.Escape(chat.Body(e.said))
	switch {
	case e.deleted:
		body = "(deleted)"
	case e.offer != "":
		body = chat.Escape(e.offer)
	case e.edited:
		after = " (edited)"
	}
	switch e.said.Kind {
	case overlay.KindEdit:
		after = " (edited)"
	case overlay.KindDelete:
		body = "(has deleted " + e.answered + ")"
	case overlay.KindReaction:
		body = "(reacts with " + chat.OneLine(e.said.Body) + " to: " + e.answered + ")"
	}
	switch {
	case !p.full && !e.past: // it was printed before
	case e.said.State == overlay.StateFailed:
		after += " (not delivered: " + chat.OneLine(e.said.Error) + ")"
	case e.said.State == overlay.StateWaiting && e.said.Error != "":
		after += " (waiting: " + chat.OneLine(e.said.Error) + ")"
	case e.said.State == overlay.StateDelivered:
		after += " ✓"
	}
	return body, after
}

func (p *painter) reactions(list []reaction) string {
	var signs []string
	by := map[string][]string{}
	for _, r := range list {
		if by[r.sign] == nil {
			signs = append(signs, r.sign)
		}
		by[r.sign] = append(by[r.sign], string(r.from))
	}
	for i, sign := range signs {
		signs[i] = chat.OneLine(sign) + " " + strings.Join(by[sign], ", ")
	}
	return strings.Join(signs, " · ")
}

// highlight makes this peer's own name stand out.
func (p *painter) highlight(row string, e *entry) string {
	if !p.colour || e.mine || e.said.Before || !isNamed(row, p.self) {
		return row
	}
	return strings.ReplaceAll(row, string(p.self), "\x1b[1;7m"+string(p.self)+"\x1b[0m")
}

// isNamed says whether a text has a name as a word of its own.
func isNamed(text string, name certs.ID) bool {
	if name == "" {
		return false
	}
	for i := 0; ; {
		j := strings.Index(text[i:], string(name))
		if j < 0 {
			return false
		}
		from, to := i+j, i+j+len(name)
		if (from == 0 || !isNamePart(text[from-1])) && (to == len(text) || !isNamePart(text[to])) {
			return true
		}
		i = to
	}
}

func isNamePart(c byte) bool {
	return c == '_' || c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// noteRows draws what the program has to say: its text has colours.
func (p *painter) noteRows(clock string, n chat.Note) []string {
	head := p.dim(clock) + n.Mark + " "
	const rest = clockWidth + 2
	list := strings.Split(ansi.Wrap(n.Text, max(10, p.width-rest), ""), "\n")
	rows := []string{head + list[0]}
	for _, s := range list[1:] {
		rows = append(rows, strings.Repeat(" ", rest)+s)
	}
	rows = p.cut(rows)
	if n.Block == "" {
		return rows
	}
	for _, s := range strings.Split(n.Block, "\n") {
		if p.isWhole(s) {
			rows = append(rows, whole(margin+s, p.width+1))
			continue
		}
		var parts []string
		for i, part := range strings.Split(ansi.Wrap(s, max(10, p.width-6), ""), "\n") {
			if i > 0 {
				part = "  " + part
			}
			parts = append(parts, margin+part)
		}
		rows = append(rows, p.cut(parts)...)
	}
	return rows
}

// margin is before the lines of a block.
const margin = "    "

// isWhole says that a line of a block must stay whole, so that it can be copied: a ticket, which the terminal
// itself continues in its next row. In full screen the renderer has no such rows.
func (p *painter) isWhole(s string) bool {
	const most = 1000 // bytes
	if p.full || s == "" || len(s) > most {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f }) < 0
}

// whole is a row that is wider than the terminal. Where it ended in the last column the renderer, which erases what is
// behind it, would take its last character.
func whole(row string, width int) string {
	if len(row)%width == 0 {
		row += " "
	}
	return row
}

// cut sees to it that no row is too wide, whatever was in it.
func (p *painter) cut(rows []string) []string {
	for i, row := range rows {
		if ansi.StringWidth(row) > p.width || ansi.StringWidthWc(row) > p.width && !p.full {
			rows[i] = ansi.Truncate(row, p.width, "")
		}
	}
	return rows
}

func (p *painter) dim(s string) string {
	if !p.colour || s == "" {
		return s
	}
	return chat.Dim(s)
}

func (p *painter) bold(s string) string {
	if !p.colour {
		return s
	}
	return "\x1b[1m" + s + "\x1b[0m"
}

func (p *painter) inColour(id certs.ID) string {
	if !p.colour {
		return string(id)
	}
	return chat.Name(id)
}

// maxReactions is how many reactions to one message are shown, a guess.
const maxReactions = 100

// react adds a reaction: a peer's same sign once.
func (m *message) react(r reaction) {
	again := slices.ContainsFunc(m.reacted, func(o reaction) bool { return o.key == r.key && o.sign == r.sign })
	if !again && len(m.reacted) < maxReactions {
		m.reacted = append(m.reacted, r)
	}
}

// text is what a message says, on its own.
func (m *message) text() string {
	if m.offer != "" {
		return "offers " + m.offer
	}
	return chat.Body(m.said)
}

// maxBrief is how many columns of a message stand for it.
const maxBrief = 40

// brief is the beginning of a message.
func brief(s overlay.Said) string { return clip(chat.Body(s), maxBrief) }

// clip is the beginning of a text on one line, in at most so many columns and four times as many
// bytes: a storm of marks takes no columns.
func clip(s string, columns int) string {
	s = strings.TrimSpace(s)
	end := min(len(s), 4*columns)
	for end > 0 && end < len(s) && !utf8.RuneStart(s[end]) {
		end--
	}
	return ansi.Truncate(chat.OneLine(s[:end]), columns, "…")
}

// rule is a line across a conversation with a word in it.
func (p *painter) rule(word string) string {
	s := "── " + word + " "
	return ansi.Truncate(s+strings.Repeat("─", max(0, p.width-ansi.StringWidth(s))), p.width, "")
}
