package chat

import (
	"bytes"
	"errors"
	"io"
	"sync"

	"golang.org/x/term"

	"quicpeer/internal/terminal"
)

// Prompt reads typed lines at the bottom of the terminal. Whatever is written to it
// appears above.
type Prompt struct {
	t       *term.Terminal
	unwatch func()
}

// OpenPrompt takes over the terminal until [terminal.Restore]: in reads from it, out
// writes to it. Keys raise no signals meanwhile, so Ctrl-C calls interrupt.
func OpenPrompt(in, out *terminal.Stream, text string, interrupt func()) (*Prompt, error) {
	if err := in.MakeRaw(); err != nil {
		return nil, err
	}
	k := &keys{}
	k.more = sync.NewCond(&k.mu)
	go k.pump(in, interrupt)
	p := &Prompt{t: term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{k, out}, text)}
	resize := func() {
		if width, height, err := out.Size(); err == nil && width > 0 {
			_ = p.t.SetSize(width, height)
		}
	}
	resize()
	p.unwatch = terminal.WatchSize(resize)
	return p, nil
}

// SetText changes what stands before the line.
func (p *Prompt) SetText(text string) { p.t.SetPrompt(text) }

// Close stops following the terminal's size.
func (p *Prompt) Close() { p.unwatch() }

// Write writes above the prompt.
func (p *Prompt) Write(b []byte) (int, error) { return p.t.Write(b) }

// Next returns the next line that was typed.
func (p *Prompt) Next() ([]byte, error) {
	line, err := p.t.ReadLine()
	if err != nil && !errors.Is(err, term.ErrPasteIndicator) {
		return nil, err
	}
	return []byte(line), nil
}

// keys holds what was typed and not yet read. It looks at every key at once, even while
// nobody reads because too many messages wait to be accepted: in raw mode Ctrl-C raises no
// signal.
type keys struct {
	mu   sync.Mutex
	more *sync.Cond
	buf  []byte
	err  error
}

const (
	ctrlC   = 3
	maxKeys = 1 << 20 // typed ahead, or pasted; beyond that the terminal waits
)

// pump reads until r ends. Nothing else can stop it, so it may outlive the run.
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
