package cli

import (
	"context"
	"io"
	"time"

	"quicpeer/internal/chat"
	"quicpeer/internal/chat/tui"
	"quicpeer/internal/jsonl"
	"quicpeer/internal/lines"
	"quicpeer/internal/terminal"
)

// console is the standard streams of the process, each of which may be a terminal, a pipe
// or a file.
type console struct {
	stdin     io.Reader
	out       *lines.Output    // standard output
	log       *lines.Output    // standard error, for logs
	stdout    *terminal.Stream // nil if it is not a terminal
	stderr    *terminal.Stream // nil if it is not a terminal
	prompt    *terminal.Stream // standard input, if a prompt is possible: input and output are a terminal
	typed     bool             // standard input is a terminal
	colour    bool
	logColour bool
	term      string // $TERM
	home      string

	opened *opened // until restore
}

// opened is a terminal that a chat has for itself.
type opened struct {
	taken *terminal.Taken
	chat  *tui.Chat
	end   context.CancelFunc
	ended chan struct{}
}

func newConsole(stdin io.Reader, stdout, stderr io.Writer, getenv func(string) string) *console {
	c := &console{stdin: stdin, out: lines.NewOutput(stdout), log: lines.NewOutput(stderr), term: getenv("TERM"), home: getenv("HOME")}
	plain := getenv("TERM") == "dumb" || getenv("ACCESSIBLE") != ""
	colour := !plain && getenv("NO_COLOR") == ""
	if f, ok := terminal.Of(stdout); ok {
		c.stdout = f
		c.colour = colour && f.EnableEscapes()
	}
	if f, ok := terminal.Of(stderr); ok {
		c.stderr = f
		c.logColour = colour && f.EnableEscapes()
	}
	f, typed := terminal.Of(stdin)
	c.typed = typed
	if typed && c.stdout != nil && !plain && c.stdout.EnableEscapes() {
		c.prompt = f
	}
	return c
}

// plain leaves out everything that a line printer could not do.
func (c *console) plain() { c.prompt, c.colour, c.logColour = nil, false, false }

// open returns the front end for the user, and its input. On a terminal text is typed at
// a prompt, above which everything else appears, or in full screen.
func (c *console) open(o options, cfg tui.Config, version string) (lines.Frontend, lines.Input) {
	if o.json {
		return jsonl.New(c.out, version), lines.NewReader(c.stdin)
	}
	if c.prompt != nil && !o.noInput {
		if taken, err := terminal.Take(c.prompt, c.stdout); err == nil {
			return c.openChat(o, cfg, taken)
		}
	}
	front := chat.New(c.out, c.look(o.noInput))
	front.KeyFile, front.Home = o.keyFile, c.home
	return front, lines.NewReader(c.stdin)
}

// look is the style of plain lines.
func (c *console) look(dated bool) chat.Look {
	return chat.Look{Terminal: c.stdout != nil, Dated: dated, Colour: c.colour, Width: c.width}
}

// openChat begins a chat on the terminal, until restore.
func (c *console) openChat(o options, cfg tui.Config, taken *terminal.Taken) (lines.Frontend, lines.Input) {
	cfg.Keys, cfg.Out, cfg.Size, cfg.Resized, cfg.Suspend = c.prompt, c.stdout, taken.Size(), taken.Resized(), func() {
		_, _ = io.WriteString(c.stdout, "this peer stops; after two seconds the others miss it. fg goes on\r\n") // a terminal that is gone needs none
		taken.Suspend()
	}
	cfg.Term, cfg.Home, cfg.Colour, cfg.Full, cfg.Bye, cfg.Now = c.term, c.home, c.colour, o.full, "leaves the network", time.Now
	screen := tui.New(cfg)
	front := chat.NewOn(screen, c.colour)
	front.KeyFile, front.Home, front.Turned, front.Parted = o.keyFile, c.home, screen.Turned, screen.Parted
	screen.Front(front.Front)
	screen.Edits(front.Edited.Set)
	ctx, end := context.WithCancel(context.Background())
	c.opened = &opened{taken, screen, end, make(chan struct{})}
	if c.stderr != nil {
		_ = c.log.Switch(func() (io.Writer, error) { return screen, nil }) // it can't fail
	}
	go terminal.Guarded(func() {
		defer close(c.opened.ended)
		_ = screen.Run(ctx) // the end of the input says that it is over
	})
	return front, screen
}

func (c *console) width() int {
	if c.stdout == nil {
		return 0
	}
	width, _, err := c.stdout.Size()
	if err != nil {
		return 0
	}
	return width
}

// restore gives the terminal back. From now on output goes to it without the prompt.
func (c *console) restore() {
	if c.opened == nil {
		return
	}
	o := c.opened
	c.opened = nil
	o.end()
	select {
	case <-o.ended:
	case <-time.After(outputPatience): // nobody reads what the terminal shows, or will read what follows
		_ = c.out.Switch(func() (io.Writer, error) { return stuck{}, nil }) // it can't fail
	}
	o.taken.Give()
	if c.stderr != nil {
		_ = c.log.Switch(func() (io.Writer, error) { return c.stderr, nil }) // it can't fail
	}
	o.chat.Finish(chat.Plain(c.out, c.look(false)))
}

// stuck is a terminal that takes nothing.
type stuck struct{}

func (stuck) Write([]byte) (int, error) { return 0, errOutputStuck.Err }
