package overlay

import (
	"strings"
	"testing"
	"time"
)

// TestLongSlowLine: a peer behind a slow line, with a queue of 64 KiB before it, is slow and
// nothing worse. Messages in both directions arrive about when the line allows, and no peer is
// called lost meanwhile.
func TestLongSlowLine(t *testing.T) {
	alone, three, four := []string{"alice"}, []string{"alice", "bob"}, []string{"alice", "bob", "carol"}
	for name, test := range map[string]struct {
		rate   int // bits a second
		others []string
		to     int // so many of them write to it, and it to them
		texts  int
		size   int
		cut    string // who of these reaches it over others alone
		most   int    // times the time that the line takes for the texts one way
	}{
		"two":                   {64_000, alone, 1, 1, 150 << 10, "", 2},
		"three":                 {64_000, three, 1, 1, 150 << 10, "", 2},
		"four":                  {64_000, four, 1, 1, 150 << 10, "", 2},
		"three, all":            {64_000, three, 2, 1, 150 << 10, "", 2},
		"four, all":             {64_000, four, 3, 1, 150 << 10, "", 2},
		"four, all, 128 kbit/s": {128_000, four, 3, 1, 150 << 10, "", 2},
		"four, many lines":      {64_000, four, 3, 150, 1000, "", 2},
		"the largest text":      {64_000, four, 1, 1, 1 << 20, "", 2},
		"over others":           {64_000, []string{"bob", "alice"}, 2, 1, 150 << 10, "alice", 4},
	} {
		if raceDetector && name != "four, many lines" && name != "over others" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				w.Search()
				w.Line("slow", test.rate, 64<<10)
				w.Cut("slow", test.cut)
				peers := w.network(append(test.others, "slow")...)
				slow := peers[len(peers)-1]
				time.Sleep(10 * time.Second)
				text := strings.Repeat("x", test.size)
				start := time.Now()
				for range test.texts {
					for _, p := range peers[:test.to] {
						p.send("slow", text)
						slow.send(p.ID(), text)
					}
				}
				line := time.Duration(test.to*test.texts*test.size) * 8 * time.Second / time.Duration(test.rate)
				limit := time.Duration(test.most) * line
				for _, p := range peers[:test.to] {
					p.eventually(limit-time.Since(start), "the texts came and are delivered", func() bool {
						return len(p.bodies("slow")) == test.texts && len(all[Delivered](p)) == test.texts
					})
				}
				slow.eventually(limit-time.Since(start), "all texts are delivered", func() bool {
					return len(all[Message](slow)) == test.to*test.texts && len(all[Delivered](slow)) == test.to*test.texts
				})
				took := time.Since(start)
				t.Logf("delivered after %v, %.2f times the %v of the line", took, float64(took)/float64(line), line)
				time.Sleep(30 * time.Second)
				for _, p := range peers {
					if l := all[PeerLeft](p); len(l) != 0 {
						t.Errorf("%s was told of %+v", p.ID(), l)
					}
				}
			})
		})
	}
}
