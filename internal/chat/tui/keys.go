package tui

import (
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"

	"quicpeer/internal/chat/edit"
	"quicpeer/overlay"
)

// press does what a key says.
func (m *model) press(k tea.KeyPressMsg) tea.Cmd {
	name := k.String()
	if m.ending { // what is typed then belongs to whatever comes next
		return nil
	}
	if same, ok := sameKeys[name]; ok {
		name = same
	}
	asked := m.prompt.asked
	m.prompt.asked, m.prompt.hint = nothing, ""
	if _, _, on := m.prompt.browse.Searching(); on {
		return m.prompt.searchKey(name, k.Text)
	}
	if m.full.on {
		if cmd, ok := m.fullKey(name); ok {
			return cmd
		}
	}
	if c := m.prompt.complete; c != nil {
		switch name {
		case "tab":
			c.Next(&m.prompt.text, 1)
			return nil
		case "shift+tab":
			c.Next(&m.prompt.text, -1)
			return nil
		case "esc":
			c.Undo(&m.prompt.text)
			m.prompt.complete = nil
			return nil
		}
		m.prompt.complete = nil
	}
	if do, ok := chatKeys[name]; ok {
		return do(m, asked)
	}
	if n, ok := strings.CutPrefix(name, "alt+"); ok && len(n) == 1 && n[0] >= '1' && n[0] <= '9' {
		if i := int(n[0] - '1'); i < len(m.talk.list) {
			return m.turn(m.talk.list[i])
		}
		return nil
	}
	if name == "ctrl+d" && m.prompt.text.Empty() {
		return m.quit()
	}
	if m.prompt.text.Key(name) {
		return nil
	}
	if k.Text != "" && !m.prompt.text.Insert(k.Text) {
		return m.prompt.say("the line is as long as a message can be")
	}
	return nil
}

// chatKeys are the keys that do more than change the text.
var chatKeys = map[string]func(*model, question) tea.Cmd{
	"enter":     (*model).enter,
	"tab":       func(m *model, _ question) tea.Cmd { m.prompt.completeWord(); return nil },
	"ctrl+c":    (*model).interrupt,
	"ctrl+z":    func(m *model, _ question) tea.Cmd { return m.suspend() },
	"ctrl+l":    func(*model, question) tea.Cmd { return tea.ClearScreen },
	"ctrl+r":    func(m *model, _ question) tea.Cmd { m.prompt.browse.Search(m.prompt.text.String()); return nil },
	"ctrl+p":    func(m *model, _ question) tea.Cmd { m.prompt.older(); return nil },
	"ctrl+n":    func(m *model, _ question) tea.Cmd { m.prompt.newer(); return nil },
	"up":        func(m *model, _ question) tea.Cmd { m.prompt.goUp(); return nil },
	"down":      func(m *model, _ question) tea.Cmd { m.prompt.goDown(); return nil },
	"esc":       func(m *model, _ question) tea.Cmd { m.escape(); return nil },
	"ctrl+g":    func(m *model, _ question) tea.Cmd { m.escape(); return nil },
	"f2":        func(m *model, _ question) tea.Cmd { return m.look(!m.full.wanted) },
	"alt+left":  func(m *model, _ question) tea.Cmd { return m.turn(m.talk.by(-1)) },
	"alt+right": func(m *model, _ question) tea.Cmd { return m.turn(m.talk.by(1)) },
	"alt+a":     func(m *model, _ question) tea.Cmd { return m.toUnread() },
	"f1":        func(m *model, _ question) tea.Cmd { return m.command("/help") },
}

// enter sends the line, or asks before.
func (m *model) enter(asked question) tea.Cmd {
	text := m.prompt.text.String()
	if strings.TrimSpace(text) == "" {
		m.prompt.text.Set("")
		return nil
	}
	if n := m.prompt.text.Lines(); n > askAbove && asked != long {
		return m.prompt.ask(long, fmt.Sprintf("%d lines as one message to %s? Enter: yes; any other key goes on editing", n, m.prompt.receiver()))
	}
	var in input
	if m.prompt.edits() {
		text = "/edit " + text
		in.front, in.edits = m.talk.front.name, m.prompt.editing.said.ID
	}
	cmd, here := m.local(text)
	if !here {
		in.line = []byte(text)
		if !m.chat.enter(in) {
			return m.prompt.say(tooFast)
		}
	}
	m.cfg.Inputs.Add(m.prompt.text.String())
	m.prompt.text.Set("") // what Ctrl-Y inserts stays
	m.prompt.editing = nil
	m.prompt.browse.Reset()
	return cmd
}

// command has a typed command executed.
func (m *model) command(s string) tea.Cmd {
	if !m.chat.enter(input{line: []byte(s)}) {
		return m.prompt.say(tooFast)
	}
	return nil
}

// local executes a command that is about the terminal alone.
func (m *model) local(text string) (tea.Cmd, bool) {
	words := strings.Fields(text)
	switch strings.Join(words, " ") {
	case "/full":
		return m.look(true), true
	case "/line":
		return m.look(false), true
	case "/next":
		return m.toUnread(), true
	case "/part":
		if with := m.talk.front.name; with != overlay.Everyone && !overlay.IsRoom(with) {
			cmd := m.turn(m.talk.list[0])
			if m.talk.front.name != with { // else too many lines wait
				m.talk.drop(with)
			}
			return cmd, true
		}
	case "/joins off", "/joins on", "/joins":
		m.talk.quiet = len(words) == 1 && !m.talk.quiet || len(words) == 2 && words[1] == "off"
		what := "are shown"
		if m.talk.quiet {
			what = "are not shown; /joins on shows them again"
		}
		return m.prompt.say("joins and leaves " + what), true
	}
	if words[0] == "/notify" {
		return m.setNotify(strings.Join(words[1:], " ")), true
	}
	if m.full.on && words[0] == "/search" && len(words) > 1 {
		return m.search(strings.Join(words[1:], " ")), true
	}
	return nil, false
}

// look turns to full screen or to line mode, as soon as what is being printed is out.
func (m *model) look(full bool) tea.Cmd {
	m.full.wanted = full
	return m.feed()
}

// toUnread puts the next conversation with news in front.
func (m *model) toUnread() tea.Cmd {
	if v := m.talk.nextUnread(); v != nil {
		return m.turn(v)
	}
	return m.prompt.say("nothing is unread")
}

// interrupt is Ctrl-C: it clears the line, and on an empty one asks how to leave.
func (m *model) interrupt(asked question) tea.Cmd {
	switch {
	case !m.prompt.text.Empty() || m.prompt.editing != nil:
		m.prompt.text.Clear()
		m.prompt.editing = nil
		m.prompt.browse.Reset()
		return nil
	case asked == leave:
		return m.quit()
	}
	return m.prompt.ask(leave, "Ctrl-C again "+m.cfg.Bye+", as Ctrl-D does")
}

// suspend is Ctrl-Z.
func (m *model) suspend() tea.Cmd {
	if m.cfg.Suspend == nil {
		return m.prompt.say("this terminal can't be suspended")
	}
	m.suspended = true
	return m.quit()
}

// escape leaves what goes on: a hint, the editing of a message.
func (m *model) escape() {
	if m.prompt.editing != nil {
		m.prompt.editing = nil
		m.prompt.browse.Reset()
		m.prompt.text.Clear()
	}
}

// paste inserts what was pasted: nothing of it is executed, or sent, before Enter.
func (m *model) paste(s string) tea.Cmd {
	m.prompt.asked, m.prompt.hint, m.prompt.complete = nothing, "", nil
	s = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(s) // many terminals paste CR
	if _, _, on := m.prompt.browse.Searching(); on {
		m.prompt.browse.Narrow(strings.ReplaceAll(s, "\n", " "))
		return nil
	}
	if !m.prompt.text.Insert(strings.TrimSuffix(s, "\n")) {
		return m.prompt.say(fmt.Sprintf("what you pasted does not fit: a message has at most %d kB", edit.MaxText>>10))
	}
	if n := m.prompt.text.Lines(); n > 1 {
		return m.prompt.say(fmt.Sprintf("%d lines, one message; Enter sends it to %s, Ctrl-C drops it", n, m.prompt.receiver()))
	}
	return nil
}

// setNotify executes /notify for the conversation in front.
func (m *model) setNotify(word string) tea.Cmd {
	n, ok := notifyWords[word]
	if !ok {
		return m.prompt.say("it is /notify all, /notify mentions or /notify off, for the conversation in front")
	}
	m.talk.front.notify = n
	return m.prompt.say("notices for " + m.prompt.receiver() + ": " + word)
}

// fullKey does what a key says in full screen alone. It returns false for one that it does not know.
func (m *model) fullKey(name string) (tea.Cmd, bool) {
	if m.full.found != nil {
		return m.foundKey(name)
	}
	pageRows := max(1, m.full.layout().height-2)
	switch name {
	case "pgup", "alt+v":
		m.full.scrollUp(pageRows)
		return m.fillAbove(), true
	case "pgdown", "ctrl+v":
		m.down(pageRows)
	case "shift+up", "alt+up":
		m.full.scrollUp(1)
		return m.fillAbove(), true
	case "shift+down", "alt+down":
		m.down(1)
	case "alt+h":
		e := m.full.namedAbove()
		if e == nil {
			return m.prompt.say("no message above names you"), true
		}
		m.full.stand(e, 0)
	case "f3":
		m.prompt.editing = nil
		m.prompt.text.Set("/search ")
	case "esc", "shift+end":
		if !m.full.above() {
			return nil, false
		}
		m.inFront(m.talk.front)
	default:
		return nil, false
	}
	return nil, true
}

// down goes n rows down; the end is read then.
func (m *model) down(n int) {
	if m.full.scrollDown(n) {
		m.inFront(m.talk.front)
	}
}

// foundKey does what a key says while the results of a search are shown.
func (m *model) foundKey(name string) (tea.Cmd, bool) {
	f := m.full.found
	switch name {
	case "up", "ctrl+p":
		f.choose(-1)
	case "down", "ctrl+n":
		f.choose(1)
	case "pgup":
		f.choose(-10)
	case "pgdown":
		f.choose(10)
	case "enter":
		return m.visit(f.list[f.at]), true
	case "esc", "ctrl+c", "ctrl+g":
		m.full.found = nil
	default:
		return nil, false
	}
	return nil, true
}

// visit goes to a message that was found.
func (m *model) visit(s overlay.Said) tea.Cmd {
	m.full.found = nil
	v := m.talk.place(m.talk.newEntry(s.SentAt, s))
	cmd := m.turn(v)
	if m.full.reach(s) {
		return cmd
	}
	m.full.loading = true
	return tea.Batch(cmd, page{of: v.name, visit: &s}.ask(m.cfg.Node, overlay.Query{With: v.name, Before: v.oldest(), Last: maxEntries}))
}
