package core

import (
	"net/netip"
	"slices"
	"time"

	"quicpeer/certs"
)

// Net is how we can be reached and how we reach others, for users who want to know why.
type Net struct {
	NAT       NAT
	Addresses []OwnAddress
	Peers     []Way
}

// OwnAddress is an address of this peer, and where it is known from.
type OwnAddress struct {
	Address string     `json:"address"` // IP:PORT
	Source  Source     `json:"source"`
	By      []certs.ID `json:"by"` // observed: the peers that see it there now
}

// Source is where an address is known from.
type Source string

// The sources of an address.
const (
	SourceInterface Source = "interface" // of this host
	SourceObserved  Source = "observed"  // others see us there
	SourceMapped    Source = "mapped"    // the router forwards it here, at our request
	SourceForwarded Source = "forwarded" // a stranger has reached us there
)

// Way is how one peer is reached.
type Way struct {
	ID      certs.ID
	Link    LinkID        // 0: none
	Near    bool          // the link stays within the LAN, or the host
	Punched bool          // both sides have dialled, through a NAT
	Since   time.Duration // when the link came up
	Address string        // of the link
	Via     certs.ID      // without a link: the neighbour nearest to it
	Behind  bool          // it is behind a NAT and has to be met
	Tries   int           // dials in a row that have failed
	Why     string        // the last one
	Next    time.Duration // no dial before
	Now     bool          // it is being dialled
}

// Net reports how peers are reached, in the order of their IDs.
func (c *Core) Net() Net {
	w := c.where
	n := Net{NAT: c.where.nat()}
	add := func(source Source, a netip.AddrPort, by []certs.ID) {
		if a.IsValid() {
			n.Addresses = append(n.Addresses, OwnAddress{a.String(), source, by})
		}
	}
	for _, a := range w.own {
		add(SourceInterface, a, nil)
	}
	add(SourceMapped, w.mapped, nil)
	add(SourceForwarded, w.forwarded, nil)
	var shown []netip.AddrPort
	for _, o := range w.seen {
		if slices.Contains(w.own, o.addr) || slices.Contains(shown, o.addr) {
			continue
		}
		shown = append(shown, o.addr)
		var by []certs.ID
		for _, other := range w.seen {
			if l := c.links.link(other.link); other.addr == o.addr && l != nil {
				by = append(by, l.peer)
			}
		}
		slices.Sort(by)
		add(SourceObserved, o.addr, by)
	}
	for _, e := range sortedByID(c.table.entries) {
		if e.shown != nil {
			n.Peers = append(n.Peers, c.way(e))
		}
	}
	return n
}

func (c *Core) way(e *entry) Way {
	d := e.our()
	w := Way{
		ID: e.record.ID, Via: c.links.via(e), Behind: len(e.record.Observed) > 0,
		Tries: d.failures, Why: d.why, Next: d.nextDial, Now: d.dialing != 0,
	}
	if l := c.links.linkTo(e.record.Key); l != nil {
		w.Link, w.Near, w.Punched, w.Since, w.Address = l.id, c.where.nearLink(l), l.punched, l.upSince, l.address
		w.Tries, w.Why, w.Next = 0, "", 0 // of before
	}
	return w
}
