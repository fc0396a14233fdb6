package main

import (
	"time"

	"quicpeer/scripts/internal/harness"
)

// cutLinks cuts a link, or so many of one peer that what it sends has to take
// another way, or now and then all of them.
func (d *driver) cutLinks(at time.Time) {
	d.again(at, linkCut, d.cutLinks)
	p := d.peers[d.chaos.IntN(len(d.peers))]
	var open []*peer // those that it reaches directly
	for _, q := range d.peers {
		if q != p && d.cuts[pairOf(p.number, q.number)] == 0 {
			open = append(open, q)
		}
	}
	if len(open) == 0 {
		return
	}
	d.chaos.Shuffle(len(open), func(i, j int) { open[i], open[j] = open[j], open[i] })
	switch n := d.chaos.IntN(100); {
	case n < 70:
		d.cut(p, open[:1], &d.done.cuts)
	case n < 95:
		d.cut(p, open[1:], &d.done.reroutes)
	default:
		d.cut(p, open, &d.done.isolations)
	}
}

// cut holds a peer apart from others for a while. Mostly only if the network stays
// whole, isolations excepted.
func (d *driver) cut(p *peer, from []*peer, count *int) {
	names := []string{p.name}
	for _, q := range from {
		names = append(names, q.name)
	}
	hold := func(more int) {
		for _, q := range from {
			d.cuts[pairOf(p.number, q.number)] += more
		}
	}
	hold(1)
	if !connected(len(d.peers), d.cuts, nil) && count != &d.done.isolations && d.chaos.IntN(10) > 0 {
		hold(-1)
		return
	}
	over := d.history.trouble(names...)
	*count++
	d.writeCuts()
	d.after(d.between(time.Second, 10*time.Second), func() {
		hold(-1)
		d.writeCuts()
		over()
	})
}

// writeCuts makes the files as the processes are to read them.
func (d *driver) writeCuts() {
	for _, p := range d.peers {
		var off []string
		for _, q := range d.peers {
			if d.cuts[pairOf(p.number, q.number)] > 0 {
				off = append(off, q.address)
			}
		}
		if err := harness.WriteCuts(p.path+".cuts", off); err != nil {
			d.fault("the cuts can't be written: %v", err)
		}
	}
}
