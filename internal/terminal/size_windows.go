package terminal

import "golang.org/x/sys/windows"

// WatchSize does nothing: Windows has no notification for it.
func WatchSize(func()) (stop func()) { return func() {} }

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
