package core

import (
	"slices"
	"testing"

	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/broadcast"
	"quicpeer/overlay/core/custody"
	"quicpeer/overlay/core/detect"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/reach"
	"quicpeer/overlay/core/route"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// check checks the invariants.
func (fz *fuzzer) check(t *testing.T) {
	t.Helper()
	out := fz.c.Drain()
	fz.wishes = append(fz.wishes, out.Verify...)
	fz.stored = out.Custody
	for _, d := range out.Dials {
		fz.dials = append(fz.dials, d.ID)
		if len(d.Candidates) == 0 {
			t.Fatal("a dial to nowhere")
		}
	}
	for _, frame := range out.Frames {
		m, err := decode(frame.Data)
		if err != nil {
			t.Fatalf("sends an invalid frame: %v", err)
		}
		if ping := m.GetRouted().GetPing(); ping != nil && m.GetRouted().GetFrom() == "p1" {
			fz.pings = append(fz.pings, ping)
		}
		if w := m.GetRouted().GetWithdraw(); w != nil {
			fz.withdrawals = append(fz.withdrawals, w.GetNumber())
		}
		if p := m.GetLinkPing(); p != nil {
			fz.linkPings = append(fz.linkPings, p.GetNumber())
		}
		if fz.c.links.Link(frame.Link) == nil {
			t.Fatal("sends to nowhere")
		}
	}
	for i, e := range out.Events {
		if i > 0 && e == (base.Ready{}) {
			t.Fatalf("Ready is not the first event: %v", out.Events)
		}
	}
	if fz.c.Next() < fz.now {
		t.Fatalf("wants to be woken at %v, it is %v", fz.c.Next(), fz.now)
	}
	entries := fz.c.table.Entries
	if !slices.IsSortedFunc(entries, func(a, b *table.Entry) int { return base.CompareNames(a.Record, b.Record) }) || fz.c.table.Get("p1", testIdentity(0).Key()) != fz.c.table.Self {
		t.Fatal("the table is out of order")
	}
	for _, e := range entries {
		n := 0
		for _, other := range fz.c.table.Of(e.Record.ID) {
			if !other.Removed() {
				n++
			}
		}
		if n > table.MaxKeysPerID {
			t.Fatalf("%d keys for an ID", n)
		}
		if out := fz.c.env.Passes.Barred(e.Record); out != nil && !fz.c.env.Ended && !(e == fz.c.table.Self && fz.c.env.Leaving) {
			t.Fatalf("%s is in the table, whom the removal of %s bars", e.Record.ID, out.ID)
		}
	}
	// A peer started elsewhere goes without a goodbye, since its identity stays.
	if gone := !fz.c.table.Self.Alive(); gone && !fz.c.env.Leaving || !gone && fz.c.env.Leaving && !fz.c.env.Ended || len(fz.c.broadcasts.Early) > broadcast.MaxEarly || len(fz.c.broadcasts.Recent) > broadcast.MaxRecent {
		t.Fatal("out of bounds")
	}
	for _, p := range fz.c.Peers() {
		if p.ID == "p1" {
			t.Fatal("its own ID is in its list of peers")
		}
	}
	fz.checkBounds(t)
	fz.checkBooks(t)
	fz.checkBroadcasts(t, out.Events)
}

// checkBounds checks the bounds of everything that others can make us hold.
func (fz *fuzzer) checkBounds(t *testing.T) {
	t.Helper()
	c := fz.c
	for what, have := range map[string][2]int{
		"probes":          {len(c.probes.List), detect.MaxProbes},
		"neighbours":      {c.links.Degree(), table.MostNeighbours},
		"dials":           {len(c.reach.Dials), reach.MaxDials},
		"runs behind":     {len(c.broadcasts.Behind), len(c.table.Entries) + broadcast.MaxRecent},
		"wishes answered": {len(fz.wishes), len(c.sync.Batches)},
		"wishes":          {len(c.sync.Batches), len(fz.wishes)},
		"tickets":         {len(c.tickets.waiting), maxRedeemed},
	} {
		if have[0] > have[1] {
			t.Fatalf("%s: %d, at most %d", what, have[0], have[1])
		}
	}
	fz.checkCustody(t)
	for _, q := range c.probes.List {
		if len(q.Askers) > detect.MaxAskers {
			t.Fatalf("%d askers", len(q.Askers))
		}
	}
}

// checkCustody checks the deposits kept for others and left with others: those stored are those
// kept, and the counts are right.
func (fz *fuzzer) checkCustody(t *testing.T) {
	t.Helper()
	c := fz.c
	for _, write := range fz.stored {
		if fz.disk == nil {
			fz.disk = make(map[[pb.DepositIDSize]byte]bool)
		}
		if fz.disk[write.ID] == (write.Kept != nil) {
			t.Fatal("stored or dropped twice")
		}
		if fz.disk[write.ID] = write.Kept != nil; write.Kept == nil {
			delete(fz.disk, write.ID)
		}
	}
	keeps, own, offered := 0, 0, make(map[base.LinkID]int)
	for _, s := range c.custody.Shelves {
		for _, k := range s.Deposits {
			if keeps++; !fz.disk[k.ID] {
				t.Fatal("kept and not stored")
			}
		}
	}
	for _, a := range c.custody.Absentees {
		own += len(a.Deposits)
		for _, h := range a.Holders {
			if h.Has > len(a.Deposits) || h.Asked != 0 && h.Has == len(a.Deposits) {
				t.Fatalf("a holder has %d of %d", h.Has, len(a.Deposits))
			}
			if h.Asked != 0 {
				offered[h.Asked] += h.Size
			}
		}
		if len(a.Holders) > custody.WantHolders {
			t.Fatalf("%d holders", len(a.Holders))
		}
	}
	if keeps != len(fz.disk) || own != c.custody.Own {
		t.Fatalf("%d are kept and %d stored, %d are our own, counted %d", keeps, len(fz.disk), own, c.custody.Own)
	}
	for _, l := range c.links.List {
		if l.Offered != offered[l.ID] {
			t.Fatalf("%d bytes are offered on a link, counted %d", offered[l.ID], l.Offered)
		}
	}
	inParts := 0
	for _, p := range c.relay.Partials {
		inParts += p.Bytes
	}
	if inParts != c.relay.Bytes || inParts > route.MaxPartialsB {
		t.Fatalf("%d bytes in parts, counted %d", inParts, c.relay.Bytes)
	}
}

// checkBooks checks what is stored in two places.
func (fz *fuzzer) checkBooks(t *testing.T) {
	t.Helper()
	c := fz.c
	slots := make(map[int]bool)
	for _, l := range c.links.List {
		switch {
		case l.Neighbour && l.State != link.LinkUp:
			t.Fatal("a neighbour whose link is not up")
		case l.Slot >= 0 && (!l.Neighbour || slots[l.Slot]):
			t.Fatalf("slot %d is taken twice, or not at all", l.Slot)
		}
		if l.Slot >= 0 {
			slots[l.Slot] = true
		}
	}
	buried := 0
	for i, e := range c.table.Entries {
		if e.Buried() && !e.Removed() {
			buried++
		}
		if c.table.Tags[i] != base.TagOf(e.Record.ID) || e.Told() > table.NoWay || c.links.Distance(e) > table.NoWay {
			t.Fatalf("the entry of %s is at the wrong place, or too far", e.Record.ID)
		}
		for slot, hops := range e.Hops {
			if hops < table.NoWay && !slots[slot] {
				t.Fatalf("the route to %s leads over a peer that is not a neighbour", e.Record.ID)
			}
		}
	}
	if buried != c.table.Gone {
		t.Fatalf("%d are buried, not %d", buried, c.table.Gone)
	}
	held := c.table.Digest()
	c.table.Changed()
	if !slices.Equal(held, c.table.Digest()) {
		t.Fatal("the digest is not that of the table")
	}
}
