// Package cli is the command quicpeer: flags and their environment, one run of a peer from
// joining to leaving, the log, exit statuses, and every sentence about what went wrong.
//
// The flow is in session.go; how lines are obeyed is package lines, the two ways of
// speaking are packages chat and jsonl; every word about what went wrong, and every exit
// status, is in exit.go.
package cli

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"quicpeer/internal/lines"
	"quicpeer/internal/terminal"
	"quicpeer/overlay"
)

// Main runs the command as this process, and returns the exit status. The version is
// the one that the linker has set, or empty.
func Main(version string) int {
	// Otherwise a write to a closed standard output kills the process, and nobody
	// hears a goodbye.
	signal.Ignore(syscall.SIGPIPE)
	quietBuffers()
	ctx, interrupt := interruptible()
	stderr := &terminal.Stream{File: os.Stderr}
	c := &command{
		args:      os.Args[1:],
		getenv:    os.Getenv,
		stdin:     &terminal.Stream{File: os.Stdin},
		stdout:    &terminal.Stream{File: os.Stdout},
		stderr:    stderr,
		interrupt: interrupt,
		version:   versionOf(version),
	}
	return report(stderr, c.run(ctx))
}

// interruptible returns a context that the first SIGINT or SIGTERM ends, and a
// function that is as good as a SIGINT. The second one ends the process at once,
// with the status that a shell gives to a process killed by that signal.
func interruptible() (context.Context, func()) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // nohup; otherwise the terminal's end is a reason to leave
		signal.Notify(signals, syscall.SIGHUP)
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-signals
		cancel()
		status := 128
		if s, ok := (<-signals).(syscall.Signal); ok {
			status += int(s)
		}
		terminal.Restore()
		os.Exit(status)
	}()
	return ctx, func() {
		select {
		case signals <- os.Interrupt:
		default: // enough of them are on their way
		}
	}
}

// quietBuffers keeps quic-go from printing to standard error that it could not enlarge
// the socket's buffers: transport logs it, in the form that the user has chosen. The
// environment is the process's, so no library sets it. A setting of the user stays.
func quietBuffers() {
	const name = "QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING"
	if _, set := os.LookupEnv(name); !set {
		_ = os.Setenv(name, "true") // fails for malformed names only
	}
}

// command is what the command is started with.
type command struct {
	args           []string
	getenv         func(string) string
	stdin          io.Reader
	stdout, stderr io.Writer
	interrupt      func() // what Ctrl-C does on a terminal whose keys make no signals
	version        string
}

// run is the whole command: it returns when the peer has left and everything it
// has started has ended, but for a read of standard input that can't be stopped.
// The end of ctx makes the peer leave. The error is for report.
func (c *command) run(ctx context.Context) error {
	o, err := parseOptions(c.args, c.getenv)
	if err != nil {
		return err
	}
	if o.help || o.version {
		text := helpText
		if !o.help {
			text = versionLine(c.version)
		}
		_, err := io.WriteString(lines.NewOutput(c.stdout), text)
		return err
	}
	state, err := openState(o, c.getenv)
	if err != nil {
		return err
	}
	if state != nil {
		defer state.Close()
	}
	console := newConsole(c.stdin, c.stdout, c.stderr, c.getenv, c.interrupt)
	defer console.restore()
	logs := newLogWriter(console.log)
	defer logs.close()
	s := &session{
		options: o,
		state:   state,
		console: console,
		log:     newLog(logs, o, console.logColour),
		version: c.version,
		start:   startNode,
	}
	return s.run(ctx)
}

// startNode starts the peer that cfg describes.
func startNode(ctx context.Context, cfg overlay.Config) (node, error) {
	n, err := overlay.Start(ctx, cfg)
	if err != nil {
		return nil, err // avoid a typed nil in the interface
	}
	return n, nil
}
