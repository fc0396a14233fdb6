package main

import (
	"time"

	"quicpeer/scripts/internal/harness"
)

// start starts a peer, which joins through those doors that it can ever reach.
// The first peer is the network when it starts for the first time. Later the doors
// join through anybody, as they might both be down.
func (d *driver) start(p *peer) error {
	var join []string
	first := p.process == nil
	for _, q := range d.peers {
		open := q != p && d.forever[pairOf(p.number, q.number)] == 0
		if open && (q.number < doors || p.number < doors && !first) && !(first && p.number == 0) {
			join = append(join, q.address)
		}
	}
	p.deaf = d.pace.In(deafness)
	return p.start(d.settings, d.history, join)
}

// stopLimit is how long a peer may take to leave: 5 s for receipts, the rest for a slow program.
const stopLimit = 30 * time.Second

// deafness is how long a process may take to hear signals; before, one just ends it.
const deafness = time.Second

// stop tells a peer to leave, as soon as it can hear that.
func (d *driver) stop(p *peer) {
	if !d.history.isReady(p) && p.deaf.Left() > 0 {
		old := p.process
		d.agenda.plan(time.Now().Add(tick), func(time.Time) {
			if p.process == old && p.running {
				d.stop(p)
			}
		})
		return
	}
	p.doomed, p.leaving = toStop, d.pace.In(stopLimit)
	p.process.Signal("stop") // an error says that it has ended, which reap sees
}

// killNow kills a peer and starts it again.
func (d *driver) killNow(p *peer) {
	d.done.kills++
	p.doomed = toBeKilled
	p.process.Kill()
	d.restart(p, d.history.trouble(p.name))
}

// restart starts a peer after a while, when its process has ended. Now and then it
// is killed again at once, while it is starting or has just begun.
func (d *driver) restart(p *peer, over func()) {
	old := p.process
	d.after(d.between(0, 5*time.Second), func() { over(); d.replace(p, old) })
}

// replace starts a peer as soon as its old process has ended, unless that has been done.
func (d *driver) replace(p *peer, old *harness.Process) {
	switch {
	case p.process != old:
		return
	case p.running:
		d.agenda.plan(time.Now().Add(tick), func(time.Time) { d.replace(p, old) })
		return
	}
	if err := d.start(p); err != nil {
		d.fault("%s can't be started: %v", p.name, err)
		return
	}
	d.done.restarts++
	if time.Now().Before(d.end) && d.chaos.IntN(8) == 0 {
		d.after(d.between(0, time.Second), func() { d.kill(p) })
		return
	}
	p.busy = false
}

// reap notices the ends of processes. One that nobody has ended is a fault, and is started again.
func (d *driver) reap() {
	for _, p := range d.peers {
		if p.running && p.doomed == toStop && p.leaving.Left() < 0 {
			p.process.Kill() // which will not account for its end
		}
		if !p.running || !p.process.State().Over {
			continue
		}
		status := p.process.State().Status
		p.running = false
		d.history.end(p.run, p.doomed == toBeKilled)
		if p.doomed.accounts(status) {
			continue
		}
		d.fault("%s run %d ended with status %s at %s, and %s; its log ends:\n%s", p.name,
			p.run.number, status, clock(time.Now()), p.doomed.how, p.lastLines(10))
		if p.doomed == notDoomed {
			old := p.process
			d.agenda.plan(time.Now().Add(time.Second), func(time.Time) { d.replace(p, old) })
		}
	}
}
