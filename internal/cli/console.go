package cli

import (
	"io"
	"strings"

	"quicpeer/certs"
	"quicpeer/internal/chat"
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
	interrupt func()
	typed     bool // standard input is a terminal
	colour    bool
	logColour bool
	opened    *chat.Prompt // until restore
}

func newConsole(stdin io.Reader, stdout, stderr io.Writer, getenv func(string) string, interrupt func()) *console {
	c := &console{stdin: stdin, out: lines.NewOutput(stdout), log: lines.NewOutput(stderr), interrupt: interrupt}
	plain := getenv("NO_COLOR") != "" || getenv("TERM") == "dumb"
	if f, ok := terminal.Of(stdout); ok {
		c.stdout = f
		c.colour = !plain && f.EnableEscapes()
	}
	if f, ok := terminal.Of(stderr); ok {
		c.stderr = f
		c.logColour = !plain && f.EnableEscapes()
	}
	f, typed := terminal.Of(stdin)
	c.typed = typed
	if typed && c.stdout != nil && getenv("TERM") != "dumb" && c.stdout.EnableEscapes() {
		c.prompt = f
	}
	return c
}

// plain leaves out everything that a line printer could not do.
func (c *console) plain() { c.prompt, c.colour, c.logColour = nil, false, false }

// open returns the front end for the user, and its input. On a terminal text is typed at
// a prompt, above which everything else appears.
func (c *console) open(o options, self certs.ID, version string) (lines.Frontend, lines.Input) {
	if o.json {
		return jsonl.New(c.out, version), lines.NewReader(c.stdin)
	}
	front := chat.New(c.out, chat.Look{Terminal: c.stdout != nil, Dated: o.noInput, Colour: c.colour, Width: c.width})
	front.KeyFile = o.keyFile
	if c.prompt != nil && !o.noInput {
		if err := c.openPrompt(self); err == nil {
			prompt := c.opened
			front.Turned = func(room certs.ID) { prompt.SetText(strings.TrimSpace(string(self)+" "+string(room)) + "> ") }
			return front, prompt
		}
	}
	return front, lines.NewReader(c.stdin)
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

// openPrompt takes over the terminal until restore. Nothing is written meanwhile: a raw
// terminal does not begin a new line at the left.
func (c *console) openPrompt(self certs.ID) error {
	return c.switchTo(func() (io.Writer, io.Writer, error) {
		p, err := chat.OpenPrompt(c.prompt, c.stdout, string(self)+"> ", c.interrupt)
		if err == nil {
			c.opened = p
		}
		return p, p, err
	})
}

// restore gives the terminal back. From now on output goes to it without the prompt.
func (c *console) restore() {
	if c.opened == nil {
		return
	}
	c.opened.Close()
	c.opened = nil
	_ = c.switchTo(func() (io.Writer, io.Writer, error) { // it can't fail
		terminal.Restore()
		io.WriteString(c.stdout, "\r\x1b[K") // instead of the prompt
		return c.stdout, c.stderr, nil
	})
}

// switchTo has change say where standard output and, if it is a terminal, standard error go
// from now on.
func (c *console) switchTo(change func() (out, log io.Writer, err error)) error {
	if c.stderr == nil {
		return c.out.Switch(func() (io.Writer, error) {
			out, _, err := change()
			return out, err
		})
	}
	return c.log.Switch(func() (log io.Writer, err error) {
		err = c.out.Switch(func() (out io.Writer, err error) {
			out, log, err = change()
			return out, err
		})
		return log, err
	})
}
