package overlay

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
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

// TestSilentLinkMoves: the messages to a peer whose link has fallen silent move to a link over others,
// and back once it is heard again; all arrive once and in order, and so do those that were on their
// way.
func TestSilentLinkMoves(t *testing.T) {
	for _, quiet := range []time.Duration{3 * time.Second, 9 * time.Second} {
		for _, size := range []int{0, 20 << 10} {
			t.Run(fmt.Sprint(quiet, ", ", size, " bytes"), func(t *testing.T) {
				simulate(t, func(t *testing.T, w *world) {
					peers := w.network("alice", "bob", "carol")
					alice, bob := peers[0], peers[1]
					talk(alice, bob)
					before := len(bob.bodies("alice"))
					begin := time.Now()
					var want, back []string
					var moved time.Duration
					for i := range 700 {
						switch time.Since(begin).Round(time.Millisecond) {
						case time.Second:
							w.Cut("alice", "bob")
						case time.Second + quiet:
							w.Heal("alice", "bob")
						}
						want, back = append(want, fmt.Sprint(i, strings.Repeat(".", size))), append(back, fmt.Sprint(i))
						alice.send("bob", want[i])
						bob.send("alice", back[i])
						time.Sleep(20 * time.Millisecond)
						if moved == 0 && alice.carriedTo("bob") {
							moved = time.Since(begin) - time.Second
						}
					}
					if moved == 0 || moved > 3*time.Second {
						t.Errorf("a link over others after %v", moved)
					}
					bob.eventually(10*time.Second, "all are shown to bob", func() bool { return len(bob.bodies("alice")) >= before+len(want) })
					alice.eventually(10*time.Second, "all are delivered", func() bool { return len(all[Delivered](alice)) >= before+len(want) })
					if got := bob.bodies("alice")[before:]; !slices.Equal(got, want) {
						t.Error("bob was shown other messages, or in another order")
					}
					if got := alice.bodies("bob"); !slices.Equal(got[len(got)-len(back):], back) {
						t.Error("alice was shown other messages, or in another order")
					}
					time.Sleep(time.Second)
					if last := all[Delivered](alice); last[len(last)-1].Path != PathDirect || alice.carriedTo("bob") || bob.carriedTo("alice") {
						t.Errorf("the messages have not moved back: %+v", last[len(last)-1])
					}
				})
			})
		}
	}
}

// TestLongSilences: a direct link falls silent, is heard again and gets stuck again and again while both
// sides write. All arrive once and in order.
func TestLongSilences(t *testing.T) {
	for seed := range uint64(enough(20, 2)) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 1))
				w := newWorldAt(t, seed, time.Duration(5+random.IntN(60))*time.Millisecond)
				peers := w.network("alice", "bob", "carol")
				talk(peers[0], peers[1])
				w.Lose([]float64{0, 0, 0.05, 0.2}[seed%4])
				largest := []int{0, 0, 200 << 10}[seed%3]
				end := time.Now().Add(time.Minute)
				var trouble sync.WaitGroup
				trouble.Go(func() {
					random := rand.New(rand.NewPCG(seed, 2))
					pause := func(least time.Duration, most ...time.Duration) {
						time.Sleep(least + time.Duration(random.Int64N(int64(most[random.IntN(len(most))]))))
					}
					for time.Now().Before(end) {
						pause(50*time.Millisecond, time.Second, 2*time.Second, 6*time.Second)
						if random.IntN(6) == 0 {
							w.Narrow("alice", "bob", 1000)
							pause(3*time.Second, 6*time.Second)
							w.Narrow("alice", "bob", 65535)
						} else {
							w.Cut("alice", "bob")
							pause(500*time.Millisecond, 2*time.Second, 5*time.Second, 14*time.Second)
							w.Heal("alice", "bob")
						}
					}
				})
				want := [2][]string{{"talk"}, {"talk"}}
				for time.Now().Before(end) {
					for i, p := range peers[:2] {
						for range []int{0, 1, 1, 1, 5}[random.IntN(5)] {
							body := fmt.Sprint(len(want[i]))
							if largest > 0 && random.IntN(20) == 0 {
								body += strings.Repeat(".", random.IntN(largest))
							}
							want[i] = append(want[i], body)
							p.send(peers[1-i].ID(), body)
						}
					}
					time.Sleep(time.Duration(1+random.IntN(60)) * time.Millisecond)
				}
				trouble.Wait()
				w.Lose(0)
				for i, p := range peers[:2] {
					p.eventually(2*time.Minute, "all are delivered", func() bool { return len(all[Delivered](p)) >= len(want[i]) })
					if got := peers[1-i].bodies(p.ID()); !slices.Equal(got, want[i]) {
						t.Errorf("of %d messages %s are shown: %s", len(want[i]), brief(got), p.ID())
					}
				}
			})
		})
	}
}
