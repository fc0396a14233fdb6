package cli

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"quicpeer/internal/hooks"
	"quicpeer/internal/lines"
	"quicpeer/internal/service"
	"quicpeer/overlay"
)

// hookOptions are those of --on-message.
type hookOptions struct {
	text    string
	command []string // split, and found in PATH; nil: none is wanted
	reply   bool
	// deadline is how long a command may take; 0: what package hooks says.
	deadline time.Duration
}

func (h *hookOptions) declare(f *pflag.FlagSet) {
	f.StringVar(&h.text, "on-message", "", "")
	f.BoolVar(&h.reply, "on-message-reply", false, "")
}

// check finds the program.
func (h *hookOptions) check(given map[string]string) (err error) {
	switch {
	case h.text == "" && h.reply:
		return usagef("%s needs %s: there is no command whose output could be sent back", given["on-message-reply"], given["on-message"])
	case h.text == "":
		return nil
	}
	if h.command, err = hooks.Parse(h.text); err != nil {
		return usagef("%s=%q can't be used: %v", given["on-message"], shortened(h.text), err)
	}
	return nil
}

// hookReader is the name under which the history has the place of --on-message.
const hookReader = "on-message"

// startHook starts to run the command of --on-message, if there is one, and returns what ends that and
// waits for the commands: those that run may go on for the time of --drain. It is called before running
// reads the first event, so that none is missed.
func (s *session) startHook(n node, running *service.Service) (end func()) {
	past := n.History()
	if s.options.hook.command == nil { // what comes meanwhile is not caught up with
		_ = past.SetPlace(hookReader, 0) // the name is a good one
		return func() {}
	}
	cfg := hooks.Config{Command: s.options.hook.command, Self: n.ID(), Deadline: s.options.hook.deadline, Grace: s.options.drain, Log: s.log}
	if s.options.hook.reply {
		cfg.Reply = func(ctx context.Context, m overlay.Message, body string) error {
			ref := ""
			if !s.options.json { // people see the beginning of what was delivered
				ref = lines.Excerpt(body)
			}
			_, err := n.Post(ctx, m.From, overlay.Draft{Body: body, Ref: ref, ReplyTo: m.ID})
			return err
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var messages iter.Seq2[uint64, *overlay.Message]
	if s.state == nil || s.options.history.Off {
		messages = liveMessages(ctx, running, s.log)
	} else {
		r := &historyReader{past: past, log: s.log}
		r.begin()
		messages = r.messages(ctx, running)
		cfg.Ended = func(pos uint64) { _ = past.SetPlace(hookReader, pos+1) }
	}
	var commands sync.WaitGroup
	commands.Go(func() { hooks.Run(ctx, cfg, messages) })
	return sync.OnceFunc(func() {
		cancel()
		commands.Wait()
	})
}

// historyReader reads the messages of the history for --on-message.
type historyReader struct {
	past *overlay.History
	log  *slog.Logger
	next uint64 // position
}

// begin finds where to go on, which is noted at once: a run that is killed before the first command has
// ended has begun here too.
func (r *historyReader) begin() {
	place, err := r.past.Place(hookReader)
	if err != nil {
		r.log.Warn("the command of --on-message is run for new messages only", "error", err)
	}
	end := r.past.End()
	if place > end+1 {
		r.log.Warn("the history ends before the place of --on-message, whose command is run for new messages only: was it put back from a backup?",
			"end", end, "place", place)
	}
	if r.next = place; place == 0 || place > end+1 {
		r.next = end + 1
	}
	r.skip(math.MaxUint64)
	if r.next != place {
		_ = r.past.SetPlace(hookReader, r.next)
	}
}

// skip goes on behind what the history has dropped, where that is before a position.
func (r *historyReader) skip(before uint64) {
	first := r.past.First()
	if r.next >= first || first > before {
		return
	}
	r.log.Warn("the history has dropped messages before the command of --on-message was run for them: is it too slow, or --history-size too small?",
		"from", r.next, "to", first-1)
	r.next = first
}

// messages yields positions, with the messages that stand there, until ctx or the peer ends.
func (r *historyReader) messages(ctx context.Context, running *service.Service) iter.Seq2[uint64, *overlay.Message] {
	const quiet = time.Hour // nothing is done then
	return func(yield func(uint64, *overlay.Message) bool) {
		each := func(items []*service.Item) error {
			for _, i := range items {
				if i.Pos < r.next { // it has none
					continue
				}
				r.skip(i.Pos)
				r.next = i.Pos + 1
				var message *overlay.Message
				if m, ok := i.Event.(overlay.Message); ok {
					message = &m
				}
				if !yield(i.Pos, message) {
					return context.Canceled
				}
			}
			return nil
		}
		for {
			err := running.Follow(ctx, r.next, true, quiet, each)
			if _, behind := errors.AsType[*service.BehindError](err); behind {
				continue // what it has missed is in the history
			}
			if !errors.Is(err, context.Canceled) && !errors.Is(err, service.ErrStopped) {
				r.log.Error("the command of --on-message is not run any more. One run without --on-message makes the next one begin with new messages",
					"error", err, "from", r.next)
			}
			return
		}
	}
}

// liveMessages yields messages as they come, from now on and until ctx or the peer ends.
func liveMessages(ctx context.Context, running *service.Service, log *slog.Logger) iter.Seq2[uint64, *overlay.Message] {
	watch := running.Watch()
	return func(yield func(uint64, *overlay.Message) bool) {
		defer func() { watch.Close() }()
		missed := 0 // when the peer leaves
		for {
			items, err := watch.Next(ctx)
			_, behind := errors.AsType[*service.BehindError](err)
			switch {
			case behind && ctx.Err() == nil:
				log.Warn("messages come faster than the command of --on-message ends: it was not run for some")
				watch.Close()
				watch = running.Watch()
			case err != nil:
				if missed > 0 {
					log.Warn("the command of --on-message was not run for the last messages", "messages", missed)
				}
				return
			}
			for _, i := range items {
				if m, ok := i.Event.(overlay.Message); ok && (missed > 0 || !yield(0, &m)) {
					missed++
				}
			}
		}
	}
}
