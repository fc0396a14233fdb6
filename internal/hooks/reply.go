package hooks

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/time/rate"

	"quicpeer/certs"
	"quicpeer/overlay"
)

// Two peers whose commands answer each other would do so for ever. A message doesn't say whether a
// person or a command has written it, so the number of replies to one sender is bounded. That ends
// such a conversation for good, as each of its messages is the reply to the one before it: the first
// that isn't sent is the last. With commands so slow that the bound is never reached, it goes on
// at less than a message each replyEvery.
const (
	maxReplies = 60               // in a row to one sender
	replyEvery = 10 * time.Second // then one each
	maxBudgets = 1024             // senders whose replies are counted
)

// budget counts the replies to each sender.
type budget struct {
	mu      sync.Mutex
	senders map[certs.ID]*rate.Limiter
}

// allow says whether one more reply may go to a sender.
func (b *budget) allow(to certs.ID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.senders == nil {
		b.senders = make(map[certs.ID]*rate.Limiter)
	}
	l := b.senders[to]
	if l == nil {
		if len(b.senders) >= maxBudgets && !b.forget() {
			return false // as many have used up some of theirs within minutes
		}
		l = rate.NewLimiter(rate.Every(replyEvery), maxReplies)
		b.senders[to] = l
	}
	return l.Allow()
}

// forget drops the senders that may have all of their replies again. b.mu is held.
func (b *budget) forget() bool {
	before := len(b.senders)
	for id, l := range b.senders {
		if l.Tokens() >= maxReplies {
			delete(b.senders, id)
		}
	}
	return len(b.senders) < before
}

// mayReply says whether a message is one to reply to: written to this peer alone, now, by another
// one under the key that we know it by, and not itself a reply.
func (r *runner) mayReply(m overlay.Message) bool {
	return r.Reply != nil && m.To == r.Self && m.From != r.Self && !m.Before && !m.NewKey && m.ReplyTo == overlay.MessageID{}
}

// reply sends a command's output, without the line end behind it. The error is that of sending.
func (r *runner) reply(ctx context.Context, log *slog.Logger, m overlay.Message, output *limited) error {
	body := output.kept
	if output.cut {
		body = wholeRunes(body)
		log.Warn("the command of --on-message prints more than a reply may have; the rest is dropped", "bytes", maxOutput)
	} else {
		body = bytes.TrimSuffix(bytes.TrimSuffix(body, []byte("\n")), []byte("\r"))
	}
	switch {
	case len(body) == 0:
		return nil
	case !utf8.Valid(body):
		log.Warn("the command of --on-message prints what is not UTF-8, so nothing is sent back")
		return nil
	case !r.budget.allow(m.From):
		log.Warn("the output of the command of --on-message is not sent back: its sender has had too many replies. Do the two answer each other?",
			"at_once", maxReplies, "then_one_each", replyEvery)
		return nil
	}
	err := r.Reply(ctx, m, string(body))
	if err != nil {
		log.Warn("the output of the command of --on-message is not sent back", "error", err)
	}
	return err
}

// wholeRunes drops the beginning of a character at the end.
func wholeRunes(b []byte) []byte {
	for i := len(b) - 1; i >= 0 && i >= len(b)-utf8.UTFMax; i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				return b[:i]
			}
			break
		}
	}
	return b
}
