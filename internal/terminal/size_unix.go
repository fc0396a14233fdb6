//go:build unix

package terminal

import (
	"os"
	"os/signal"
	"syscall"
	"time"
)

// WatchSize calls f whenever the size of the terminal changes, until stop is called.
func (s *Stream) WatchSize(f func()) (stop func()) {
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

// stop stops the processes of this job, and returns when they go on. The kernel does not stop a job that no shell
// could continue, such as the only command in a window: then it returns a second later, and so it may when a
// job goes on that was stopped for longer.
func stop() {
	goesOn := make(chan os.Signal, 1)
	signal.Notify(goesOn, syscall.SIGCONT)
	defer signal.Stop(goesOn)
	if syscall.Kill(0, syscall.SIGTSTP) == nil {
		select {
		case <-goesOn:
		case <-time.After(time.Second):
		}
	}
}

// EnableEscapes reports whether the terminal understands escape sequences.
func (s *Stream) EnableEscapes() bool { return true }
