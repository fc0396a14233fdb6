//go:build unix

package terminal

import (
	"os"
	"os/signal"
	"syscall"
)

// WatchSize calls f whenever the size of the terminal changes, until stop is called.
func WatchSize(f func()) (stop func()) {
	changed := make(chan os.Signal, 1)
	done := make(chan struct{})
	signal.Notify(changed, syscall.SIGWINCH)
	go func() {
		for {
			select {
			case <-changed:
				f()
			case <-done:
				return
			}
		}
	}()
	return func() {
		signal.Stop(changed)
		close(done)
	}
}

// EnableEscapes reports whether the terminal understands escape sequences.
func (s *Stream) EnableEscapes() bool { return true }
