// Package tui is the chat on a terminal: line mode, in which everything scrolls by above a prompt and
// stays in the terminal's own scrollback, and full screen. It shows what a [chat.Frontend] gives it, and
// is the input of that front end.
//
//	events, answers ──▶ Chat: queue ──▶ model (bubbletea) ──▶ terminal
//	lines.Listener  ◀── Chat: typed ◀── model             ◀── keys
//
// The terminal may be that of this process or of another one (quicpeer attach): a Chat knows bytes
// only. All state is in the model, which one goroutine changes.
package tui

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"
	uv "github.com/charmbracelet/ultraviolet"

	"quicpeer/certs"
	"quicpeer/internal/chat"
	"quicpeer/internal/chat/edit"
	"quicpeer/internal/lines"
	"quicpeer/internal/terminal"
	"quicpeer/overlay"
)

// Node is the part of a [lines.Node] that a chat looks at by itself.
type Node interface {
	Peers() []overlay.Peer
	Rooms() []overlay.Room
	Past(context.Context, overlay.Query) ([]overlay.Said, error)
}

// Size is that of a terminal, in characters.
type Size = terminal.Size

// Config is what a chat is made of.
type Config struct {
	Self   certs.ID
	Key    certs.PublicKey
	Node   Node
	Inputs *edit.Inputs

	Keys    io.Reader   // what is typed, as bytes
	Out     io.Writer   // what is shown
	Size    Size        // at the beginning
	Resized <-chan Size // afterwards; may be nil

	Term   string // the terminal's name, as in $TERM
	Home   string // the user's home directory, for names of files; may be empty
	Colour bool
	Full   bool   // begin in full screen
	Bye    string // what Ctrl-D on an empty line does: "leaves", or "detaches"

	// Suspend stops the process behind the terminal and returns when it goes on; nil: it can't be.
	Suspend func()
	Now     func() time.Time
}

// Chat is a [chat.Screen] and a [lines.Input] on a terminal, while it runs.
type Chat struct {
	cfg   Config
	keys  *keys
	typed chan input
	model *model // while it runs

	// Called on the goroutine of Next: to put a conversation in front of the front end, and to say which message, in
	// which conversation, the /edit that Next returns is about.
	front func(certs.ID)
	edits func(certs.ID, overlay.MessageID)

	mu     sync.Mutex
	queue  []item
	wake   chan struct{} // holds a token when there is something in the queue
	logged int           // lines of the log, and notes, in the queue
	lost   int           // further ones, which had no room there
	closed bool          // nothing more is shown here
	rest   chat.Screen
}

// item is something to show.
type item struct {
	event overlay.Event
	shown func()
	note  *chat.Note
	last  bool // the note is the last thing
	log   string
	turn  certs.ID // the conversation that is in front now
	keyed bool     // the front end has come to a conversation that a key has put in front
	part  certs.ID // the room that was left
	past  []overlay.Said
	since time.Time
	seen  uint64
}

// input is a line that was typed, or the conversation that was put in front by a key.
type input struct {
	line  []byte
	front certs.ID // also that of the message that the line edits
	edits overlay.MessageID
}

// maxTyped is how many lines may wait to be executed, a guess; then Enter does nothing.
const maxTyped = 64

// New returns a chat.
func New(cfg Config) *Chat {
	return &Chat{cfg: cfg, keys: newKeys(), typed: make(chan input, maxTyped), wake: make(chan struct{}, 1)}
}

// Front says what puts a conversation in front of the front end. Called before Next.
func (c *Chat) Front(front func(certs.ID)) { c.front = front }

// Edits says what is told which message an edit is about. Called before Next.
func (c *Chat) Edits(edits func(certs.ID, overlay.MessageID)) { c.edits = edits }

// Event shows an event, and calls shown when that was done. The queue has no bound of its own: whoever
// gives events waits until enough of them were shown.
func (c *Chat) Event(e overlay.Event, shown func()) error { return c.put(item{event: e, shown: shown}) }

// Note shows what the program has to say.
func (c *Chat) Note(n chat.Note) error { return c.put(item{note: &n}) }

// Last is Note: the chat ends by itself before.
func (c *Chat) Last(n chat.Note) error { return c.put(item{note: &n, last: true}) }

// Turned says that another conversation is in front.
func (c *Chat) Turned(front certs.ID) { _ = c.put(item{turn: front}) } // it can't fail while it runs

// Parted says that this peer has left a room.
func (c *Chat) Parted(room certs.ID) { _ = c.put(item{part: room}) }

// Earlier shows what was said before, with a mark before all that is behind the position seen: it is new since
// then. A zero time: all was seen.
func (c *Chat) Earlier(list []overlay.Said, since time.Time, seen uint64) error {
	return c.put(item{past: list, since: since, seen: seen})
}

// maxLogged is how many lines of the log and notes wait while the terminal takes nothing, a guess; further ones are
// counted: others can cause them without end.
const maxLogged = 1000

// Write shows lines of the log, which come however slow the terminal is.
func (c *Chat) Write(b []byte) (int, error) {
	return len(b), c.put(item{log: string(b)})
}

// waits says that nobody waits until it is shown, however many come.
func (i item) waits() bool { return i.log != "" || i.note != nil && !i.last }

// put appends to the queue; once the chat is closed it goes to what follows.
func (c *Chat) put(i item) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock() // it may take long
		return c.pass(i)
	}
	defer c.mu.Unlock()
	if i.waits() {
		if c.logged == maxLogged {
			c.lost++
			return nil
		}
		c.logged++
	}
	c.queue = append(c.queue, i)
	select {
	case c.wake <- struct{}{}:
	default:
	}
	return nil
}

// take removes up to n items from the queue.
func (c *Chat) take(n int) []item {
	c.mu.Lock()
	defer c.mu.Unlock()
	n = min(n, len(c.queue))
	batch := c.queue[:n:n]
	c.queue = c.queue[n:]
	if len(c.queue) == 0 {
		c.queue = nil
	}
	for _, i := range batch {
		if i.waits() {
			c.logged--
		}
	}
	if c.lost > 0 && c.logged == 0 {
		batch = append(batch, item{log: fmt.Sprintf("%d lines of this program were dropped: the terminal was too slow", c.lost)})
		c.lost = 0
	}
	return batch
}

// Next returns the next line that was typed. It is [io.EOF] when the user leaves.
func (c *Chat) Next() ([]byte, error) {
	for i := range c.typed {
		if i.line != nil {
			if i.front != "" && c.edits != nil {
				c.edits(i.front, i.edits)
			}
			return i.line, nil
		}
		if c.front != nil {
			c.front(i.front)
		}
		_ = c.put(item{keyed: true}) // it can't fail while it runs
	}
	return nil, io.EOF
}

// enter passes a line on. It returns false when too many wait.
func (c *Chat) enter(i input) bool {
	select {
	case c.typed <- i:
		return true
	default:
		return false
	}
}

// Run shows the chat until the user leaves or ctx ends. All that was taken from the queue is shown then.
func (c *Chat) Run(ctx context.Context) error {
	m := newModel(c)
	c.model = m
	go c.keys.pump(c.cfg.Keys) // a read of a terminal can't be interrupted, so this may outlive the run
	var err error
	for {
		err = c.program(ctx, m)
		if !m.suspended || ctx.Err() != nil || err != nil {
			break
		}
		m.suspended = false
		c.cfg.Suspend()
	}
	c.keys.end()
	close(c.typed)
	m.finish()
	return err
}

// program runs the model until it quits.
func (c *Chat) program(ctx context.Context, m *model) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	over := make(chan struct{}) // behind ctx, after whose end it is still printed what is left
	defer close(over)
	m.prompt.over = over
	keys := c.keys.reader()
	profile := colorprofile.ASCII
	if c.cfg.Colour {
		profile = colorprofile.ANSI
	}
	idle, none := io.Pipe() // bubbletea's own reader of input does not end while it has keys for a program that has
	defer none.Close()
	p := tea.NewProgram(m, tea.WithInput(idle), tea.WithOutput(crlf{c.cfg.Out}), tea.WithoutSignalHandler(),
		tea.WithEnvironment([]string{"TERM=" + c.cfg.Term}), tea.WithColorProfile(profile), tea.WithWindowSize(m.size.Width, m.size.Height))
	var feeding sync.WaitGroup
	events := make(chan uv.Event)
	feeding.Go(func() {
		defer close(events)
		_ = uv.NewTerminalReader(keys, c.cfg.Term).StreamEvents(ctx, events) // the end of the keys is noticed below
	})
	feeding.Go(func() {
		for e := range events {
			p.Send(e)
		}
	})
	feeding.Go(func() {
		for {
			select {
			case <-c.wake:
				p.Send(fed{})
			case size := <-c.cfg.Resized:
				p.Send(tea.WindowSizeMsg{Width: size.Width, Height: size.Height})
			case <-c.keys.over: // the terminal is gone: bubbletea would stay
				p.Send(ended{})
				return
			case <-ctx.Done():
				p.Send(ended{})
				return
			}
		}
	})
	_, err := p.Run()
	keys.stop()
	cancel()
	feeding.Wait()
	if m.answers {
		if _, err := io.WriteString(c.cfg.Out, ask); err == nil {
			c.keys.drain(answerPatience)
		}
	}
	if m.full.on { // the prompt of line mode is still there, with the cursor in it
		_, _ = io.WriteString(c.cfg.Out, "\r"+strings.Repeat("\x1b[A", m.above)+"\x1b[J") // a terminal that is gone shows nothing
		m.above = 0
	}
	return err
}

// answerPatience is how long a terminal that has answered before may take to answer once more, a guess: more than a round
// trip around the earth.
const answerPatience = time.Second

// crlf writes to a raw terminal, where LF alone keeps the column: bubbletea believes otherwise, since it sees
// a stream and no terminal.
type crlf struct{ w io.Writer }

func (c crlf) Write(b []byte) (int, error) {
	_, err := c.w.Write(bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n")))
	return len(b), err
}

// Finish is called behind Run. All that was not shown, or comes later, goes to rest; nil: nowhere.
func (c *Chat) Finish(rest chat.Screen) {
	c.rest = rest
	for {
		c.mu.Lock()
		batch := c.queue
		c.queue, c.closed = nil, len(batch) == 0
		c.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		for _, i := range batch { // what comes meanwhile is queued behind them
			_ = c.pass(i) // its error comes again with the next one
		}
	}
}

// pass gives an item to the rest.
func (c *Chat) pass(i item) error {
	switch {
	case c.rest == nil && i.shown != nil:
		i.shown()
	case c.rest == nil:
	case i.event != nil:
		return c.rest.Event(i.event, i.shown)
	case i.last:
		return c.rest.Last(*i.note)
	case i.note != nil:
		return c.rest.Note(*i.note)
	case i.past != nil:
		return c.rest.Earlier(i.past, i.since, i.seen)
	}
	return nil
}

var _ lines.Input = (*Chat)(nil)
var _ chat.Screen = (*Chat)(nil)
