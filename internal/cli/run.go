// Package cli is the command quicpeer: flags and environment variables, one run of a peer
// from joining to leaving, the log, the exit status, and every error message.
//
// The flow is in session.go. Package lines executes lines of input; the two front ends
// are packages chat and jsonl. Error messages, hints and exit statuses are in exit.go.
package cli

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"quicpeer/internal/lines"
	"quicpeer/internal/terminal"
	"quicpeer/overlay"
)

// Main runs the command as this process, and returns the exit status. version is what
// the linker has set, or empty.
func Main(version string) int {
	// Otherwise a write to a closed standard output kills the process before it can say
	// goodbye.
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
	err := c.run(ctx)
	reported := make(chan int, 1)
	go func() { reported <- report(stderr, err) }()
	select {
	case status := <-reported:
		return status
	case <-time.After(logPatience): // nobody reads it
		status, _ := explain(err)
		return status
	}
}

// interruptible returns a context that ends with the first SIGINT or SIGTERM, and a
// function that has the same effect as a SIGINT. The second signal ends the process at
// once, with the status that a shell reports for a process killed by it.
func interruptible() (context.Context, func()) {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // not under nohup: the end of the terminal is a reason to leave
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
		terminal.Abort()
		os.Exit(status)
	}()
	return ctx, func() {
		select {
		case signals <- os.Interrupt:
		default: // enough are pending
		}
	}
}

// quietBuffers keeps quic-go from printing to standard error that it could not enlarge
// the socket's buffers, which transport logs in the format that the user has chosen. The
// environment belongs to the process, so this is not for a library to do. A value set by
// the user stays.
func quietBuffers() {
	const name = "QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING"
	if _, set := os.LookupEnv(name); !set {
		_ = os.Setenv(name, "true") // fails only for malformed names
	}
}

// command is what the command gets from the process.
type command struct {
	args           []string
	getenv         func(string) string
	stdin          io.Reader
	stdout, stderr io.Writer
	interrupt      func() // called for Ctrl-C on a terminal whose keys raise no signals
	version        string
}

// run is the whole command. It returns when the peer has left and everything it started
// has ended, except for a read of standard input, which can't be interrupted. The end of
// ctx makes the peer leave. The error is for report.
func (c *command) run(ctx context.Context) error {
	if args, ok := c.commandLine(); ok {
		return c.ask(ctx, args)
	}
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
	if o.askTicket {
		ticket, err := c.askTicket(ctx)
		if err != nil || ticket == nil {
			return err
		}
		if err := o.useTicket(ticket); err != nil {
			return err
		}
	}
	return c.runPeer(ctx, o)
}

// runPeer runs a peer with these options.
func (c *command) runPeer(ctx context.Context, o options) error {
	state, err := openState(o, c.getenv)
	if err != nil {
		return err
	}
	if state != nil {
		defer state.Close()
	}
	console := newConsole(c.stdin, c.stdout, c.stderr, c.getenv)
	if o.plain {
		console.plain()
	}
	if console.stderr != nil && !o.levelGiven {
		o.logLevel = slog.LevelWarn // people read what is said there
	}
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
		getenv:  c.getenv,
	}
	return s.run(ctx)
}

// startNode is overlay.Start as a session wants it.
func startNode(ctx context.Context, cfg overlay.Config) (node, error) {
	n, err := overlay.Start(ctx, cfg)
	if err != nil {
		return nil, err // avoid a typed nil in the interface
	}
	return n, nil
}
