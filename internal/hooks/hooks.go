// Package hooks runs a command for each message to this peer, and can send what the command prints
// back to the sender.
//
// A message is hostile: anybody in the network can write one. So nothing of it ever becomes a
// word of a command line: the body goes to the command's standard input, the facts about it to
// environment variables, and no shell is run unless the user's own command is one.
//
// [Run] takes messages from an iterator and starts their commands in that order, a few at once.
// It pulls the next message only when there is room for its command, so a slow command holds up
// the reader of that iterator, and nothing else. With messages of the history it tells up to which
// position all commands have ended, so that the next run of the peer goes on there.
package hooks

import (
	"cmp"
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
	// Ended is told positions of the history, which rise: the commands of all messages up to there have
	// ended. One that is killed because the peer leaves has not. It may not wait. Nil: without a history.
	Ended func(pos uint64)
	// Deadline is how long one command may take; 0: 30 s. Then its process group is killed.
	Deadline time.Duration
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
	progress    progress
}

// Run runs the command for each message until they end, or ctx does, at which the
// iterator has to end too. It yields positions of the history, in their order, each with the message
// that stands there; nil: there is none. Without a history the positions say nothing. Run returns
// when all commands have ended.
func Run(ctx context.Context, cfg Config, messages iter.Seq2[uint64, *overlay.Message]) {
	r := &runner{Config: cfg, environment: cleanEnvironment(), progress: progress{tell: cfg.Ended}}
	defer r.progress.finish()
	commands, kill := context.WithCancel(context.WithoutCancel(ctx))
	defer kill()
	places := make(chan struct{}, maxRunning)
	var running sync.WaitGroup
	for pos, m := range messages {
		if m == nil {
			r.progress.pass(pos)
			continue
		}
		select {
		case places <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		r.progress.begin(pos)
		start := make(chan struct{})
		running.Go(func() {
			defer func() { <-places }()
			if r.run(commands, *m, start) {
				r.progress.end(pos)
			}
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

// run runs the command for one message, and closes started when it has started or failed to. False: it was
// killed at the end of leaving, or its reply was stopped there.
func (r *runner) run(leaving context.Context, m overlay.Message, started chan<- struct{}) (ended bool) {
	ctx, cancel := context.WithTimeout(leaving, cmp.Or(r.Deadline, maxTime))
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
		log.Warn("the command of --on-message was killed: it has not ended in time", "after", cmp.Or(r.Deadline, maxTime))
	case err != nil:
		log.Warn("the command of --on-message has failed", "error", err)
		return leaving.Err() == nil
	case replies:
		return r.reply(ctx, log, m, answer) == nil || leaving.Err() == nil
	}
	return true
}
