package overlay

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"quicpeer/overlay/core"
	"quicpeer/overlay/core/base"
)

// While the disk is slow, nothing goes out that must follow a write; the core goes on, and the
// links live.
func TestNothingOvertakesTheDisk(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		peers := w.network("alice", "bob")
		alice, bob := peers[0], peers[1]
		alice.post(onLoop(func(l *loop) { l.withheld = append(l.withheld, base.Effects{Epoch: l.epoch + 1}) }))
		if _, err := alice.Broadcast(t.Context(), "hello", ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if got := bob.bodies("alice"); len(got) != 0 {
			t.Errorf("%q has overtaken it", got)
		}
		if rows := alice.Peers(); len(rows) != 1 || !rows[0].Direct || rows[0].State != StateAlive {
			t.Errorf("alice has lost bob: %+v", rows)
		}
		alice.post(onLoop(func(l *loop) { l.saved <- nil }))
		bob.awaitBodies(time.Second, "alice", "hello")
	})
}

// A loop that withholds very many effects waits for the disk, and then carries out all of
// them, in order.
func TestWithheldIsBounded(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.network("alice", "bob")[0]
		done := make(chan struct{})
		alice.post(onLoop(func(l *loop) {
			for range maxWithheld {
				l.withheld = append(l.withheld, base.Effects{})
			}
			go func() {
				time.Sleep(time.Second)
				l.saved <- nil
				close(done)
			}()
		}))
		time.Sleep(time.Millisecond)
		alice.Peers()
		select {
		case <-done:
		default:
			t.Error("it was not waited for")
		}
		if left, ok := ask(&alice.mailbox, howMuchIsWithheld{}); !ok || left != 0 {
			t.Errorf("%d are left, %v", left, ok)
		}
	})
}

type howMuchIsWithheld struct{}

func (howMuchIsWithheld) answer(l *loop) int { return len(l.withheld) }

// A failed write ends the node.
func TestDiskFailsBeforeEffects(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice := w.network("alice", "bob")[0]
		full := errors.New("the disk is full")
		alice.post(onLoop(func(l *loop) {
			l.withheld = append(l.withheld, base.Effects{Epoch: l.epoch + 1})
			l.saved <- full
		}))
		<-alice.done // Events has ended
		if err := alice.Err(); err != full {
			t.Error(err)
		}
	})
}

// A fault in the core is logged with the last inputs, and still ends the process.
func TestFaultOfTheCore(t *testing.T) {
	log := new(logBuffer)
	l := &loop{node: &Node{log: slog.New(slog.NewTextHandler(log, nil))}}
	l.trail.remember(time.Second, core.Want{To: "bob"})
	defer func() {
		if fault := recover(); fault != "a test" {
			t.Errorf("it goes on after %v", fault)
		}
		if text := log.String(); !strings.Contains(text, "a test") || !strings.Contains(text, "core.Want{To:bob}") {
			t.Error(text)
		}
	}()
	defer l.logPanic()
	panic("a test")
}
