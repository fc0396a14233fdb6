package overlay

import (
	"testing"
	"time"
)

// soon is how long a line may take to a peer whose link has fallen silent, if another peer
// reaches both.
const soon = 2 * time.Second

// TestSilentLink: a line to a peer whose link has fallen silent goes over others at once,
// whenever it is written and whether or not anything was ever written before.
func TestSilentLink(t *testing.T) {
	for name, test := range map[string]struct {
		before bool // they have talked
		after  time.Duration
	}{
		"at once":                    {true, 0},
		"at once, the first line":    {false, 0},
		"within 2 s":                 {true, 1900 * time.Millisecond},
		"after 4 s":                  {true, 4 * time.Second},
		"after 4 s, the first line":  {false, 4 * time.Second},
		"after 10 s":                 {true, 10 * time.Second},
		"after 10 s, the first line": {false, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				peers := w.network("alice", "bob", "carol")
				if test.before {
					talk(peers[0], peers[1])
					time.Sleep(time.Second)
				}
				before := len(peers[1].bodies("alice"))
				w.Cut("alice", "bob")
				time.Sleep(test.after)
				start := time.Now()
				id := peers[0].send("bob", "over carol")
				m := awaitEvent(peers[1], soon, func(m Message) bool { return m.ID == id })
				d := awaitEvent(peers[0], soon-time.Since(start), func(d Delivered) bool { return d.Message == id })
				t.Logf("delivered after %v", time.Since(start))
				if m.Path != PathRelayed || d.Path != PathRelayed {
					t.Errorf("%+v, %+v", m, d)
				}
				w.Heal("alice", "bob")
				time.Sleep(30 * time.Second)
				if got := len(peers[1].bodies("alice")); got != before+1 {
					t.Errorf("bob was shown %d messages", got)
				}
				for _, p := range peers {
					if n := len(all[PeerLeft](p)); n != 0 {
						t.Errorf("%s was told that %d left", p.ID(), n)
					}
				}
			})
		})
	}
}
