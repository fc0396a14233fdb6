package overlay

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"quicpeer/overlay/messaging/delivery"
	"quicpeer/pb"
)

// box is an outbox to a bob that is here, on a link that ends with ctx, of a node
// that does nothing.
func box(ctx context.Context) (*outbox, *messageLink) {
	n := &Node{queue: newQueue(), idle: make(chan struct{}, 1), mailbox: newMailbox(), clock: clock{time.Now()}}
	close(n.ended)
	o := newOutbox(n, "bob", known{key: bobsKey}, true)
	context.AfterFunc(ctx, o.wakeAll)
	return o, &messageLink{key: bobsKey, used: &activity{ctx: ctx}}
}

// written is a batch as the link's goroutine takes and writes it.
func written(o *outbox, l *messageLink) []*delivery.Outgoing {
	batch := o.next(l)
	if batch != nil {
		o.wrote()
	}
	return batch
}

func add(t *testing.T, o *outbox, bodies ...string) {
	t.Helper()
	for _, body := range bodies {
		if _, err := o.add(t.Context(), body, "", ""); err != nil {
			t.Fatal(err)
		}
	}
}

func bodiesOf(list []*delivery.Outgoing) []string {
	var bodies []string
	for _, m := range list {
		bodies = append(bodies, m.Body)
	}
	return bodies
}

var delivered delivery.Receipt

func TestOutboxBatches(t *testing.T) {
	kib := func(n int) string { return strings.Repeat("x", n<<10) }
	tests := []struct {
		name   string
		bodies []string
		want   []int // the sizes of the batches without any receipt
	}{
		{"one", []string{"x"}, []int{1}},
		{"many", numbers(300), []int{maxBatch, maxBatch, 300 - 2*maxBatch}},
		{"a batch is full", []string{kib(40), kib(24), "x"}, []int{2, 1}},
		{"one too large for a batch", []string{"x", kib(100), "x"}, []int{1, 1, 1}},
		{"enough on the way", []string{kib(64), kib(64), kib(64), kib(64), "x"}, []int{1, 1, 1, 1}},
		{"one too large for the way", []string{kib(1024), "x"}, []int{1}},
		{"large behind small", []string{"x", kib(1024)}, []int{1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				o, l := box(ctx)
				add(t, o, test.bodies...)
				o.attach(l)
				var sizes []int
				for batch := written(o, l); batch != nil; batch = written(o, l) {
					sizes = append(sizes, len(batch))
				}
				if !slices.Equal(sizes, test.want) {
					t.Errorf("the batches are %v, not %v", sizes, test.want)
				}
				o.detach()
				if got := bodiesOf(o.box.All()); !slices.Equal(got, test.bodies) || o.box.Flying(delivery.Direct) != 0 {
					t.Errorf("after the link %s wait", brief(got))
				}
			})
		})
	}
}

// What has no receipt when the link ends goes out again, before what is new.
func TestOutboxSendsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		o, l := box(ctx)
		add(t, o, "0", "1", "2")
		if !o.attach(l) || o.attach(l) {
			t.Error("an outbox has one link")
		}
		batch := written(o, l)
		add(t, o, "3")
		o.receipt(batch[0].Position, delivered)
		cancel()
		if written(o, l) != nil {
			t.Error("a link that has ended is used")
		}
		o.detach()
		ctx, cancel = context.WithCancel(t.Context())
		defer cancel()
		l.used = &activity{ctx: ctx}
		o.attach(l)
		batch = written(o, l)
		if got := bodiesOf(batch); !slices.Equal(got, []string{"1", "2", "3"}) {
			t.Errorf("on the next link go %v", got)
		}
		for _, m := range batch {
			o.receipt(m.Position, delivered)
		}
		o.receipt(batch[0].Position, delivered) // one too many
		if n, _ := o.count(); n != 0 || o.box.Bytes() != 0 || o.box.Flying(delivery.Direct) != 0 || o.node.held.Load() != 0 {
			t.Errorf("%d messages, %d bytes are left, %d on the way, %d counted", n, o.box.Bytes(), o.box.Flying(delivery.Direct), o.node.held.Load())
		}
		select {
		case <-o.node.idle:
		default:
			t.Error("nobody was told that it is empty")
		}
	})
}

func TestOutboxIsBoundedInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, l := box(t.Context())
		body := strings.Repeat("x", pb.MaxBody)
		for range maxWaitingBytes / pb.MaxBody {
			add(t, o, body)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := o.add(ctx, "x", "", ""); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("above the bound: %v", err)
		}
		waited := make(chan error, 1)
		go func() {
			_, err := o.add(t.Context(), "x", "", "")
			waited <- err
		}()
		o.attach(l)
		o.receipt(written(o, l)[0].Position, delivered)
		if err := <-waited; err != nil {
			t.Errorf("with room again: %v", err)
		}
		go func() {
			_, err := o.add(t.Context(), body, "", "")
			waited <- err
		}()
		synctest.Wait()
		o.setPresent(known{}, false)
		if err := <-waited; !errors.Is(err, ErrOutboxFull) {
			t.Errorf("to one who has left: %v", err)
		}
		o.setPresent(known{key: bobsKey}, true)
		go func() {
			_, err := o.add(t.Context(), body, "", "")
			waited <- err
		}()
		synctest.Wait()
		if rest := o.close(); len(rest) != 32 {
			t.Errorf("%d messages are undelivered", len(rest))
		}
		if err := <-waited; !errors.Is(err, ErrClosed) {
			t.Errorf("at the end: %v", err)
		}
	})
}

// The program is told once that a message waits.
func TestOutboxTellsWhatWaits(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	o, l := box(ctx)
	add(t, o, "0")
	o.attach(l)
	written(o, l)
	add(t, o, "1")
	reasons := func() (list []string) {
		for _, e := range queued(o.node.queue) {
			if b, ok := e.(Buffered); ok {
				list = append(list, b.Reason)
			}
		}
		return list
	}
	o.unreachable() // there is a link
	o.setPresent(known{}, false)
	if got := reasons(); len(got) != 0 {
		t.Errorf("while there is a link: %q", got)
	}
	cancel()
	o.detach()
	if got := reasons(); len(got) != 2 || got[0] != "the peer has left the network" {
		t.Errorf("after the peer has left: %q", got)
	}
	o.setPresent(known{key: bobsKey}, true)
	o.unreachable()
	add(t, o, "2")
	if got := reasons(); len(got) != 2 {
		t.Errorf("told again: %q", got)
	}
	o.unreachable()
	if got := reasons(); len(got) != 3 || got[2] != "the peer can't be reached now" {
		t.Errorf("after a dial: %q", got)
	}
}

// A link to a peer that has lost the ID to another is of no use.
func TestOutboxKnowsItsReceiver(t *testing.T) {
	o, l := box(t.Context())
	add(t, o, "0")
	o.attach(l)
	o.setPresent(known{key: secondKey}, true)
	if written(o, l) != nil {
		t.Error("a message goes to who had the ID before")
	}
}

func TestOutboxIsDiscardedWhenIdle(t *testing.T) {
	o, l := box(t.Context())
	add(t, o, "0")
	if o.discard() {
		t.Error("discarded with a message")
	}
	o.attach(l)
	o.receipt(written(o, l)[0].Position, delivered)
	if o.discard() {
		t.Error("discarded with a link")
	}
	o.detach()
	if !o.discard() {
		t.Error("not discarded")
	}
	if _, err := o.add(t.Context(), "1", "", ""); err != ErrClosed {
		t.Errorf("then: %v", err)
	}
}
