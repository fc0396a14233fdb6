package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"
)

// driver does everything that is done to the peers, on one goroutine.
type driver struct {
	settings
	out     io.Writer
	history *history
	peers   []*peer
	cuts    *cuts
	agenda  []task
	traffic *rand.Rand // a generator each: more of the one doesn't change the other
	chaos   *rand.Rand
	end     time.Time // of the chaos
	done    tally
	faults  []string // of processes; those of messages are the judge's
	apart   func()   // ends the trouble of a network in parts; nil when it is whole
}

// tally counts what was done.
type tally struct {
	kills, restarts, stops, freezes, mutes, cuts, reroutes, isolations int
	skipped                                                            int // sends that no peer could take
}

// task is something to do at a time. A task that comes again plans by its own
// time and not the clock's, so that being late changes no rates.
type task struct {
	at time.Time
	do func(at time.Time)
}

func newDriver(s settings, out io.Writer) (*driver, error) {
	peers, err := newPeers(s.peers)
	if err != nil {
		return nil, err
	}
	d := &driver{settings: s, out: out, history: newHistory(), peers: peers}
	d.traffic, d.chaos = rand.New(rand.NewPCG(s.seed, 1)), rand.New(rand.NewPCG(s.seed, 2))
	d.cuts = newCuts(s.dir, peers, topology(s.peers, rand.New(rand.NewPCG(s.seed, 3))))
	return d, d.cuts.write()
}

// torture is the whole run. When it returns no process is left.
func (d *driver) torture(ctx context.Context) error {
	defer d.killAll()
	fmt.Fprintf(d.out, "seed %d: %d peers, %d of %d pairs never reach each other directly, %d messages in %v of chaos\n",
		d.seed, len(d.peers), len(d.cuts.forever), len(pairs(len(d.peers))), d.messages, d.time)
	if err := d.startAll(ctx); err != nil {
		return err
	}
	began := time.Now()
	d.end = began.Add(d.time)
	d.at(began, d.talk)
	d.at(began, d.shout)
	d.at(began.Add(time.Second), d.disturb)
	d.at(began.Add(time.Second), d.cutLinks)
	d.at(began.Add(10*time.Second), d.progress)
	if err := d.loop(ctx, d.end, nil); err != nil {
		return err
	}
	d.hasten()
	d.history.over = time.Now()
	if err := d.loop(ctx, time.Now().Add(d.settle), d.settled()); err != nil {
		return err
	}
	for _, p := range d.peers {
		if !d.isReady(p) {
			d.faults = append(d.faults, fmt.Sprintf("%s isn't ready %v after the chaos; its log ends:\n%s", p.name,
				time.Since(d.history.over).Round(time.Second), p.logEnd(d.dir, 10)))
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
		if err := d.await(ctx, 10*time.Second, "the first peer isn't ready", func() bool { return d.isReady(p) }); err != nil {
			return err
		}
	}
	return d.await(ctx, 30*time.Second, "not all peers know each other", func() bool {
		return !slices.ContainsFunc(d.peers, func(p *peer) bool { return d.history.knows(p.process.run) < len(d.peers)-1 })
	})
}

// start starts a peer, which joins through those doors that it can ever reach.
// The first peer is the network when it starts for the first time. Later the doors
// join through anybody, as they might both be down.
func (d *driver) start(p *peer) error {
	var join []string
	first := p.process == nil
	for _, q := range d.peers {
		open := q != p && !d.cuts.forever[pairOf(p.number, q.number)]
		if open && (q.number < doors || p.number < doors && !first) && !(first && p.number == 0) {
			join = append(join, q.address)
		}
	}
	return p.start(d.settings, d.history, join)
}

func (d *driver) isReady(p *peer) bool { return p.running && d.history.isReady(p.process.run) }

// at plans a task.
func (d *driver) at(when time.Time, do func(at time.Time)) {
	d.agenda = append(d.agenda, task{when, do})
}

// hasten makes all that is planned due now: at the end of the chaos what is frozen,
// cut or down is only waiting for its time to be healed.
func (d *driver) hasten() {
	now := time.Now()
	for i := range d.agenda {
		d.agenda[i].at = now
	}
}

// tick is how often the driver looks at what it isn't told.
const tick = 20 * time.Millisecond

// loop does what is planned until a time, or until done says so.
func (d *driver) loop(ctx context.Context, until time.Time, done func() bool) error {
	for {
		now := time.Now()
		d.reap()
		d.watch()
		for _, t := range d.due(now) {
			t.do(t.at)
		}
		if !now.Before(until) || done != nil && done() {
			return nil
		}
		next := until
		for _, t := range d.agenda {
			if t.at.Before(next) {
				next = t.at
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(time.Until(next), tick)):
		}
	}
}

// due takes what is due from the agenda, in the order of time.
func (d *driver) due(now time.Time) []task {
	var due []task
	d.agenda = slices.DeleteFunc(d.agenda, func(t task) bool {
		if t.at.After(now) {
			return false
		}
		due = append(due, t)
		return true
	})
	slices.SortStableFunc(due, func(a, b task) int { return a.at.Compare(b.at) })
	return due
}

func (d *driver) await(ctx context.Context, within time.Duration, problem string, done func() bool) error {
	came := false
	err := d.loop(ctx, time.Now().Add(within), func() bool { came = done(); return came || len(d.faults) > 0 })
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

// reap notices the ends of processes. One that nobody has ended is a fault, and is
// started again.
func (d *driver) reap() {
	for _, p := range d.peers {
		if p.running && p.doomed == toStop && time.Since(p.leaving) > stopLimit {
			p.process.kill() // which will not account for its end
		}
		if !p.running || !p.process.hasGone() {
			continue
		}
		p.running = false
		d.history.end(p.process.run, p.doomed == toBeKilled)
		if p.doomed.accounts(p.process.status) {
			continue
		}
		how := [...]string{"nobody has ended it", "it was killed", "it was told to stop"}[p.doomed]
		d.faults = append(d.faults, fmt.Sprintf("%s run %d ended with status %s at %s, and %s; its log ends:\n%s", p.name,
			p.process.run.number, p.process.status, clock(time.Now()), how, p.logEnd(d.dir, 10)))
		if p.doomed == notDoomed {
			old := p.process
			d.at(time.Now().Add(time.Second), func(time.Time) { d.replace(p, old) })
		}
	}
}

// watch notes when the network is in parts, as far as processes and cuts go.
func (d *driver) watch() {
	out := map[int]bool{}
	for _, p := range d.peers {
		out[p.number] = p.frozen || !d.isReady(p)
	}
	whole := connected(len(d.peers), d.cuts.now(), out)
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
		if len(d.agenda) > 0 || time.Since(judged) < time.Second {
			return false
		}
		judged = time.Now()
		if slices.ContainsFunc(d.peers, func(p *peer) bool { return !d.isReady(p) }) {
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
		d.at(next, d.progress)
	}
}

// stopAll stops all peers in good order.
func (d *driver) stopAll(ctx context.Context) error {
	for _, p := range d.peers {
		d.stop(p)
	}
	return d.loop(ctx, time.Now().Add(2*stopLimit), func() bool {
		return !slices.ContainsFunc(d.peers, func(p *peer) bool { return p.running })
	})
}

// killAll leaves no process behind.
func (d *driver) killAll() {
	for _, p := range d.peers {
		if p.process != nil {
			p.process.kill()
			<-p.process.gone
		}
	}
}

func clock(t time.Time) string { return t.Format("15:04:05.000") }
