package tui

import (
	"fmt"
	"slices"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"quicpeer/internal/chat"
	"quicpeer/overlay"
)

// pane is what full screen shows of the conversation in front, and the results of a search over it.
type pane struct {
	*screen
	talk   *talk
	prompt *prompt

	on, wanted bool
	at         *entry // the last one that is seen, for a reader of what stands above; nil: the end
	hidden     int    // rows of it below the screen
	end        *entry // the last one of the conversation when that reader left the end
	found      *found // a search; nil: none
	loading    bool   // a page of the history is on its way
}

// found are the results of a search.
type found struct {
	text string
	list []overlay.Said
	at   int
}

// follow goes to the end of the conversation.
func (f *pane) follow() {
	f.at, f.hidden, f.end = nil, 0, nil
	for _, v := range f.talk.list {
		v.held = false
	}
}

// above says that the end is not seen.
func (f *pane) above() bool { return f.on && f.at != nil }

// stand goes to an entry, of which the last rows are hidden.
func (f *pane) stand(e *entry, hidden int) {
	if f.at == nil {
		f.end = f.talk.front.entries[len(f.talk.front.entries)-1]
	}
	f.at, f.hidden, f.talk.front.held = e, hidden, true
}

// below is how many messages have come since the reader left the end.
func (f *pane) below() int {
	n := 0
	for _, e := range slices.Backward(f.talk.front.entries) {
		if e == f.end {
			break
		}
		if e.note.Mark == "" {
			n++
		}
	}
	return n
}

const (
	sideWidth = 18 // columns of the side
	sideFrom  = 80 // columns of a terminal that has room for it
)

// layout is how full screen is divided.
type layout struct {
	side, width, height int // columns of the side, columns and rows of the conversation
}

func (f *pane) layout() layout {
	prompt, _, _ := f.prompt.draw()
	l := layout{width: f.size.Width, height: max(0, f.size.Height-2-len(prompt))}
	if f.size.Width >= sideFrom {
		l.side, l.width = sideWidth, f.size.Width-sideWidth-1
	}
	return l
}

// painter draws in a width.
func (f *pane) painter(width int) *painter {
	return &painter{self: f.talk.cfg.Self, width: width, colour: f.talk.cfg.Colour, full: true, wide: f.measure}
}

// entryRows are the rows of the i-th entry of a conversation, with the lines of its day and of what is new above.
func entryRows(p *painter, v *conv, i int) []string {
	e := v.entries[i]
	var rows []string
	day := e.at.Local().Format(dayLine)
	if i == 0 || v.entries[i-1].at.Local().Format(dayLine) != day {
		rows = append(rows, p.dim(p.rule(day)))
	}
	if e == v.fresh {
		rows = append(rows, p.bold(p.rule("new")))
	}
	return append(rows, p.rows(e)...)
}

// position is the index of the last entry that is seen.
func (f *pane) position() int {
	if f.at == nil {
		return len(f.talk.front.entries) - 1
	}
	return max(0, slices.Index(f.talk.front.entries, f.at))
}

// window are the rows of the conversation that are seen.
func (f *pane) window(l layout) []string {
	v, p := f.talk.front, f.painter(l.width)
	var rows []string
	hidden := f.hidden
	for i := f.position(); i >= 0 && len(rows) < l.height; i-- {
		part := entryRows(p, v, i)
		part = part[:max(0, len(part)-hidden)]
		hidden = 0
		rows = append(slices.Clone(part), rows...)
	}
	if n := len(rows) - l.height; n > 0 {
		rows = rows[n:]
	}
	return append(make([]string, l.height-len(rows)), rows...)
}

// scrollUp goes n rows up, as far as there is a screenful.
func (f *pane) scrollUp(n int) {
	l := f.layout()
	v, p := f.talk.front, f.painter(l.width)
	i, hidden := f.position(), f.hidden
	if i < 0 {
		return
	}
	rows := 0 // above and with what is seen
	for j := i; j >= 0 && rows < n+l.height+hidden; j-- {
		rows += len(entryRows(p, v, j))
	}
	for n = min(n, rows-hidden-l.height); n > 0; {
		left := len(entryRows(p, v, i)) - hidden
		if n < left || i == 0 {
			hidden += n
			break
		}
		n, i, hidden = n-left, i-1, 0
	}
	if i < len(v.entries)-1 || hidden > 0 {
		f.stand(v.entries[i], hidden)
	}
}

// scrollDown goes n rows down. It returns true at the end.
func (f *pane) scrollDown(n int) (end bool) {
	v, p := f.talk.front, f.painter(f.layout().width)
	if !f.above() {
		return true
	}
	i, hidden := f.position(), f.hidden
	for n > hidden {
		n -= hidden
		if i++; i == len(v.entries) {
			return true
		}
		hidden = len(entryRows(p, v, i))
	}
	hidden -= n
	if i == len(v.entries)-1 && hidden == 0 {
		return true
	}
	f.stand(v.entries[i], hidden)
	return false
}

// namedAbove is the next message above that names this peer; nil: there is none.
func (f *pane) namedAbove() *entry {
	from := f.position()
	if f.above() {
		from--
	}
	for i := from; i >= 0; i-- {
		if e := f.talk.front.entries[i]; e.note.Mark == "" && !e.mine && isNamed(e.said.Body, f.talk.cfg.Self) {
			return e
		}
	}
	return nil
}

// reach goes to a message of the conversation in front, if it is there.
func (f *pane) reach(s overlay.Said) bool {
	for _, e := range f.talk.front.entries {
		if e.said.Pos == s.Pos && e.note.Mark == "" {
			f.stand(e, 0)
			return true
		}
	}
	return false
}

// view are the rows of full screen, and where the cursor is.
func (f *pane) view() (rows []string, x, y int) {
	l := f.layout()
	middle := f.window(l)
	if f.found != nil {
		middle = f.found.lines(f.painter(l.width), l.height)
	}
	if l.side > 0 {
		for i, row := range f.side(l) {
			middle[i] = row + strings.Repeat(" ", max(0, l.side-f.wide.StringWidth(row))) + "│" + middle[i]
		}
	}
	prompt, x, y := f.prompt.draw()
	rows = append(append([]string{f.titleRow()}, middle...), f.status())
	y += len(rows)
	rows = append(rows, prompt...)
	over := max(0, len(rows)-f.size.Height) // a window of one or two rows has the line that is typed
	return rows[over:], x, max(0, y-over)
}

// titleRow is the first row.
func (f *pane) titleRow() string {
	front := f.talk.front
	s := " " + title(front)
	if f.size.Width < sideFrom {
		for _, v := range f.talk.list {
			if v != front && v.unread > 0 {
				s += " " + ansi.Truncate(title(v), 10, "…") + ":" + unread(v)
			}
		}
	}
	right := "F1 help  F2 line mode "
	s = ansi.Truncate(s, f.size.Width, "…")
	if room := f.size.Width - ansi.StringWidth(s) - len(right); room > 0 {
		s += strings.Repeat(" ", room) + right
	} else {
		s += strings.Repeat(" ", max(0, f.size.Width-ansi.StringWidth(s)))
	}
	if f.talk.cfg.Colour {
		s = "\x1b[7m" + s + "\x1b[0m"
	}
	return s
}

// title is the name of a conversation for people.
func title(v *conv) string {
	if v.name == overlay.Everyone {
		return "everyone"
	}
	return string(v.name)
}

// unread is how many messages of a conversation were not seen; with a ! if one is for this peer.
func unread(v *conv) string {
	if v.mentions > 0 {
		return fmt.Sprintf("%d!", v.unread)
	}
	return fmt.Sprint(v.unread)
}

// status is the row above the line.
func (f *pane) status() string {
	p := f.painter(f.size.Width)
	switch n := f.below(); {
	case f.found != nil:
		return p.dim(p.rule("Enter goes there, Esc goes back"))
	case f.above() && n > 0:
		return p.bold(p.rule(fmt.Sprintf("%d new below; Esc goes there", n)))
	case f.above():
		return p.dim(p.rule("reading above; Esc goes to the end"))
	}
	return p.dim(strings.Repeat("─", f.size.Width))
}

// side are the rows beside the conversation: the conversations, and who is here.
func (f *pane) side(l layout) []string {
	p := f.painter(l.side)
	var rows []string
	for i, v := range f.talk.list {
		mark := " "
		if v == f.talk.front {
			mark = ">"
		}
		number := " "
		if i < 9 {
			number = fmt.Sprint(i + 1)
		}
		row := mark + number + " " + title(v)
		if v.unread > 0 {
			n := unread(v)
			row = ansi.Truncate(row, l.side-len(n)-1, "…")
			row = p.bold(row + strings.Repeat(" ", l.side-len(n)-ansi.StringWidth(row)) + n)
		}
		rows = append(rows, ansi.Truncate(row, l.side, "…"))
	}
	here := f.talk.crowd.here
	rows = append(rows, "", p.dim(p.rule(fmt.Sprintf("%d here", len(here)+1))), " "+p.bold(string(f.talk.cfg.Self)))
	for i, id := range here {
		if len(rows) == l.height-1 && i < len(here)-1 {
			rows = append(rows, fmt.Sprintf(" and %d more", len(here)-i))
			break
		}
		row := " " + f.talk.colour(id)
		if f.talk.crowd.away[id] != "" {
			row += p.dim(" away")
		}
		rows = append(rows, ansi.Truncate(row, l.side, "…"))
	}
	for len(rows) < l.height {
		rows = append(rows, "")
	}
	return rows[:l.height]
}

// lines draws the results, the chosen one among them.
func (f *found) lines(p *painter, height int) []string {
	rows := []string{p.bold(ansi.Truncate(fmt.Sprintf("%d found: %s", len(f.list), chat.OneLine(f.text)), p.width, "…"))}
	most := max(1, height-1)
	from := max(0, min(f.at-most/2, len(f.list)-most))
	for i := from; i < min(len(f.list), from+most); i++ {
		s := f.list[i]
		mark := "  "
		if i == f.at {
			mark = "> "
		}
		where := ""
		if s.To != overlay.Everyone {
			where = " -> " + chat.OneLine(string(s.To))
		}
		row := fmt.Sprintf("%s%s %s%s: %s", mark, s.SentAt.Local().Format("2006-01-02 15:04"), chat.OneLine(string(s.From)), where, chat.OneLine(chat.Body(s)))
		rows = append(rows, ansi.Truncate(row, p.width, "…"))
	}
	for len(rows) < height {
		rows = append(rows, "")
	}
	return rows[:height]
}

// choose moves the choice among the results.
func (f *found) choose(by int) { f.at = max(0, min(f.at+by, len(f.list)-1)) }
