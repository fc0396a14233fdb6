package hooks

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay"
)

// A reply is not replied to.
func TestRepliesGetNone(t *testing.T) {
	r := &runner{Config: Config{Self: "a", Reply: func(context.Context, overlay.Message, string) error { return nil }}}
	if m := (overlay.Message{From: "b", To: "a"}); !r.mayReply(m) {
		t.Error("a message gets no reply")
	}
	if m := (overlay.Message{From: "b", To: "a", ReplyTo: overlay.MessageID{1}}); r.mayReply(m) {
		t.Error("a reply gets one")
	}
}

// Two peers whose commands answer each other, without saying that these are replies, fall silent, and may write to each other again
// later.
func TestRepliesToRepliesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logs bytes.Buffer
		log := slog.New(slog.NewTextHandler(&logs, nil))
		total := 0
		var next *overlay.Message
		peers := map[certs.ID]*runner{}
		for _, id := range []certs.ID{"a", "b"} {
			peers[id] = &runner{Config: Config{Self: id, Reply: func(_ context.Context, m overlay.Message, body string) error {
				total++
				next = &overlay.Message{From: id, To: m.From, Body: body}
				return nil
			}}}
		}
		talk := func() int {
			total = 0
			for next = (&overlay.Message{From: "b", To: "a", Body: "hello"}); next != nil && total < 10*maxReplies; {
				m := *next
				next = nil
				time.Sleep(time.Second) // the command takes its time
				if r := peers[m.To]; r.mayReply(m) {
					r.reply(t.Context(), log, m, &limited{kept: []byte(m.Body)})
				}
			}
			return total
		}
		if n := talk(); n < 2*maxReplies || n > 3*maxReplies {
			t.Errorf("%d replies, want about %d", n, 2*maxReplies)
		}
		if !strings.Contains(logs.String(), "Do the two answer each other?") {
			t.Errorf("the log is %s", logs.String())
		}
		time.Sleep(maxReplies * replyEvery)
		if n := talk(); n < 2*maxReplies {
			t.Errorf("later only %d replies", n)
		}
	})
}
