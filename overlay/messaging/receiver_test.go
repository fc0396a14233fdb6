package messaging

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"quicpeer/overlay/messaging/delivery"
	"quicpeer/pb"
)

// box is a receiver bob that is here, on a link that ends with ctx, of an engine
// that does nothing.
func box(ctx context.Context) (*receiver, *Link) {
	e := &Engine{
		cfg: Config{Start: time.Now(), Wish: func(Wish) {}}, events: newEventQueue(), disk: new(Disk),
		custodian: custodian{wake: make(chan struct{}, 1)},
	}
	e.directory.init(e, nil)
	r := newReceiver(e, "bob", Contact{Key: bobsKey}, true)
	context.AfterFunc(ctx, r.wakeAll)
	return r, &Link{key: bobsKey, ctx: ctx}
}

// written is a batch as the link's goroutine takes and writes it.
func written(r *receiver, l *Link) []*delivery.Outgoing {
	batch := r.direct.nextBatch(l)
	if batch != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.direct.writing = false
	}
	return batch
}

func add(t *testing.T, r *receiver, bodies ...string) {
	t.Helper()
	for _, body := range bodies {
		if _, err := r.add(t.Context(), Draft{Body: body}, ""); err != nil {
			t.Fatal(err)
		}
	}
}

// numbers are the texts "0" to "n-1".
func numbers(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprint(i)
	}
	return list
}

func bodiesOf(list []*delivery.Outgoing) []string {
	var bodies []string
	for _, m := range list {
		bodies = append(bodies, m.Body)
	}
	return bodies
}

// answered gives the receipt for the message at a position.
func answered(r *receiver, p delivery.Position) {
	r.mu.Lock()
	r.settled(r.settle(nil, p, delivery.Receipt{}, r.engine.now()))
}

func TestReceiverBatches(t *testing.T) {
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
				r, l := box(ctx)
				add(t, r, test.bodies...)
				r.attach(l)
				var sizes []int
				for batch := written(r, l); batch != nil; batch = written(r, l) {
					sizes = append(sizes, len(batch))
				}
				if !slices.Equal(sizes, test.want) {
					t.Errorf("the batches are %v, not %v", sizes, test.want)
				}
				r.direct.detach()
				if got := bodiesOf(r.box.All()); !slices.Equal(got, test.bodies) || r.box.Flying(delivery.Direct) != 0 {
					t.Errorf("after the link %s wait", fmt.Sprint(len(got)))
				}
			})
		})
	}
}

// Messages without a receipt when the link ends go out again, before new ones.
func TestReceiverSendsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		r, l := box(ctx)
		add(t, r, "0", "1", "2")
		if !r.attach(l) || r.attach(l) {
			t.Error("an outbox has one link")
		}
		batch := written(r, l)
		add(t, r, "3")
		answered(r, batch[0].Position)
		cancel()
		if written(r, l) != nil {
			t.Error("a link that has ended is used")
		}
		r.direct.detach()
		ctx, cancel = context.WithCancel(t.Context())
		defer cancel()
		l.ctx = ctx
		r.attach(l)
		batch = written(r, l)
		if got := bodiesOf(batch); !slices.Equal(got, []string{"1", "2", "3"}) {
			t.Errorf("on the next link go %v", got)
		}
		for _, m := range batch {
			answered(r, m.Position)
		}
		answered(r, batch[0].Position) // one too many
		if n, _ := r.count(); n != 0 || r.box.Bytes() != 0 || r.box.Flying(delivery.Direct) != 0 || r.engine.held.inUse() != 0 {
			t.Errorf("%d messages, %d bytes are left, %d on the way, %d counted", n, r.box.Bytes(), r.box.Flying(delivery.Direct), r.engine.held.inUse())
		}
		select {
		case <-r.engine.directory.idle:
		default:
			t.Error("nobody was told that it is empty")
		}
	})
}

func TestReceiverIsBoundedInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, l := box(t.Context())
		body := strings.Repeat("x", pb.MaxBody)
		for range maxWaitingBytes / pb.MaxBody {
			add(t, r, body)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.add(ctx, Draft{Body: "x"}, ""); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("above the bound: %v", err)
		}
		waited := make(chan error, 1)
		go func() {
			_, err := r.add(t.Context(), Draft{Body: "x"}, "")
			waited <- err
		}()
		r.attach(l)
		answered(r, written(r, l)[0].Position)
		if err := <-waited; err != nil {
			t.Errorf("with room again: %v", err)
		}
		go func() {
			_, err := r.add(t.Context(), Draft{Body: body}, "")
			waited <- err
		}()
		synctest.Wait()
		r.setPresent(Contact{}, false, hasLeft)
		if err := <-waited; !errors.Is(err, ErrOutboxFull) {
			t.Errorf("to one who has left: %v", err)
		}
		r.setPresent(Contact{Key: bobsKey}, true, hasLeft)
		go func() {
			_, err := r.add(t.Context(), Draft{Body: body}, "")
			waited <- err
		}()
		synctest.Wait()
		if rest := r.end(); len(rest) != 32 {
			t.Errorf("%d messages are undelivered", len(rest))
		}
		if err := <-waited; !errors.Is(err, ErrClosed) {
			t.Errorf("at the end: %v", err)
		}
	})
}

// The program gets one event that a message waits.
func TestReceiverTellsWhatWaits(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r, l := box(ctx)
	add(t, r, "0")
	r.attach(l)
	written(r, l)
	add(t, r, "1")
	reasons := func() (list []string) {
		for _, e := range queued(r.engine.events) {
			if b, ok := e.(Buffered); ok {
				list = append(list, b.Reason)
			}
		}
		return list
	}
	r.relayed.unreachable() // there is a link
	r.setPresent(Contact{}, false, hasLeft)
	if got := reasons(); len(got) != 0 {
		t.Errorf("while there is a link: %q", got)
	}
	cancel()
	r.direct.detach()
	if got := reasons(); len(got) != 2 || got[0] != "the peer has left the network" {
		t.Errorf("after the peer has left: %q", got)
	}
	r.setPresent(Contact{Key: bobsKey}, true, hasLeft)
	r.relayed.unreachable()
	add(t, r, "2")
	if got := reasons(); len(got) != 2 {
		t.Errorf("told again: %q", got)
	}
	r.relayed.unreachable()
	if got := reasons(); len(got) != 3 || got[2] != "the peer can't be reached now" {
		t.Errorf("after a dial: %q", got)
	}
}

// A link to a peer that has lost the ID to another is of no use.
func TestReceiverKnowsItsReceiver(t *testing.T) {
	r, l := box(t.Context())
	add(t, r, "0")
	r.attach(l)
	r.setPresent(Contact{Key: secondKey}, true, hasLeft)
	if written(r, l) != nil {
		t.Error("a message goes to who had the ID before")
	}
	r.direct.detach()
	l.key = secondKey
	r.attach(l)
	r.setPresent(Contact{Key: bobsKey}, false, hasLeft)
	if written(r, l) != nil {
		t.Error("a message goes to another key while the peer is away")
	}
}

func TestReceiverIsDiscardedWhenIdle(t *testing.T) {
	r, l := box(t.Context())
	add(t, r, "0")
	if r.discard() {
		t.Error("discarded with a message")
	}
	r.attach(l)
	answered(r, written(r, l)[0].Position)
	if r.discard() {
		t.Error("discarded with a link")
	}
	r.direct.detach()
	if !r.discard() {
		t.Error("not discarded")
	}
	if _, err := r.add(t.Context(), Draft{Body: "1"}, ""); err != ErrClosed {
		t.Errorf("then: %v", err)
	}
}

// A caller that waits for room in all outboxes together gets it the moment that another outbox
// gives some back, and waits no longer than its receiver is here.
func TestReceiversShareRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := box(t.Context())
		add(t, r, "first") // now it is not the first one any more
		others := int64(maxHeld) - r.engine.held.inUse()
		r.engine.held.force(others)
		start := time.Now()
		waited := make(chan error, 1)
		wait := func() {
			go func() {
				_, err := r.add(t.Context(), Draft{Body: "second"}, "")
				waited <- err
			}()
			synctest.Wait()
			select {
			case err := <-waited:
				t.Fatalf("without room: %v", err)
			default:
			}
		}
		wait()
		r.engine.held.force(-1000)
		if err := <-waited; err != nil || time.Since(start) != 0 {
			t.Errorf("with room: %v, after %v", err, time.Since(start))
		}
		r.engine.held.force(int64(maxHeld) - r.engine.held.inUse())
		wait()
		r.setPresent(Contact{}, false, hasLeft)
		if err := <-waited; !errors.Is(err, ErrOutboxFull) {
			t.Errorf("to one who has left: %v", err)
		}
		r.setPresent(Contact{Key: bobsKey}, true, hasLeft)
		wait()
		r.end()
		if err := <-waited; !errors.Is(err, ErrClosed) {
			t.Errorf("at the end: %v", err)
		}
		if n := r.engine.held.inUse(); n != maxHeld {
			t.Errorf("%d bytes are counted, not %d", n, int64(maxHeld))
		}
	})
}

// Waiting for a tally ends when its count is 0.
func TestTally(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n tally
		if !n.awaitNone(t.Context()) {
			t.Error("nothing is waited for")
		}
		n.change(2)
		done := make(chan bool, 1)
		go func() { done <- n.awaitNone(t.Context()) }()
		synctest.Wait()
		n.change(-1)
		synctest.Wait()
		select {
		case <-done:
			t.Error("one is under way")
		default:
		}
		n.change(-1)
		if !<-done {
			t.Error("nothing is under way")
		}
		n.change(1)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if n.awaitNone(ctx) {
			t.Error("one is under way")
		}
	})
}
