package files

import (
	"path/filepath"
	"testing"
	"time"

	"quicpeer/certs"
)

// Each side of a transfer pauses it while a message of its own is on its way: for the first 5 of the 20 ms that an answer takes
// here.
func TestMessagesGoFirst(t *testing.T) {
	for _, author := range []certs.ID{"alice", "bob"} {
		t.Run(string(author), func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				alice, bob := w.pair(Config{}, Config{})
				p, to, moved := alice, certs.ID("bob"), func() int64 { return alice.Figures().Sent }
				if author == "bob" {
					p, to, moved = bob, "alice", func() int64 { return bob.Figures().Received }
				}
				src := w.dir("alice", "out")
				w.tree(src, map[string][]byte{"f": random(1, 64<<20)})
				_, got := offer(t, alice, bob, filepath.Join(src, "f"))
				if _, err := bob.Accept(got.File, "", ""); err != nil {
					t.Fatal(err)
				}
				during := func(d time.Duration) int64 {
					before := moved()
					time.Sleep(d)
					return moved() - before
				}
				var paused, between int64
				for begin := time.Now(); !have[Done](bob); {
					if time.Since(begin) > time.Minute {
						t.Fatal("it does not end")
					}
					if _, err := p.n.Send(t.Context(), to, "a word", ""); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Millisecond / 4)
					paused += during(headStart - time.Millisecond/2)
					time.Sleep(time.Millisecond / 2)
					between += during(headStart - time.Millisecond/4)
				}
				t.Logf("%d bytes in pauses, %d between them", paused, between)
				if between < 16<<20 || paused > between/8 {
					t.Errorf("%d bytes in pauses, %d between them", paused, between)
				}
			})
		})
	}
}

// headStart is that of messages.
const headStart = 5 * time.Millisecond
