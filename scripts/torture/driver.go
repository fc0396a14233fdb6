package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"quicpeer/scripts/internal/harness"
)

// driver does everything that is done to the peers but giving them messages.
type driver struct {
	settings
	out     io.Writer
	pace    *harness.Pace
	history *history
	peers   []*peer
	forever map[pair]int // the pairs that can never reach each other directly
	cuts    map[pair]int // how often each is held apart, now
	agenda  *agenda
	traffic *traffic
	chaos   *rand.Rand
	end     time.Time // of the chaos
	done    tally
	faults  []string // of processes; those of messages are the judge's
	fronts  fronts
	apart   func() // ends the trouble of a network in parts; nil when it is whole
}

// tally counts what was done.
type tally struct {
	kills, restarts, stops, freezes, mutes, cuts, reroutes, isolations, fronts int
}

func newDriver(s settings, pace *harness.Pace, out io.Writer) (*driver, error) {
	peers, err := newPeers(s.peers, s.dir)
	if err != nil {
		return nil, err
	}
	// A generator each: more of the one doesn't change the other.
	lot := func(n uint64) *rand.Rand { return rand.New(rand.NewPCG(s.seed, n)) }
	d := &driver{settings: s, out: out, pace: pace, history: newHistory(), peers: peers, agenda: &agenda{}, chaos: lot(2), forever: topology(s.peers, lot(3))}
	d.traffic = &traffic{settings: s, peers: peers, history: d.history, agenda: d.agenda, lot: lot(1)}
	d.cuts = maps.Clone(d.forever)
	d.writeCuts()
	return d, nil
}

// fault notes that a process, or the driver, has failed.
func (d *driver) fault(format string, args ...any) {
	d.faults = append(d.faults, fmt.Sprintf(format, args...))
}

// torture is the whole run. When it returns no process is left.
func (d *driver) torture(ctx context.Context) error {
	defer d.killAll()
	fmt.Fprintf(d.out, "seed %d: %d peers, %d of %d pairs never reach each other directly, %d messages in %v of chaos\n",
		d.seed, len(d.peers), len(d.forever), len(pairs(len(d.peers))), d.messages, d.time)
	if err := d.startAll(ctx); err != nil {
		return err
	}
	began := time.Now()
	d.end = began.Add(d.time)
	d.traffic.end = d.end
	d.agenda.plan(began, d.traffic.talk)
	d.agenda.plan(began, d.traffic.shout)
	d.agenda.plan(began.Add(time.Second), d.disturb)
	d.agenda.plan(began.Add(time.Second), d.front)
	d.agenda.plan(began.Add(time.Second), d.cutLinks)
	d.agenda.plan(began.Add(10*time.Second), d.progress)
	if _, err := d.loop(ctx, harness.NewPace().In(d.time), func() bool { return false }); err != nil {
		return err
	}
	d.agenda.hasten()
	d.history.over = time.Now()
	if _, err := d.loop(ctx, d.pace.In(d.settle), d.settled()); err != nil {
		return err
	}
	for _, p := range d.peers {
		if !d.history.isReady(p) {
			d.fault("%s isn't ready %v after the chaos; its log ends:\n%s", p.name,
				time.Since(d.history.over).Round(time.Second), p.lastLines(10))
		}
	}
	return d.stopAll(ctx)
}

// startAll starts the first door, then the others, and waits until all know all.
func (d *driver) startAll(ctx context.Context) error {
	for _, p := range d.peers {
		if err := d.start(p); err != nil {
			return err
		}
		if p.number > 0 {
			continue
		}
		if err := d.await(ctx, 10*time.Second, "the first peer isn't ready", func() bool { return d.history.isReady(p) }); err != nil {
			return err
		}
	}
	return d.await(ctx, 30*time.Second, "not all peers know each other", func() bool {
		return !slices.ContainsFunc(d.peers, func(p *peer) bool { return d.history.knows(p.run) < len(d.peers)-1 })
	})
}

// tick is how often the driver looks at what it isn't told.
const tick = 20 * time.Millisecond

// loop does what is planned until a deadline, or until it has come to what done asks for.
func (d *driver) loop(ctx context.Context, by harness.Deadline, done func() bool) (came bool, err error) {
	for {
		d.reap()
		d.watch()
		for _, t := range d.agenda.due(time.Now()) {
			t.do(t.at)
		}
		left := by.Left()
		if came = done(); came || left <= 0 {
			return came, nil
		}
		wait := min(left, tick)
		if len(d.agenda.tasks) > 0 {
			wait = min(wait, time.Until(d.agenda.tasks[0].at))
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// await is loop, and wants to see something.
func (d *driver) await(ctx context.Context, within time.Duration, problem string, done func() bool) error {
	came, err := d.loop(ctx, d.pace.In(within), func() bool { return done() || len(d.faults) > 0 })
	switch {
	case err != nil:
		return err
	case len(d.faults) > 0:
		return errors.New(d.faults[0])
	case !came:
		return errors.New(problem + " within " + within.String())
	default:
		return nil
	}
}

// watch notes when the network is in parts, as far as processes and cuts go.
func (d *driver) watch() {
	out := map[int]bool{}
	for _, p := range d.peers {
		out[p.number] = p.frozen || !d.history.isReady(p)
	}
	whole := connected(len(d.peers), d.cuts, out)
	switch {
	case whole && d.apart != nil:
		d.apart()
		d.apart = nil
	case !whole && d.apart == nil:
		d.apart = d.history.trouble("")
	}
}

// receiptTime is how long nothing has to happen for those messages to be given up
// that were shown, but whose sender has printed nothing since: a process may be
// killed between taking a receipt and printing it.
const receiptTime = 5 * time.Second

// settled returns what says that all is done: every message has its end and every
// peer is there. It is asked often and judges once a second.
func (d *driver) settled() func() bool {
	var judged time.Time
	return func() bool {
		if len(d.agenda.tasks) > 0 || time.Since(judged) < time.Second {
			return false
		}
		judged = time.Now()
		if slices.ContainsFunc(d.peers, func(p *peer) bool { return !d.history.isReady(p) }) {
			return false
		}
		v := d.history.judge()
		quiet := time.Since(later(d.history.over, later(v.lastShown, v.lastEnd)))
		return len(v.of(lost)) == 0 && (v.open == 0 || quiet > receiptTime)
	}
}

// progress prints a line each 10 s.
func (d *driver) progress(at time.Time) {
	v := d.history.judge()
	fmt.Fprintf(d.out, "%4.0fs: %d accepted, %d shown, %d failed, %d wait; %d kills, %d stops, %d freezes, %d cuts\n",
		d.time.Seconds()-time.Until(d.end).Seconds(), v.accepted, v.shown, v.failed, len(v.of(lost)),
		d.done.kills, d.done.stops, d.done.freezes, d.done.cuts)
	if next := at.Add(10 * time.Second); next.Before(d.end) {
		d.agenda.plan(next, d.progress)
	}
}

// stopAll stops all peers in good order.
func (d *driver) stopAll(ctx context.Context) error {
	for _, p := range d.peers {
		d.stop(p)
	}
	_, err := d.loop(ctx, d.pace.In(2*stopLimit), func() bool {
		return !slices.ContainsFunc(d.peers, func(p *peer) bool { return p.running })
	})
	return err
}

// killAll leaves no process behind.
func (d *driver) killAll() {
	for _, p := range d.peers {
		if p.process != nil {
			p.process.Kill()
			<-p.process.Gone()
		}
	}
	d.fronts.Wait()
	d.faults = append(d.faults, d.fronts.faults...)
}
