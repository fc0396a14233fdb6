package overlay

import (
	"testing"
	"time"

	"quicpeer/certs"
)

// The reason given for a message to an ID that never existed says so, and which peer may be
// meant; also when messages of an earlier run wait for that ID.
func TestUnknownReceivers(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.keeping("carol")
		alice := w.start("alice")
		carol := w.start("carol", "alice")
		why := func(to certs.ID) string {
			id := carol.send(to, "x")
			return awaitEvent(carol, time.Second, func(b Buffered) bool { return b.Message == id }).Reason
		}
		const none = "no peer of that name is known"
		wantReason := func(to certs.ID, want string) {
			t.Helper()
			if got := why(to); got != want {
				t.Errorf("to %s: %q, not %q", to, got, want)
			}
		}
		wantReason("alcie", none+"; did you mean alice?")
		wantReason("somebody", none)
		bob := w.start("bob", "alice")
		carol.eventually(time.Second, "bob is here", func() bool { return len(carol.here()) == 2 })
		wantReason("bop", none+"; did you mean bob?")
		w.leave(bob)
		carol.eventually(time.Second, "bob has gone", func() bool { return len(carol.here()) == 1 })
		wantReason("bob", "the peer is not in the network now")
		wantReason("bop", none+"; did you mean bob?")
		w.leave(carol)
		w.leave(alice)
		carol = w.start("carol")
		wantReason("alcie", none+"; did you mean alice?")
		wantReason("bob", "the peer is not in the network now")
	})
}
