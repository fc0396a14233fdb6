package tui

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"quicpeer/internal/chat/edit"
)

// Messages of the model to itself.
type (
	fed     struct{}            // there is something in the queue
	ended   struct{}            // the chat is over
	printed struct{}            // what was to be printed is in the scrollback
	settled struct{}            // the screen has the shape that it is to have, so lines can be printed
	ticked  struct{ n int }     // a hint has stood long enough
	calm    struct{}            // nobody has come or gone, and no receipt has come, for a while
	loaded  struct{ page page } // a page of the history has come
	silent  struct{}            // transfers of which nothing is told are to be taken out of the row
)

// model is all that a chat knows. It is a [tea.Model].
type model struct {
	*screen
	chat *Chat
	cfg  *Config

	talk    talk
	prompt  prompt
	out     scroll
	full    pane
	focused bool

	collecting bool // calm will come
	listening  bool // silent will come
	turning    int  // conversations put in front by keys, to which the front end has not come
	ending     bool // the program is to quit, as soon as nothing is being printed
	leaving    bool // it quits
	above      int  // rows of the prompt above the cursor, as line mode was drawn last
	suspended  bool
	answers    bool // the terminal answers what it is asked
}

func newModel(c *Chat) *model {
	m := &model{screen: &screen{size: c.cfg.Size}, chat: c, cfg: &c.cfg, focused: true}
	m.talk = talk{cfg: m.cfg, convs: newConvs()}
	m.prompt = prompt{screen: m.screen, talk: &m.talk, browse: edit.NewBrowse(c.cfg.Inputs)}
	m.full = pane{screen: m.screen, talk: &m.talk, prompt: &m.prompt, on: c.cfg.Full, wanted: c.cfg.Full}
	for _, r := range c.cfg.Node.Rooms() {
		m.talk.get(r.Name)
	}
	return m
}

// Init begins a program.
func (m *model) Init() tea.Cmd {
	m.ending, m.leaving, m.listening, m.out.busy, m.wide = false, false, false, true, ansi.WcWidth
	return tea.Batch(m.settle(), m.collect(), m.listen())
}

// settle waits until the renderer has drawn the screen in its new shape: before, it would print in
// the wrong place. Three frames of 60 in a second.
func (m *model) settle() tea.Cmd {
	return later(m.prompt.over, 50*time.Millisecond, settled{})
}

// later is a message after a while, or none if the program ends before: a tick of bubbletea would outlive it.
func later(over <-chan struct{}, d time.Duration, msg tea.Msg) tea.Cmd {
	return func() tea.Msg {
		select {
		case <-time.After(d):
			return msg
		case <-over:
			return nil
		}
	}
}

// Update changes the model.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) { return m, m.update(msg) }

func (m *model) update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.size = Size{Width: max(msg.Width, 1), Height: max(msg.Height, 1)}
	case tea.KeyboardEnhancementsMsg:
		m.answers = true
	case tea.ModeReportMsg:
		if m.answers = true; msg.Mode == ansi.ModeUnicodeCore && (msg.Value == ansi.ModeReset || msg.Value == ansi.ModeSet || msg.Value == ansi.ModePermanentlySet) {
			m.wide = ansi.GraphemeWidth
			m.prompt.text.Reflow()
		}
	case tea.FocusMsg:
		m.focused = true
	case tea.BlurMsg:
		m.focused = false
	case tea.PasteMsg:
		return m.paste(msg.Content)
	case tea.KeyPressMsg:
		return m.press(msg)
	case fed:
		return m.feed()
	case printed:
		m.out.busy = false
		m.out.prints++
		return m.calmed(m.feed)
	case settled:
		m.out.busy = false
		return m.calmed(func() tea.Cmd { return tea.Batch(m.feed(), m.fill()) })
	case calm:
		m.collecting = false
		m.talk.calmDown()
		return tea.Batch(m.share()...)
	case loaded:
		return m.load(msg.page)
	case silent:
		m.listening = false
		m.talk.files.forget(m.cfg.Now())
		return m.listen()
	case ticked:
		if msg.n == m.prompt.hints {
			m.prompt.hint, m.prompt.asked = "", nothing
		}
	case ended:
		return m.quit()
	}
	return nil
}

// quit ends the program; the prompt disappears. Rows that are being printed come before: they would be lost.
func (m *model) quit() tea.Cmd {
	m.ending = true
	if m.out.busy {
		return nil
	}
	m.leaving = true
	return tea.Quit
}

// calmed goes on when nothing is being printed any more.
func (m *model) calmed(next func() tea.Cmd) tea.Cmd {
	if m.ending {
		return m.quit()
	}
	return next()
}

// View draws what the model says.
func (m *model) View() tea.View {
	var v tea.View
	switch {
	case m.leaving:
		v.AltScreen = m.full.on // closing leaves it: as a change of the view it would ask the terminal, which answers to the shell
	case m.full.on:
		rows, x, y := m.full.view()
		v = tea.NewView(strings.Join(rows, "\n"))
		v.AltScreen, v.Cursor = true, tea.NewCursor(x, y)
	default:
		v = m.lineView()
	}
	v.ReportFocus = true
	return v
}

// lineView draws line mode: the prompt alone.
func (m *model) lineView() tea.View {
	rows, x, y := m.prompt.draw()
	m.above = y
	// bubbletea leaves the cursor at the left after it has printed, until the view is another one. So each print
	// is followed by another view: one that ends with a colour in which nothing is written.
	n := m.out.prints
	v := tea.NewView(strings.Join(rows, "\n") + fmt.Sprintf("\x1b[38;2;%d;%d;%dm\x1b[0m", n>>16&0xff, n>>8&0xff, n&0xff))
	v.Cursor = tea.NewCursor(x, y)
	return v
}

// most is how many columns a terminal may give to a cluster, for what the renderer doesn't draw.
func most(cluster string) int { return max(ansi.StringWidth(cluster), ansi.StringWidthWc(cluster)) }

// turn puts a conversation in front, as a key or a command of the terminal says.
func (m *model) turn(v *conv) tea.Cmd {
	if !m.chat.enter(input{front: v.name}) {
		return m.prompt.say(tooFast)
	}
	m.turning++
	m.inFront(v)
	return m.fill()
}

// inFront shows that a conversation is in front. A message of another one is not edited there.
func (m *model) inFront(v *conv) {
	if v != m.talk.front {
		m.escape()
	}
	m.talk.turnTo(v)
	m.full.follow()
}

// maxBatch is how many things are taken from the queue at once, a guess: a few screens.
const maxBatch = 128

// feed takes what is in the queue, unless rows are being printed: the next ones wait for these, so that
// a terminal that reads slowly holds up those who write.
func (m *model) feed() tea.Cmd {
	if m.out.busy || m.ending {
		return nil
	}
	if m.full.wanted != m.full.on {
		if m.full.on, m.out.busy = m.full.wanted, true; m.full.on {
			m.talk.seenAll()
		}
		return m.settle()
	}
	var cmds []tea.Cmd
	if len(m.out.rows) == 0 && len(m.out.shown) == 0 {
		cmds = m.accept(m.chat.take(maxBatch))
	}
	return tea.Batch(append(cmds, m.print())...)
}

// accept takes things of the queue into the model.
func (m *model) accept(batch []item) (cmds []tea.Cmd) {
	for _, i := range batch {
		m.talk.unseen = m.full.above()
		if i.keyed {
			m.turning--
		}
		if i.turn != "" {
			if v := m.talk.get(i.turn); m.turning == 0 { // else a key that was pressed since has the last word
				m.inFront(v)
			}
		}
		front := m.talk.front
		if m.talk.put(i); m.talk.front != front { // that was left
			m.escape()
			m.full.follow()
		}
		if i.shown != nil {
			m.out.shown = append(m.out.shown, i.shown)
		}
	}
	return m.share()
}

// share passes the news on: to the scrollback, and to a user who looks elsewhere.
func (m *model) share() (cmds []tea.Cmd) {
	n := m.talk.take()
	for _, e := range n.entries {
		m.out.await(e)
		if e.mine && !e.past && m.talk.place(e) == m.talk.front {
			m.inFront(m.talk.front) // its author sees it
		}
	}
	if len(n.notices) > 0 && !m.focused { // one of many is enough
		cmds = append(cmds, notice(m.cfg.Term, n.notices[len(n.notices)-1]))
	}
	if n.soon {
		cmds = append(cmds, m.collect())
	}
	return append(cmds, m.listen(), m.print())
}

// listen has silent come, once, while files are under way.
func (m *model) listen() tea.Cmd {
	if m.listening || len(m.talk.files) == 0 {
		return nil
	}
	m.listening = true
	return later(m.prompt.over, silence, silent{})
}

// collect has calm come, once.
func (m *model) collect() tea.Cmd {
	if m.collecting {
		return nil
	}
	m.collecting = true
	return later(m.prompt.over, collect, calm{})
}

// print prints what fits above the prompt, of more than which the renderer would lose track; when that is
// out the rest follows, and then what is in the queue. A thing counts as shown when all of its batch is
// printed; in full screen, when the model has it.
func (m *model) print() tea.Cmd {
	if m.out.busy || m.ending {
		return nil
	}
	var cmds []tea.Cmd
	var shown []func()
	if m.full.on {
		shown, m.out.shown = m.out.shown, nil
	} else {
		m.out.paint(m.painter(), m.cfg.Now())
		prompt, _, _ := m.prompt.draw()
		var rows []string
		if rows, shown = m.out.piece(m.size.Height-len(prompt)-1, m.size.Width); len(rows) > 0 {
			cmds = append(cmds, printAbove(strings.Join(rows, "\n")))
		}
	}
	if len(cmds)+len(shown) == 0 {
		return nil
	}
	m.out.busy = true
	return tea.Sequence(append(cmds, func() tea.Msg {
		for _, f := range shown {
			f()
		}
		return printed{}
	})...)
}

// printAbove prints above the prompt; tests listen in.
var printAbove = tea.Println

// painter draws for the scrollback.
func (m *model) painter() *painter {
	return &painter{self: m.cfg.Self, width: max(1, m.size.Width-1), colour: m.cfg.Colour, wide: most}
}

// finish writes what was not printed, when the program is over: in full screen, all that came meanwhile.
func (m *model) finish() {
	for batch := m.chat.take(maxBatch); len(batch) > 0; batch = m.chat.take(maxBatch) {
		m.out.busy = true // nothing is printed but here
		m.accept(batch)
	}
	m.talk.calmDown()
	m.share()
	m.out.paint(m.painter(), m.cfg.Now())
	rows, shown := m.out.piece(math.MaxInt, m.size.Width)
	if len(rows) > 0 {
		_, _ = io.WriteString(crlf{m.cfg.Out}, strings.Join(rows, "\n")+"\n") // a terminal that is gone shows nothing
	}
	for _, f := range shown {
		f()
	}
}
