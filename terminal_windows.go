package main

import (
	"os"

	"golang.org/x/sys/windows"
)

// watchSize does nothing: Windows doesn't tell.
func watchSize(func()) (stop func()) { return func() {} }

// enableEscapes makes the console understand escape sequences, and reports
// whether it does: those before Windows 10 don't.
func enableEscapes(f *os.File) bool {
	var mode uint32
	console := windows.Handle(f.Fd())
	if windows.GetConsoleMode(console, &mode) != nil {
		return false
	}
	return windows.SetConsoleMode(console, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING) == nil
}
