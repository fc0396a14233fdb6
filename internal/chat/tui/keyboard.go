package tui

import (
	"bytes"
	"io"
	"regexp"
	"sync"
	"time"
)

// keys holds what was typed and not yet read, over several programs on the same terminal: one that ends
// takes nothing with it that it has not read.
type keys struct {
	mu   sync.Mutex
	more *sync.Cond
	buf  []byte
	err  error
	done bool          // nothing reads them any more
	over chan struct{} // closed when all was read, and no more comes
}

// maxKeys is how much may be typed ahead, or pasted; beyond that the terminal waits.
const maxKeys = 4 << 20

func newKeys() *keys {
	k := &keys{over: make(chan struct{})}
	k.more = sync.NewCond(&k.mu)
	return k
}

// pump reads until r ends, or until it has read something after end.
func (k *keys) pump(r io.Reader) {
	b := make([]byte, 32<<10)
	for {
		n, err := r.Read(b)
		k.mu.Lock()
		k.buf = append(k.buf, b[:n]...)
		k.err = err
		k.more.Broadcast()
		for len(k.buf) > maxKeys && !k.done {
			k.more.Wait()
		}
		done := k.done
		k.mu.Unlock()
		if err != nil || done {
			return
		}
	}
}

// end says that nothing reads the keys any more.
func (k *keys) end() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.done = true
	k.more.Broadcast()
}

// ask is a question that every terminal answers (primary device attributes, ECMA-48), in its turn.
const ask = "\x1b[c"

// anAnswer is its answer; answers are these and those to what bubbletea asks.
var (
	anAnswer = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\x1b\[\?[0-9;]*c`) })
	answers  = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\x1b\[\?[0-9;]*(c|u|\$y)`) })
)

// drain takes what the terminal answers out of the keys, up to the answer to ask: else it would come when the
// program has ended, and the shell would read it. It waits no longer than the patience.
func (k *keys) drain(patience time.Duration) {
	late := false
	timer := time.AfterFunc(patience, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		late = true
		k.more.Broadcast()
	})
	defer timer.Stop()
	k.mu.Lock()
	defer k.mu.Unlock()
	for !late && k.err == nil && !anAnswer().Match(k.buf) {
		k.more.Wait()
	}
	k.buf = answers().ReplaceAll(k.buf, nil)
}

// reader returns a reader for one program.
func (k *keys) reader() *keyReader { return &keyReader{keys: k} }

type keyReader struct {
	keys    *keys
	stopped bool
}

// stop ends the reader: a Read that waits returns.
func (r *keyReader) stop() {
	r.keys.mu.Lock()
	defer r.keys.mu.Unlock()
	r.stopped = true
	r.keys.more.Broadcast()
}

func (r *keyReader) Read(p []byte) (int, error) {
	k := r.keys
	k.mu.Lock()
	defer k.mu.Unlock()
	for len(k.buf) == 0 && k.err == nil && !r.stopped {
		k.more.Wait()
	}
	switch {
	case r.stopped:
		return 0, io.EOF
	case len(k.buf) == 0:
		select {
		case <-k.over:
		default:
			close(k.over)
		}
		return 0, k.err
	}
	k.buf = linuxKeys.replace(k.buf)
	n := copy(p, k.buf)
	k.buf = k.buf[n:]
	k.more.Broadcast()
	return n, nil
}

// linuxKeys are F1 to F5 of the Linux console, which bubbletea reads as letters, as xterm sends them.
var linuxKeys = replacements{"\x1b[[A": "\x1bOP", "\x1b[[B": "\x1bOQ", "\x1b[[C": "\x1bOR", "\x1b[[D": "\x1bOS", "\x1b[[E": "\x1b[15~"}

type replacements map[string]string

func (r replacements) replace(b []byte) []byte {
	if !bytes.Contains(b, []byte("\x1b[[")) {
		return b
	}
	for from, to := range r {
		b = bytes.ReplaceAll(b, []byte(from), []byte(to))
	}
	return b
}

// sameKeys are keys that only the keyboard protocol of kitty tells from others.
var sameKeys = map[string]string{"ctrl+i": "tab", "ctrl+m": "enter", "ctrl+[": "esc", "shift+esc": "esc"}
