package harness

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Pace tells time as a busy machine lets it pass. Its clock is as much slower than the
// wall's as the machine is slower than when it is idle, so a deadline by it leaves the
// peers the work that they could do by then on an idle machine. It never runs faster.
type Pace struct {
	mu       sync.Mutex
	passed   time.Duration // by this clock, until at
	at       time.Time
	slowness float64
}

// NewPace returns the pace of an idle machine, as long as Set says nothing else.
func NewPace() *Pace { return &Pace{at: time.Now(), slowness: 1} }

// StartPace returns the pace of this machine, which is measured until stop.
func StartPace() (p *Pace, stop func()) {
	p = NewPace()
	ctx, cancel := context.WithCancel(context.Background())
	var sampling sync.WaitGroup
	sampling.Go(func() { p.sample(ctx) })
	return p, func() { cancel(); sampling.Wait() }
}

// Now is the time by this clock since it began.
func (p *Pace) Now() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now()
}

func (p *Pace) now() time.Duration {
	t := time.Now()
	p.passed += time.Duration(float64(t.Sub(p.at)) / p.slowness)
	p.at = t
	return p.passed
}

// Set says how much slower than idle the machine is from now on; at least 1.
func (p *Pace) Set(slowness float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now()
	p.slowness = max(1, slowness)
}

// Slowness is what Set has said last.
func (p *Pace) Slowness() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.slowness
}

// The work of a sample: parts of a fifth of a millisecond or so, which is less than the kernel lets
// a process run before others have their turn. So the fastest part shows how fast an idle machine
// would be, however busy this one is, and the time that all parts take together shows how busy.
const (
	sampleEvery = 300 * time.Millisecond
	sampleParts = 40
	partRounds  = 100_000
	memory      = 10 // samples: the slowest of them counts, as work comes in bursts
)

// sample measures the machine until ctx is done.
func (p *Pace) sample(ctx context.Context) {
	fastest := time.Hour
	var recent []float64
	for {
		began := time.Now()
		for range sampleParts {
			if took := part(); took > 0 { // by a clock of coarse steps a part may take nothing
				fastest = min(fastest, took)
			}
		}
		recent = append(recent, time.Since(began).Seconds()/(sampleParts*fastest.Seconds()))
		recent = recent[max(0, len(recent)-memory):]
		p.Set(slices.Max(recent))
		select {
		case <-ctx.Done():
			return
		case <-time.After(sampleEvery):
		}
	}
}

// worked keeps the compiler from leaving the work out.
var worked atomic.Uint64

// part is a part of the work of a sample. It returns how long it took.
func part() time.Duration {
	began := time.Now()
	x := uint64(1)
	for range partRounds { // a random generator, xorshift64 of Marsaglia
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	worked.Store(x)
	return time.Since(began)
}

// In is the deadline after so much time by this clock from now.
func (p *Pace) In(d time.Duration) Deadline { return p.After(p.Now(), d) }

// After is the deadline so long after a moment of this clock.
func (p *Pace) After(moment, d time.Duration) Deadline { return Deadline{p, moment + d, d} }

// Deadline is the end of a wait.
type Deadline struct {
	pace   *Pace
	at     time.Duration // by its clock
	stated time.Duration
}

// Left is how long it is until the deadline, if the machine stays as slow as it is.
func (d Deadline) Left() time.Duration {
	d.pace.mu.Lock()
	defer d.pace.mu.Unlock()
	return time.Duration(float64(d.at-d.pace.now()) * d.pace.slowness)
}

// String is the time that was given.
func (d Deadline) String() string { return d.stated.String() }
