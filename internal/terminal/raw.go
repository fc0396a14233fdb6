package terminal

import (
	"sync"

	"golang.org/x/term"
)

// rawMode remembers how the terminal was set before it became raw. The setting
// outlives the process, so it is restored whatever ends the process.
type rawMode struct {
	mu     sync.Mutex
	fd     int
	state  *term.State
	screen *Stream // on which a program draws; nil: none does
}

func (r *rawMode) setScreen(screen *Stream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.screen = screen
}

var rawTerminal rawMode

// MakeRaw makes the terminal raw until [Restore]: keys are read one by one, not
// echoed, and raise no signals.
func (s *Stream) MakeRaw() (err error) {
	r := &rawTerminal
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fd = s.fd()
	r.state, err = term.MakeRaw(r.fd)
	return err
}

// Restore undoes MakeRaw, if it was called.
func Restore() {
	rawTerminal.mu.Lock()
	defer rawTerminal.mu.Unlock()
	if rawTerminal.state != nil {
		_ = term.Restore(rawTerminal.fd, rawTerminal.state)
		rawTerminal.state = nil
	}
}

// Guarded runs f, and restores the terminal if f panics: in raw mode the panic message
// would be unreadable, and the shell unusable afterwards.
func Guarded(f func()) {
	returned := false
	defer func() {
		if !returned {
			Abort()
		}
	}()
	f()
	returned = true
}
