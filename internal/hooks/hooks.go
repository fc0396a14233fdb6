// Package hooks runs a command for each message that was shown to this peer, and can send what
// the command prints back to the sender.
//
// A message is hostile: anybody in the network can write one. So nothing of it ever becomes a
// word of a command line: the body goes to the command's standard input, the facts about it to
// environment variables, and no shell is run unless the user's own command is one.
//
// [Run] takes messages from an iterator and starts their commands in that order, a few at once.
// It pulls the next message only when there is room for its command, so a slow command holds up
// the reader of that iterator, and nothing else.
package hooks

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"os/exec"
	"sync"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay"
)

// Bounds of what commands may take. All are guesses.
const (
	maxRunning = 4                // commands at once; further messages wait
	maxTime    = 30 * time.Second // for one command; then its process group is killed
	maxOutput  = 64 << 10         // bytes of a command's output that are logged or sent back
	maxLine    = 1 << 10          // bytes of a line of output in the log
)

// lateOutput is how long the end of the output is waited for when a command has ended and
// something that it started still holds its standard output. A guess.
const lateOutput = time.Second

// Config says which command is run, and what becomes of its output.
type Config struct {
	Command []string // see [Parse]
	Self    certs.ID // this peer
	// Reply sends a command's output to the sender of its message; nil: the output is logged.
	Reply func(ctx context.Context, m overlay.Message, body string) error
	// Grace is how long, after the end, the commands that still run may go on before they are
	// killed.
	Grace time.Duration
	Log   *slog.Logger
}

// runner is one Run.
type runner struct {
	Config
	environment []string // of this process, without our own variables
	budget      budget
}

// Run runs the command for each message until they end, or ctx does, at which the
// iterator has to end too. It returns when all commands have ended.
func Run(ctx context.Context, cfg Config, messages iter.Seq[overlay.Message]) {
	r := &runner{Config: cfg, environment: cleanEnvironment()}
	commands, kill := context.WithCancel(context.WithoutCancel(ctx))
	defer kill()
	places := make(chan struct{}, maxRunning)
	var running sync.WaitGroup
	for m := range messages {
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			r.Log.Warn("the command for a message is not run: this peer is leaving", "message", m.ID.String(), "from", m.From)
			break
		}
		start := make(chan struct{})
		running.Go(func() {
			defer func() { <-places }()
			r.run(commands, m, start)
		})
		<-start // so that commands start in the order of the messages
	}
	ended := make(chan struct{})
	go func() {
		running.Wait()
		close(ended)
	}()
	patience := time.NewTimer(r.Grace)
	defer patience.Stop()
	select {
	case <-ended:
		return
	case <-patience.C:
		r.Log.Warn("commands of --on-message are killed: they have not ended in time", "after", r.Grace)
	}
	kill()
	<-ended
}

// run runs the command for one message, and closes started when it has started or failed to.
func (r *runner) run(ctx context.Context, m overlay.Message, started chan<- struct{}) {
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	log := r.Log.With("message", m.ID.String(), "from", m.From)
	logged := &lineLog{log: log, left: maxOutput}
	answer := &limited{left: maxOutput}
	cmd := r.command(ctx, m)
	cmd.Stdout, cmd.Stderr = logged, logged
	replies := r.mayReply(m)
	if replies {
		cmd.Stdout = answer
	}
	err := cmd.Start()
	close(started)
	if err == nil {
		err = cmd.Wait()
		logged.finish()
	}
	if errors.Is(err, exec.ErrWaitDelay) { // it has ended well itself
		log.Info("something that the command of --on-message has started still holds its output, and is not listened to any more")
		err = nil
	}
	switch {
	case ctx.Err() == context.DeadlineExceeded:
		log.Warn("the command of --on-message was killed: it has not ended in time", "after", maxTime)
	case err != nil:
		log.Warn("the command of --on-message has failed", "error", err)
	case replies:
		r.reply(ctx, log, m, answer)
	}
}
