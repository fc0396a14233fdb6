package tui

import (
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"quicpeer/certs"
	"quicpeer/internal/chat"
	"quicpeer/internal/chat/edit"
	"quicpeer/overlay"
)

// prompt is the line that is being typed, and what stands around it.
type prompt struct {
	over <-chan struct{} // closed when the program has ended
	*screen
	talk *talk

	text     edit.Text
	browse   *edit.Browse
	complete *edit.Completion
	editing  *entry // the message that Enter changes; nil: it sends a new one

	hint  string // below the line, for a moment
	hints int    // counts them

	asked question // what Enter or Ctrl-C has asked
}

// screen is a terminal as the renderer sees it.
type screen struct {
	size Size
	// wide is how the renderer measures characters: by the code point, unless the terminal says
	// that it measures clusters (mode 2027).
	wide ansi.Method
}

// measure is how many columns the renderer gives to a cluster.
func (s *screen) measure(cluster string) int { return s.wide.StringWidth(cluster) }

// question is what a second press of a key answers.
type question int

const (
	nothing question = iota
	leave            // Ctrl-C on an empty line
	long             // Enter on a text of many lines
)

// askAbove is how many lines are sent without a question.
const askAbove = 20

const tooFast = "what you typed before is still being sent; Enter again in a moment"

// say shows a hint for a few seconds. A question stands as long as its hint.
func (p *prompt) say(hint string) tea.Cmd {
	p.hint = hint
	p.asked = nothing
	p.hints++
	n := p.hints
	return later(p.over, 6*time.Second, ticked{n})
}

// ask shows a hint that another press of the key answers while it stands.
func (p *prompt) ask(asked question, hint string) tea.Cmd {
	cmd := p.say(hint)
	p.asked = asked
	return cmd
}

// before stands before the line.
func (p *prompt) before() string {
	if needle, _, on := p.browse.Searching(); on {
		return "search \"" + chat.OneLine(needle) + "\": "
	}
	label := string(p.talk.cfg.Self)
	switch front := p.talk.front.name; {
	case front == overlay.Everyone:
	case overlay.IsRoom(front):
		label += " " + string(front)
	default:
		label += " @" + string(front)
	}
	if p.edits() {
		label += " (edit)"
	}
	return label + "> "
}

// promptLook is how the label and the line lie on the screen.
type promptLook struct {
	label              string
	width, first, rest int
}

func (p *prompt) lies() promptLook {
	look := promptLook{label: p.before(), width: max(2, p.size.Width-1)}
	if p.measure(look.label) > look.width/2 {
		look.label = p.wide.Truncate(look.label, max(0, look.width/2-2), "") + "> "
	}
	look.first = min(p.measure(look.label), look.width-1)
	if look.rest = look.first; look.rest > look.width/3 {
		look.rest = min(2, look.width-1)
	}
	return look
}

// draw draws the line, as much of it as there is room for, the files under way above it, and what is below it. It
// returns where the cursor is.
func (p *prompt) draw() (rows []string, x, y int) {
	look := p.lies()
	text := &p.text
	if _, found, on := p.browse.Searching(); on {
		text = &edit.Text{}
		text.Set(found)
	}
	most := max(1, p.size.Height/2-1)
	list, x, y := text.Rows(look.width, look.first, look.rest, most, p.shownWidth)
	from, to := 0, len(list)
	if to > most {
		from = max(0, min(y-most/2, to-most))
		to = from + most
	}
	clusters := text.Clusters()
	for i := from; i < to; i++ {
		var b strings.Builder
		if i == 0 {
			b.WriteString(look.label)
		} else {
			b.WriteString(strings.Repeat(" ", list[i].Indent))
		}
		for _, c := range clusters[list[i].From:list[i].To] {
			b.WriteString(shownCluster(c))
		}
		rows = append(rows, b.String())
	}
	if row := p.talk.files.row(look.width); row != "" && p.size.Height > 3 {
		if p.talk.cfg.Colour {
			row = chat.Dim(row)
		}
		rows, from = append([]string{row}, rows...), from-1
	}
	if p.size.Height > 2 {
		below := p.below(look.width)
		rows = append(rows, below[:min(len(below), max(1, p.size.Height/2-1))]...)
	}
	return rows, min(x, look.width), y - from
}

// shownCluster is what stands on the screen for a cluster that was typed.
func shownCluster(c string) string {
	if len(c) == 1 && c[0] > ' ' {
		return c
	}
	return chat.OneLine(c)
}

func (p *prompt) shownWidth(c string) int {
	if len(c) == 1 && c[0] > ' ' {
		return 1
	}
	return p.measure(shownCluster(c))
}

// below are the rows below the line: completions, or a hint.
func (p *prompt) below(width int) []string {
	s := p.hint
	if _, _, on := p.browse.Searching(); on {
		s = "Ctrl-R: older, Enter: take it, Esc: go back"
	} else if c := p.complete; c != nil {
		return []string{p.wide.Truncate(p.offers(c, width), width, "…")}
	}
	if s == "" {
		return nil
	}
	rows := strings.Split(p.wide.Wrap(s, width, ""), "\n")
	if p.talk.cfg.Colour {
		for i := range rows {
			rows[i] = chat.Dim(rows[i])
		}
	}
	return rows
}

// offers are the completions around the one that stands in the line.
func (p *prompt) offers(c *edit.Completion, width int) string {
	var b strings.Builder
	for i := max(0, c.At); i < len(c.List) && b.Len() < 4*width; i++ {
		word := chat.OneLine(strings.TrimRight(c.List[i], " :"))
		if i == c.At {
			word = "[" + word + "]"
		}
		b.WriteString(word + " ")
	}
	return strings.TrimRight(b.String(), " ")
}

// goUp and goDown move in a text of several rows, else through what was typed before. On an empty line Up
// changes the last message.
func (p *prompt) goUp() {
	look := p.lies()
	switch {
	case p.text.Up(look.width, look.first, look.rest, p.shownWidth):
	case p.text.Empty() && p.editing == nil && p.editLast():
	default:
		p.older()
	}
}

func (p *prompt) goDown() {
	look := p.lies()
	if !p.text.Down(look.width, look.first, look.rest, p.shownWidth) {
		p.newer()
	}
}

func (p *prompt) older() {
	if s, ok := p.browse.Older(p.text.String()); ok {
		p.text.Set(s)
	}
}

func (p *prompt) newer() {
	if s, ok := p.browse.Newer(); ok {
		p.text.Set(s)
	}
}

// edits says that Enter changes a message: while a line from before is shown, it sends that.
func (p *prompt) edits() bool { return p.editing != nil && p.browse.AtDraft() }

// editLast puts the last message of this peer, in the conversation in front, into the line, to be changed.
func (p *prompt) editLast() bool {
	for _, e := range slices.Backward(p.talk.front.entries) {
		if e.mine && e.note.Mark == "" && !e.said.Binary && (e.said.Kind == "" || e.said.Kind == overlay.KindAction) && !e.deleted {
			p.browse.Reset()
			p.editing = e
			p.text.Set(e.said.Body)
			return true
		}
	}
	return false
}

// searchKey is a key while what was typed before is searched.
func (p *prompt) searchKey(name, text string) tea.Cmd {
	b := p.browse
	switch name {
	case "ctrl+r", "up":
		b.Search("")
	case "enter", "tab", "right", "left", "end", "home", "ctrl+a", "ctrl+e":
		p.text.Set(b.Accept())
	case "esc", "ctrl+g", "ctrl+c":
		p.text.Set(b.Abort())
	case "backspace", "ctrl+h":
		b.Narrow("")
	default:
		if text != "" {
			b.Narrow(text)
		}
	}
	return nil
}

// completeWord is Tab.
func (p *prompt) completeWord() { p.complete = p.text.Complete(p.words()) }

// words are what can be completed: who has spoken last comes first.
func (p *prompt) words() edit.Words {
	w := edit.Words{Commands: chat.Commands(), Home: p.talk.cfg.Home, Paths: chat.PathCommands}
	listed := map[certs.ID]bool{p.talk.cfg.Self: true}
	name := func(id certs.ID) {
		if !listed[id] {
			listed[id] = true
			w.Peers = append(w.Peers, string(id))
		}
	}
	for _, id := range p.talk.last {
		name(id)
	}
	rooms := map[string]bool{}
	room := func(r string) {
		if !rooms[r] {
			rooms[r] = true
			w.Rooms = append(w.Rooms, r)
		}
	}
	for _, r := range p.talk.cfg.Node.Rooms() {
		room(string(r.Name))
	}
	for _, p := range p.talk.cfg.Node.Peers() {
		name(p.ID)
		for _, r := range p.Rooms {
			room(r)
		}
	}
	return w
}

// receiver is who gets what is typed.
func (p *prompt) receiver() string {
	if name := p.talk.front.name; name != overlay.Everyone {
		return string(name)
	}
	return "everyone"
}
