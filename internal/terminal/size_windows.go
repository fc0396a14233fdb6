package terminal

import (
	"time"

	"golang.org/x/sys/windows"
)

// WatchSize calls f whenever the size of the terminal changes, until stop is called. Windows has no
// signal for that, so it is looked at now and then.
func (s *Stream) WatchSize(f func()) (stop func()) {
	const often = 250 * time.Millisecond // a guess
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		ticker := time.NewTicker(often)
		defer ticker.Stop()
		width, height, _ := s.Size()
		for {
			select {
			case <-ticker.C:
			case <-done:
				return
			}
			if w, h, err := s.Size(); err == nil && (w != width || h != height) {
				width, height = w, h
				f()
			}
		}
	}()
	return func() { close(done); <-ended }
}

// stop does nothing: a process of Windows is not suspended by its terminal.
func stop() {}

// EnableEscapes makes the console interpret escape sequences, and reports whether it
// does: consoles before Windows 10 don't.
func (s *Stream) EnableEscapes() bool {
	var mode uint32
	console := windows.Handle(s.File.Fd())
	if windows.GetConsoleMode(console, &mode) != nil {
		return false
	}
	return windows.SetConsoleMode(console, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING) == nil
}
