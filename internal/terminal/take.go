package terminal

import (
	"io"
	"sync"
	"time"
)

// Size is that of a terminal, in characters.
type Size struct{ Width, Height int }

// Taken is a terminal that a program has for itself: keys are read one by one, not echoed, and raise no
// signals, until Give or [Restore].
type Taken struct {
	in, out *Stream
	resized chan Size // the last size that was not looked at
	unwatch func()
	given   sync.Once
}

// Take makes a terminal raw: in reads from it, out writes to it.
func Take(in, out *Stream) (*Taken, error) {
	if err := in.MakeRaw(); err != nil {
		return nil, err
	}
	t := &Taken{in: in, out: out, resized: make(chan Size, 1)}
	rawTerminal.setScreen(out)
	t.unwatch = out.WatchSize(t.look)
	return t, nil
}

// look puts the size in the place of an older one.
func (t *Taken) look() {
	select {
	case <-t.resized:
	default:
	}
	select {
	case t.resized <- t.Size():
	default: // another look has just done it
	}
}

// Size is the size now; 80 by 24 if it isn't known.
func (t *Taken) Size() Size {
	width, height, err := t.out.Size()
	if err != nil || width <= 0 || height <= 0 {
		return Size{80, 24}
	}
	return Size{width, height}
}

// Resized yields the size when it has changed.
func (t *Taken) Resized() <-chan Size { return t.resized }

// Suspend gives the terminal back and stops this process, as Ctrl-Z does elsewhere. It returns when the
// process goes on, with the terminal raw again.
func (t *Taken) Suspend() {
	Restore()
	stop()
	_ = t.in.MakeRaw() // if the terminal is gone, the next read says so
	t.look()
}

// Give gives the terminal back.
func (t *Taken) Give() {
	t.given.Do(func() {
		t.unwatch()
		rawTerminal.setScreen(nil)
		Restore()
	})
}

// resetScreen undoes what a program on a terminal may have asked of it: the alternate screen, the keyboard
// protocols of kitty and xterm, reports of focus, bracketed paste, a hidden cursor, colours. Kitty's protocol is
// one of each screen.
const resetScreen = "\x1b[=0u\x1b[?1049l\x1b[<u\x1b[>4m\x1b[?1004l\x1b[?2004l\x1b[?25h\x1b[0m\r\n"

// Abort is Restore for a process that ends at once: what is on the screen can't tidy up by itself.
func Abort() {
	rawTerminal.mu.Lock()
	screen := rawTerminal.screen
	rawTerminal.mu.Unlock()
	if screen != nil {
		written := make(chan struct{})
		go func() {
			defer close(written)
			_, _ = io.WriteString(screen, resetScreen) // there is nowhere left to report a failure
		}()
		select {
		case <-written:
		case <-time.After(time.Second): // the terminal takes nothing
		}
	}
	Restore()
}
