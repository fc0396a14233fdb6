package main

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"time"

	"golang.org/x/term"

	"quicpeer/certs"
)

// console is what the process has been started on: a terminal, pipes, files, or
// a mixture.
type console struct {
	stdin     io.Reader
	out       *output // standard output
	log       *output // standard error, for logs
	stdout    *stream // where it is a terminal
	stderr    *stream // where it is a terminal
	prompt    *stream // standard input, where there can be a prompt: both ways are a terminal
	interrupt func()
	typed     bool // standard input is a terminal
	colour    bool
	logColour bool
	unwatch   func()
}

func newConsole(stdin io.Reader, stdout, stderr io.Writer, getenv func(string) string, interrupt func()) *console {
	c := &console{stdin: stdin, out: &output{w: stdout}, log: &output{w: stderr}, interrupt: interrupt}
	plain := getenv("NO_COLOR") != "" || getenv("TERM") == "dumb"
	if f, ok := terminalFile(stdout); ok {
		c.stdout = f
		c.colour = !plain && enableEscapes(f.file)
	}
	if f, ok := terminalFile(stderr); ok {
		c.stderr = f
		c.logColour = !plain && enableEscapes(f.file)
	}
	f, typed := terminalFile(stdin)
	c.typed = typed
	if typed && c.stdout != nil && getenv("TERM") != "dumb" && enableEscapes(c.stdout.file) {
		c.prompt = f
	}
	return c
}

// terminalFile is v as a stream, if it is a terminal.
func terminalFile(v any) (*stream, bool) {
	s, ok := v.(*stream)
	return s, ok && term.IsTerminal(s.fd())
}

// logs is where logs are written.
func (c *console) logs() io.Writer { return c.log }

// open begins to speak with the user. On a terminal typed text gets a prompt,
// above which everything else appears.
func (c *console) open(o options, self certs.ID) (speech, lines) {
	if o.json {
		return &jsonl{out: c.out, now: time.Now}, newLineReader(c.stdin)
	}
	t := &text{out: c.out, colour: c.colour, terminal: c.stdout != nil, dated: o.noInput, width: c.width, now: time.Now}
	if c.prompt != nil && !o.noInput {
		if input, err := c.openPrompt(self); err == nil {
			return t, input
		}
	}
	return t, newLineReader(c.stdin)
}

func (c *console) width() int {
	if c.stdout == nil {
		return 0
	}
	width, _, err := term.GetSize(c.stdout.fd())
	if err != nil {
		return 0
	}
	return width
}

// openPrompt takes over the terminal until restore.
func (c *console) openPrompt(self certs.ID) (lines, error) {
	if err := rawTerminal.enter(c.prompt); err != nil {
		return nil, err
	}
	k := &keys{}
	k.more = sync.NewCond(&k.mu)
	go k.pump(c.prompt, c.interrupt)
	t := term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{k, c.stdout}, string(self)+"> ")
	resize := func() {
		if width, height, err := term.GetSize(c.stdout.fd()); err == nil && width > 0 {
			_ = t.SetSize(width, height)
		}
	}
	resize()
	c.unwatch = watchSize(resize)
	c.out.redirect(t)
	if c.stderr != nil {
		c.log.redirect(t)
	}
	return prompt{t}, nil
}

// restore gives the terminal back. What is written from now on is written plainly.
func (c *console) restore() {
	if c.unwatch == nil {
		return
	}
	c.unwatch()
	c.unwatch = nil
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	restoreTerminal()
	io.WriteString(c.stdout, "\r\x1b[K") // instead of the prompt
	c.out.w = c.stdout
	if c.stderr != nil {
		c.log.w = c.stderr
	}
}

// prompt reads typed lines from the terminal.
type prompt struct{ t *term.Terminal }

func (p prompt) next() ([]byte, error) {
	line, err := p.t.ReadLine()
	if err != nil && !errors.Is(err, term.ErrPasteIndicator) {
		return nil, err
	}
	return []byte(line), nil
}

// keys is what was typed and not yet read. It looks at every key at once, also
// while nobody reads because too many messages wait to be accepted: raw mode makes
// no signal of Ctrl-C.
type keys struct {
	mu   sync.Mutex
	more *sync.Cond
	buf  []byte
	err  error
}

const (
	ctrlC   = 3
	maxKeys = 1 << 20 // typed ahead, or pasted; then the terminal has to wait
)

// pump reads until r ends. Nothing can end it before, so it may outlive the run.
func (k *keys) pump(r io.Reader, interrupt func()) {
	b := make([]byte, 4096)
	for {
		n, err := r.Read(b)
		if bytes.IndexByte(b[:n], ctrlC) >= 0 {
			interrupt()
		}
		k.mu.Lock()
		for len(k.buf) > maxKeys {
			k.more.Wait()
		}
		k.buf = append(k.buf, b[:n]...)
		k.err = err
		k.more.Broadcast()
		k.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (k *keys) Read(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for len(k.buf) == 0 && k.err == nil {
		k.more.Wait()
	}
	if len(k.buf) == 0 {
		return 0, k.err
	}
	n := copy(p, k.buf)
	k.buf = k.buf[n:]
	k.more.Broadcast()
	return n, nil
}

// rawMode is the state of the terminal from which this process is used, which
// outlives the process and is put back whatever ends it.
type rawMode struct {
	mu    sync.Mutex
	fd    int
	state *term.State
}

var rawTerminal rawMode

func (r *rawMode) enter(f *stream) (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fd = f.fd()
	r.state, err = term.MakeRaw(r.fd)
	return err
}

// restoreTerminal puts the terminal back as it was, if it was changed.
func restoreTerminal() {
	rawTerminal.mu.Lock()
	defer rawTerminal.mu.Unlock()
	if rawTerminal.state != nil {
		_ = term.Restore(rawTerminal.fd, rawTerminal.state)
		rawTerminal.state = nil
	}
}

// guarded runs f, and puts the terminal back if f panics: nobody can read the
// message of a panic in raw mode, nor type afterwards.
func guarded(f func()) {
	returned := false
	defer func() {
		if !returned {
			restoreTerminal()
		}
	}()
	f()
	returned = true
}
