package hooks

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// Positions come in order, with messages and without, and commands end in any. The positions that are told
// rise, and up to each all commands have ended. At the end of a command, and of all, it is the last such
// position; behind positions without messages it is close to that, and seldom told.
func TestProgress(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 1))
		told, tells := uint64(0), 0
		p := progress{tell: func(pos uint64) {
			if pos <= told {
				t.Fatalf("seed %d: told %d behind %d", seed, pos, told)
			}
			told = pos
			tells++
		}}
		var open []uint64
		begin := uint64(random.IntN(1000))
		last, ends := begin, 0
		best := func() uint64 {
			if len(open) > 0 {
				return slices.Min(open) - 1
			}
			return last
		}
		wrong := func() {
			t.Helper()
			t.Fatalf("seed %d: told %d, and it is %d; %d commands run", seed, told, best(), len(open))
		}
		messages := random.IntN(10) // of ten positions
		for range 3000 {
			if len(open) == maxRunning || len(open) > 0 && random.IntN(3) == 0 {
				i := random.IntN(len(open))
				pos := open[i]
				open = slices.Delete(open, i, i+1)
				p.end(pos)
				if ends++; told != best() {
					wrong()
				}
				continue
			}
			last += 1 + uint64(random.IntN(3))
			if random.IntN(10) < messages {
				open = append(open, last)
				p.begin(last)
			} else {
				p.pass(last)
			}
			if told > best() || len(open) == 0 && best()-told >= maxPassed {
				wrong()
			}
		}
		p.finish()
		if told != best() {
			wrong()
		}
		if most := ends + int(last-begin)/maxPassed + 2; tells > most {
			t.Errorf("seed %d: told %d times, not %d", seed, tells, most)
		}
	}
}
