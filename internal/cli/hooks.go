package cli

import (
	"context"
	"sync"

	"github.com/spf13/pflag"

	"quicpeer/internal/hooks"
	"quicpeer/internal/lines"
	"quicpeer/overlay"
)

// hookOptions are those of --on-message.
type hookOptions struct {
	text    string
	command []string // split, and found in PATH; nil: none is wanted
	reply   bool
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

// hook runs a command for the messages that a session shows; nil does nothing.
type hook struct {
	queue *hooks.Queue
	end   func() // ends it, and waits for the commands
}

// startHook starts to run the command of --on-message, if there is one.
func (s *session) startHook(n node) *hook {
	if s.options.hook.command == nil {
		return nil
	}
	cfg := hooks.Config{Command: s.options.hook.command, Self: n.ID(), Grace: s.options.drain, Log: s.log}
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
	h := &hook{queue: hooks.NewQueue(s.log)}
	var running sync.WaitGroup
	running.Go(func() { hooks.Run(ctx, cfg, h.queue.All()) })
	h.end = sync.OnceFunc(func() {
		cancel()
		h.queue.Close()
		running.Wait()
	})
	return h
}

// stop ends the hook. The commands that run may go on for the time of --drain.
func (h *hook) stop() {
	if h != nil {
		h.end()
	}
}

// tap returns a front end that also gives the hook what it has shown.
func (h *hook) tap(front lines.Frontend) lines.Frontend {
	if h == nil {
		return front
	}
	return tapped{front, h.queue}
}

type tapped struct {
	lines.Frontend
	queue *hooks.Queue
}

func (t tapped) Show(event overlay.Event) error {
	err := t.Frontend.Show(event)
	if m, ok := event.(overlay.Message); ok && err == nil {
		t.queue.Add(m)
	}
	return err
}
