// Command quicpeer is a peer of a network without servers: it joins, says who is
// there, and sends and receives messages, for people (typed lines) and for
// programs (JSON lines).
//
// The flow is in session.go, how lines are obeyed in listen.go, the two ways of
// speaking in text.go and json.go; every word about what went wrong, and every exit
// status, is in exit.go.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"quicpeer/overlay"
)

func main() {
	// Otherwise a write to a closed standard output kills the process, and nobody
	// hears a goodbye.
	signal.Ignore(syscall.SIGPIPE)
	ctx, interrupt := interruptible()
	stderr := &stream{os.Stderr}
	err := run(ctx, interrupt, os.Args[1:], os.Getenv, &stream{os.Stdin}, &stream{os.Stdout}, stderr)
	os.Exit(report(stderr, err))
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
		restoreTerminal()
		os.Exit(status)
	}()
	return ctx, func() {
		select {
		case signals <- os.Interrupt:
		default: // enough of them are on their way
		}
	}
}

// run is the whole command: it returns when the peer has left and everything it
// has started has ended, but for a read of standard input that can't be stopped.
// The end of ctx makes the peer leave; interrupt is what Ctrl-C does on a
// terminal whose keys make no signals. The error is for report.
func run(ctx context.Context, interrupt func(), args []string, getenv func(string) string, stdin io.Reader, stdout, stderr io.Writer) error {
	o, err := parseOptions(args, getenv)
	if err != nil {
		return err
	}
	if o.help || o.version {
		text := helpText
		if !o.help {
			text = versionLine()
		}
		return printed(io.WriteString(stdout, text))
	}
	state, err := openState(o, getenv)
	if err != nil {
		return err
	}
	if state != nil {
		defer state.Close()
	}
	c := newConsole(stdin, stdout, stderr, getenv, interrupt)
	defer c.restore()
	logs := newLogWriter(c.logs())
	defer logs.close()
	s := &session{
		options: o,
		state:   state,
		console: c,
		log:     newLog(logs, o, c.logColour),
		start:   startNode,
	}
	return s.run(ctx)
}

// startNode starts the peer that cfg describes.
func startNode(ctx context.Context, cfg overlay.Config) (node, error) {
	n, err := overlay.Start(ctx, cfg)
	if err != nil {
		return nil, err // not a node that isn't nil
	}
	return n, nil
}
