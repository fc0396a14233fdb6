// Package emulatortest runs bubbletea programs on an emulated terminal, in the virtual time of
// testing/synctest: no test waits, and none depends on how fast the machine is.
//
//	synctest.Test(t, func(t *testing.T) {
//		p := emulatortest.Start(t, model, emulator.New(80, 24))
//		p.Type("hello")
//		p.Press("enter")
//		p.Settle()
//		if got := p.Text(); got != … {
//		}
//	})
//
// A program can run in a bubble because it is given its input, output, environment, size, colours
// and context: nothing of it then waits for what is outside. A model in a bubble must keep to that:
// no network, no files that block, no signals.
package emulatortest

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"

	"quicpeer/internal/emulator"
)

// Program is a running program and its terminal.
type Program struct {
	*emulator.Terminal
	Tea   *tea.Program
	ended chan struct{}
	model tea.Model
	err   error
}

// Start runs a model on a terminal until it quits or the test ends, and closes the terminal then.
// It must be called in a bubble of synctest, with the bubble's t; the terminal belongs to the
// bubble as well.
func Start(t *testing.T, model tea.Model, term *emulator.Terminal, options ...tea.ProgramOption) *Program {
	t.Helper()
	width, height := term.Size()
	ctx, cancel := context.WithCancel(context.Background())
	// Without a tty bubbletea takes it that a line feed also returns the carriage.
	_, _ = term.Write([]byte("\x1b[20h"))
	p := &Program{Terminal: term, ended: make(chan struct{})}
	p.Tea = tea.NewProgram(model, append([]tea.ProgramOption{
		tea.WithContext(ctx),
		tea.WithInput(term),
		tea.WithOutput(term),
		tea.WithWindowSize(width, height),
		tea.WithEnvironment([]string{"TERM=xterm-256color"}),
		tea.WithColorProfile(colorprofile.TrueColor),
		tea.WithoutSignalHandler(),
	}, options...)...)
	go func() {
		defer close(p.ended)
		p.model, p.err = p.Tea.Run()
	}()
	t.Cleanup(func() {
		cancel()
		<-p.ended
		_ = term.Close()
	})
	p.Settle()
	return p
}

// Type sends text as if it were typed.
func (p *Program) Type(text string) { p.Send(text) }

// Settle returns when the program has done all that it can do without new input, and has drawn
// it. It lets 100 ms pass: six frames, and twice the time that a lone Esc waits for the rest of a
// sequence. Timers of the program that are due in this time go off.
func (p *Program) Settle() {
	synctest.Wait()
	time.Sleep(100 * time.Millisecond)
	synctest.Wait()
}

// Resize changes the size of the window and tells the program, as the signal would.
func (p *Program) Resize(width, height int) {
	p.Terminal.Resize(width, height)
	p.Tea.Send(tea.WindowSizeMsg{Width: width, Height: height})
}

// Ended says whether the program has ended; its model and error are then in End.
func (p *Program) Ended() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// End waits for the program to end by itself.
func (p *Program) End() (tea.Model, error) {
	<-p.ended
	return p.model, p.err
}
