package reach

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// TestCautious: where a peer was met is dialled, and of the rest a few addresses, in the end each; in a
// meeting always the one where the peer is seen.
func TestCautious(t *testing.T) {
	var list []base.Candidate
	for i := range 7 {
		list = append(list, base.Candidate{Address: fmt.Sprintf("10.1.%d.1:5000", i), After: time.Duration(i+1) * time.Second})
	}
	never := func(string) bool { return false }
	dialled := make(map[string]bool)
	for failures := range 7 {
		met, unmet := Cautious(slices.Clone(list), "10.1.3.1:4000", failures, never)
		if len(met) != 1 || met[0].Address != "10.1.3.1:5000" || met[0].After != 0 || len(unmet) != unmetAddresses || unmet[0].After != 0 {
			t.Fatalf("after %d failures: %v, %v", failures, met, unmet)
		}
		for _, c := range unmet {
			dialled[c.Address] = true
		}
		seen := list[5].Address
		if _, unmet := Cautious(slices.Clone(list), "", failures, func(a string) bool { return a == seen }); !slices.ContainsFunc(unmet, func(c base.Candidate) bool { return c.Address == seen }) {
			t.Errorf("after %d failures of a meeting: %v", failures, unmet)
		}
	}
	if len(dialled) != len(list)-1 {
		t.Errorf("of all addresses %v are dialled", dialled)
	}
}

// unmetDials lets so many peers never met be dialled as often as they may in a time, and counts the dials;
// answered ones come up at once.
func unmetDials(r *rig, peers []*table.Entry, d time.Duration, answered bool) (n int) {
	for until := r.Now + d; r.Now < until; r.Now += 250 * time.Millisecond {
		for _, e := range peers {
			r.DialFor(e, toCheck)
			r.checks = base.Limiter{}
			for _, dial := range r.Out.Dials {
				n++
				if answered {
					r.DialEnded(r.Dials[dial.ID], "", true)
				} else {
					r.DialFailed(dial.ID, false, "no answer")
				}
			}
			r.settle()
		}
	}
	return n
}

// TestUnmetAllowance: unanswered dials to peers never met use up an allowance, answered ones do not; a peer with
// enough neighbours waits for its turn, and so does one that lacks some and was not answered; one that has just
// lost most of its peers may dial anybody.
func TestUnmetAllowance(t *testing.T) {
	start := func(neighbours int) (*rig, []*table.Entry) {
		r := newRig(t, own)
		r.ReadyAt = -time.Hour
		for i := range neighbours {
			r.linked(fmt.Sprint("n", i), fmt.Sprintf("198.51.100.%d:5000", i+1), nil).Neighbour = true
		}
		var peers []*table.Entry
		for i := range 100 {
			peers = append(peers, r.peer(fmt.Sprint("p", i), fmt.Sprintf("203.0.113.%d:5000", i+1)))
		}
		return r, peers
	}
	r, peers := start(1)
	if n := unmetDials(r, peers, 10*time.Minute, false); n < 18 || n > 10*2+1 {
		t.Errorf("with one neighbour %d dials in ten minutes", n)
	}
	r, peers = start(1)
	if n := unmetDials(r, peers, time.Second, true); n < len(peers) {
		t.Errorf("of %d peers that answer %d are dialled", len(peers), n)
	}
	r, peers = start(freeBelow)
	if n := unmetDials(r, peers, time.Hour, false); n == 0 || n > int(time.Hour/(turnFor*time.Duration(len(peers)+4)))*turns*2 {
		t.Errorf("with neighbours %d dials in an hour", n)
	}
	r, peers = start(freeBelow)
	r.ReadyAt = 0
	if n := unmetDials(r, peers, time.Second, false); n != unmetAtFirst {
		t.Errorf("one that has just come dials %d", n)
	}
	for neighbours, want := range map[int][2]int{table.WantNeighbours - 1: {1, len(peers)}, table.WantNeighbours: {0, 0}} {
		for i, answered := range []bool{false, true} {
			r, peers = start(neighbours)
			r.unmet.proven, r.unmet.secret = true, uint64(2*turns)|1 // and it is the turn of others
			if n := unmetDials(r, peers, time.Second, answered); n < want[i] || want[i] <= 1 && n > want[i] {
				t.Errorf("one of %d neighbours that was answered the last time dials %d; answered: %v", neighbours, n, answered)
			}
		}
	}
	r, peers = start(4)
	for _, l := range r.links.List[:2] {
		e := l.Entry
		e.With().LastAddress = l.Address
		r.table.Set(e, e.Record, pb.AnnouncementType_LOST)
		e.Said = r.Now
		r.table.AddGone(e)
	}
	r.links.List = r.links.List[2:]
	if n := unmetDials(r, peers, time.Second, false); n < len(peers) {
		t.Errorf("one that was cut off dials %d of %d", n, len(peers))
	}
}

// TestUnmetIsWanted: a peer that messages wait for is dialled whatever was spent, as long as any, at few
// addresses.
func TestUnmetIsWanted(t *testing.T) {
	r := newRig(t, own)
	r.ReadyAt = -time.Hour
	r.unmet.spent.Next = time.Hour
	e := r.peer("bob", "203.0.113.1:5000 203.0.113.2:5000 203.0.113.3:5000 203.0.113.4:5000")
	r.DialFor(e, toCheck)
	if len(r.Out.Dials) != 0 {
		t.Error("it is dialled without an allowance")
	}
	r.Want("bob")
	if len(r.Out.Dials) != 1 || len(r.Out.Dials[0].Candidates) != unmetAddresses || r.Out.Dials[0].Timeout != DialTimeout {
		t.Errorf("dials %v", r.Out.Dials)
	}
}
