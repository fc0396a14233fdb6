package main

import (
	"time"

	"quicpeer/scripts/internal/harness"
)

// cuts are the pairs that can't reach each other, and the files that make it so.
type cuts struct {
	dir     string
	peers   []*peer
	forever map[pair]bool
	held    map[pair]int // how many hold a pair apart for a while
}

func newCuts(dir string, peers []*peer, forever map[pair]bool) *cuts {
	return &cuts{dir, peers, forever, map[pair]int{}}
}

// now are all pairs that are apart.
func (c *cuts) now() map[pair]bool {
	apart := map[pair]bool{}
	for p := range c.forever {
		apart[p] = true
	}
	for p, n := range c.held {
		if n > 0 {
			apart[p] = true
		}
	}
	return apart
}

// open are the peers that one reaches directly.
func (c *cuts) open(p *peer) []*peer {
	var open []*peer
	apart := c.now()
	for _, q := range c.peers {
		if q != p && !apart[pairOf(p.number, q.number)] {
			open = append(open, q)
		}
	}
	return open
}

// hold cuts p off from others; connected says whether all peers still reach each
// other. release undoes it. Neither writes the files.
func (c *cuts) hold(p *peer, from []*peer) (whole bool) {
	for _, q := range from {
		c.held[pairOf(p.number, q.number)]++
	}
	return connected(len(c.peers), c.now(), nil)
}

func (c *cuts) release(p *peer, from []*peer) {
	for _, q := range from {
		c.held[pairOf(p.number, q.number)]--
	}
}

// write makes the files as the processes are to read them.
func (c *cuts) write() error {
	apart := c.now()
	for _, p := range c.peers {
		var off []string
		for _, q := range c.peers {
			if apart[pairOf(p.number, q.number)] {
				off = append(off, q.address)
			}
		}
		if err := harness.WriteCuts(p.file(c.dir, ".cuts"), off); err != nil {
			return err
		}
	}
	return nil
}

// cutLinks cuts a link, or so many of one peer that what it sends has to take
// another way, or now and then all of them.
func (d *driver) cutLinks(at time.Time) {
	d.again(at, linkCut, d.cutLinks)
	p := d.peers[d.chaos.IntN(len(d.peers))]
	open := d.cuts.open(p)
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
	if !d.cuts.hold(p, from) && count != &d.done.isolations && d.chaos.IntN(10) > 0 {
		d.cuts.release(p, from)
		return
	}
	names := []string{p.name}
	for _, q := range from {
		names = append(names, q.name)
	}
	over := d.history.trouble(names...)
	*count++
	d.writeCuts()
	d.after(d.between(time.Second, 10*time.Second), func() {
		d.cuts.release(p, from)
		d.writeCuts()
		over()
	})
}

func (d *driver) writeCuts() {
	if err := d.cuts.write(); err != nil {
		d.faults = append(d.faults, "the cuts can't be written: "+err.Error())
	}
}
