package lines_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"quicpeer/certs"
	"quicpeer/internal/jsonl"
	"quicpeer/internal/lines"
	"quicpeer/internal/lines/linestest"
	"quicpeer/overlay"
)

func send(to, ref string) string {
	return fmt.Sprintf(`{"cmd":"send","to":%q,"body":"b %s","ref":%q}`, to, ref, ref)
}

// When the refusal of a waiting message can't be written to standard output, the peer
// leaves.
func TestListenBrokenOutput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := linestest.New("me")
		n.Full, n.Stuck = make(chan struct{}), "bob"
		r, w := io.Pipe()
		r.CloseWithError(syscall.EPIPE)
		ctx, leave := context.WithCancelCause(t.Context())
		l := lines.NewListener(n, jsonl.New(lines.NewOutput(w), ""), lines.NewReader(strings.NewReader(send("bob", "1")+"\n"+send("me", "2"))), true, slog.New(slog.DiscardHandler), leave)
		time.AfterFunc(time.Minute, func() { close(n.Full) })
		if err := l.Listen(ctx); err != nil {
			t.Error(err)
		}
		if _, ok := errors.AsType[*lines.OutputError](context.Cause(ctx)); !ok || len(n.Sent()) != 1 {
			t.Errorf("the cause is %v, sent: %q", context.Cause(ctx), n.Sent())
		}
	})
}

// instant is a node that accepts everything at once and reports nothing.
type instant struct{ *linestest.Node }

func (instant) Send(context.Context, certs.ID, string, string) (overlay.MessageID, error) {
	return overlay.MessageID{}, nil
}

// repeated is an input of one line, many times over.
type repeated struct {
	line []byte
	left int
}

func (r *repeated) Next() ([]byte, error) {
	if r.left == 0 {
		return nil, io.EOF
	}
	r.left--
	return r.line, nil
}

func BenchmarkListen(b *testing.B) {
	b.ReportAllocs()
	front := jsonl.New(lines.NewOutput(io.Discard), "")
	l := lines.NewListener(instant{linestest.New("me")}, front, &repeated{[]byte(send("bob", "1234")), b.N}, true, slog.New(slog.DiscardHandler), nil)
	if err := l.Listen(b.Context()); err != nil {
		b.Fatal(err)
	}
}
