package core

import (
	"slices"
	"testing"

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
		if fz.c.links.link(frame.Link) == nil {
			t.Fatal("sends to nowhere")
		}
	}
	for i, e := range out.Events {
		if i > 0 && e == (Ready{}) {
			t.Fatalf("Ready is not the first event: %v", out.Events)
		}
	}
	if fz.c.Next() < fz.now {
		t.Fatalf("wants to be woken at %v, it is %v", fz.c.Next(), fz.now)
	}
	entries := fz.c.table.entries
	if !slices.IsSortedFunc(entries, func(a, b *entry) int { return compareNames(a.record, b.record) }) || fz.c.table.get("p1", testIdentity(0).Key()) != fz.c.table.self {
		t.Fatal("the table is out of order")
	}
	for _, e := range entries {
		if n := len(fz.c.table.of(e.record.ID)); n > maxKeysPerID {
			t.Fatalf("%d keys for an ID", n)
		}
	}
	// A peer started elsewhere goes without a goodbye, since its identity stays.
	if gone := !fz.c.table.self.alive(); gone && !fz.c.leaving || !gone && fz.c.leaving && !fz.c.ended || len(fz.c.broadcasts.early) > maxEarly || len(fz.c.broadcasts.recent) > maxRecent {
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
		"probes":          {len(c.probes.list), maxProbes},
		"neighbours":      {c.links.degree(), mostNeighbours},
		"dials":           {len(c.reach.dials), maxDials},
		"runs behind":     {len(c.broadcasts.behind), len(c.table.entries) + maxRecent},
		"wishes answered": {len(fz.wishes), len(c.sync.batches)},
		"wishes":          {len(c.sync.batches), len(fz.wishes)},
	} {
		if have[0] > have[1] {
			t.Fatalf("%s: %d, at most %d", what, have[0], have[1])
		}
	}
	fz.checkCustody(t)
	for _, q := range c.probes.list {
		if len(q.askers) > maxAskers {
			t.Fatalf("%d askers", len(q.askers))
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
	keeps, own, offered := 0, 0, make(map[LinkID]int)
	for _, s := range c.custody.shelves {
		for _, k := range s.deposits {
			if keeps++; !fz.disk[k.id] {
				t.Fatal("kept and not stored")
			}
		}
	}
	for _, a := range c.custody.absentees {
		own += len(a.deposits)
		for _, h := range a.holders {
			if h.has > len(a.deposits) || h.asked != 0 && h.has == len(a.deposits) {
				t.Fatalf("a holder has %d of %d", h.has, len(a.deposits))
			}
			if h.asked != 0 {
				offered[h.asked] += h.size
			}
		}
		if len(a.holders) > wantHolders {
			t.Fatalf("%d holders", len(a.holders))
		}
	}
	if keeps != len(fz.disk) || own != c.custody.own {
		t.Fatalf("%d are kept and %d stored, %d are our own, counted %d", keeps, len(fz.disk), own, c.custody.own)
	}
	for _, l := range c.links.list {
		if l.offered != offered[l.id] {
			t.Fatalf("%d bytes are offered on a link, counted %d", offered[l.id], l.offered)
		}
	}
	inParts := 0
	for _, p := range c.relay.partials {
		inParts += p.bytes
	}
	if inParts != c.relay.bytes || inParts > maxPartialsB {
		t.Fatalf("%d bytes in parts, counted %d", inParts, c.relay.bytes)
	}
}

// checkBooks checks what is stored in two places.
func (fz *fuzzer) checkBooks(t *testing.T) {
	t.Helper()
	c := fz.c
	slots := make(map[int]bool)
	for _, l := range c.links.list {
		switch {
		case l.neighbour && l.state != linkUp:
			t.Fatal("a neighbour whose link is not up")
		case l.slot >= 0 && (!l.neighbour || slots[l.slot]):
			t.Fatalf("slot %d is taken twice, or not at all", l.slot)
		}
		if l.slot >= 0 {
			slots[l.slot] = true
		}
	}
	buried := 0
	for i, e := range c.table.entries {
		if e.buried() {
			buried++
		}
		if c.table.tags[i] != tagOf(e.record.ID) || e.told > noWay || c.links.distance(e) > noWay {
			t.Fatalf("the entry of %s is at the wrong place, or too far", e.record.ID)
		}
		for slot, hops := range e.hops {
			if hops < noWay && !slots[slot] {
				t.Fatalf("the route to %s leads over a peer that is not a neighbour", e.record.ID)
			}
		}
	}
	if buried != c.table.gone {
		t.Fatalf("%d are buried, not %d", buried, c.table.gone)
	}
	held := c.table.hash
	c.table.hash = nil
	if held != nil && !slices.Equal(held, c.table.digest()) {
		t.Fatal("the digest is not that of the table")
	}
}
