//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// watchSize calls f whenever the terminal's size has changed, until stop.
func watchSize(f func()) (stop func()) {
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

// enableEscapes reports whether the terminal understands escape sequences.
func enableEscapes(*os.File) bool { return true }
