package core

import (
	"net/netip"
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/table"
)

// Net is how we can be reached and how we reach others, for users who want to know why.
type Net struct {
	NAT       base.NAT
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
	Link    base.LinkID   // 0: none is in use
	Near    bool          // the link stays within the LAN, or the host
	Punched bool          // both sides have dialled, through a NAT
	Since   time.Duration // when the link came up
	Address string        // of the link
	Via     certs.ID      // without a link: the neighbour nearest to it
	Carried base.LinkID   // one over others that is in use; 0: none
	Behind  bool          // it is behind a NAT and has to be met
	Tries   int           // dials in a row that have failed
	Why     string        // the last one
	Next    time.Duration // no dial before
	Now     bool          // it is being dialled
}

// Net reports how peers are reached, in the order of their IDs.
func (c *Core) Net() Net {
	w := c.where
	n := Net{NAT: c.where.Nat()}
	add := func(source Source, a netip.AddrPort, by []certs.ID) {
		if a.IsValid() {
			n.Addresses = append(n.Addresses, OwnAddress{a.String(), source, by})
		}
	}
	for _, a := range w.Own {
		add(SourceInterface, a, nil)
	}
	add(SourceMapped, w.Mapped, nil)
	add(SourceForwarded, w.Forwarded, nil)
	var shown []netip.AddrPort
	for _, o := range w.Seen {
		if slices.Contains(w.Own, o.Addr) || slices.Contains(shown, o.Addr) {
			continue
		}
		shown = append(shown, o.Addr)
		var by []certs.ID
		for _, other := range w.Seen {
			if l := c.links.Link(other.Link); other.Addr == o.Addr && l != nil {
				by = append(by, l.Peer)
			}
		}
		slices.Sort(by)
		add(SourceObserved, o.Addr, by)
	}
	for _, e := range sortedByID(c.table.Entries) {
		if e.Shown != nil {
			n.Peers = append(n.Peers, c.way(e))
		}
	}
	return n
}

func (c *Core) way(e *table.Entry) Way {
	d := e.Our()
	w := Way{
		ID: e.Record.ID, Via: c.links.Via(e), Behind: len(e.Record.Observed) > 0,
		Tries: d.Failures, Why: d.Why, Next: d.NextDial, Now: d.Dialing != 0,
	}
	l, carried := c.carried.inUse(e.Record.Key)
	switch {
	case l == nil:
	case carried:
		w.Carried, w.Since = l.ID, l.UpSince
	default:
		w.Link, w.Near, w.Punched, w.Since, w.Address = l.ID, c.where.NearLink(l), l.Punched, l.UpSince, l.Address
		w.Tries, w.Why, w.Next = 0, "", 0 // of before
	}
	return w
}
