package terminal

import (
	"sync"

	"golang.org/x/term"
)

// rawMode is the state of the terminal from which this process is used, which
// outlives the process and is put back whatever ends it.
type rawMode struct {
	mu    sync.Mutex
	fd    int
	state *term.State
}

var rawTerminal rawMode

// MakeRaw makes the terminal raw: each key is read at once and not shown, and none
// makes a signal. It stays so until [Restore].
func (s *Stream) MakeRaw() (err error) {
	r := &rawTerminal
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fd = s.fd()
	r.state, err = term.MakeRaw(r.fd)
	return err
}

// Restore puts the terminal back as it was, if it was changed.
func Restore() {
	rawTerminal.mu.Lock()
	defer rawTerminal.mu.Unlock()
	if rawTerminal.state != nil {
		_ = term.Restore(rawTerminal.fd, rawTerminal.state)
		rawTerminal.state = nil
	}
}

// Guarded runs f, and puts the terminal back if f panics: nobody can read the
// message of a panic in raw mode, nor type afterwards.
func Guarded(f func()) {
	returned := false
	defer func() {
		if !returned {
			Restore()
		}
	}()
	f()
	returned = true
}
