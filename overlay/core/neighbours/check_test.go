package neighbours

import (
	"bufio"
	"bytes"
	"testing"
	"time"

	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// checking lets time go by, and has the peers of some links answer pings.
func (r *rig) checking(d time.Duration, answers func(base.LinkID) bool) (pings int) {
	r.t.Helper()
	for until := r.Now + d; r.Now < until; {
		r.Now += tick
		for _, l := range r.links.List {
			l.Heard = r.Now
		}
		r.CheckNeighbours()
		frames := r.Out.Frames
		r.Out.Frames = nil
		for _, f := range frames {
			m, err := pb.Read(bufio.NewReader(bytes.NewReader(f.Data)), pb.MaxControlFrame)
			if err != nil {
				r.t.Fatal(err)
			}
			if ping := m.GetRouted().GetPing(); ping != nil {
				pings++
				if answers(f.Link) {
					r.ReceivePong(r.links.Link(f.Link).Peer, ping)
				}
			}
		}
	}
	return pings
}

// TestMuteNeighbour: a neighbour that answers nothing is none any more, and does not become one again soon.
func TestMuteNeighbour(t *testing.T) {
	r := newRig(t, 200)
	list := r.neighbours(2)
	good, mute := list[0], list[1]
	answers := func(id base.LinkID) bool { return id == good.ID }
	r.checking(checkFirst+(maxChecks+1)*checkAgain, answers)
	if !good.Neighbour || mute.Neighbour {
		t.Fatalf("the one that answers is a neighbour: %v, the other: %v", good.Neighbour, mute.Neighbour)
	}
	if got := r.says(mute, pb.NeighbourType_REQUEST, true); got.GetType() != pb.NeighbourType_REFUSE {
		t.Errorf("a mute peer that asks again gets %v", got)
	}
	if r.mayAsk(mute.Entry) {
		t.Error("a mute peer is asked for neighbourhood")
	}
	if n := r.checking(10*time.Minute, answers); n < 5 || n > 20 {
		t.Errorf("%d pings in ten minutes", n)
	}
	if got := r.says(mute, pb.NeighbourType_REQUEST, false); got.GetType() != pb.NeighbourType_ACCEPT {
		t.Errorf("later it gets %v", got)
	}
}

// TestNobodyIsMuteToTheDeaf: who may be deaf itself, or hears nothing at all from a peer, does not
// call it mute.
func TestNobodyIsMuteToTheDeaf(t *testing.T) {
	r := newRig(t, 200)
	l := r.neighbours(1)[0]
	r.doubt.Score = 1
	r.checking(time.Minute, func(base.LinkID) bool { return false })
	r.doubt.Score = 0
	for range 100 {
		r.Now += tick
		l.Heard = r.Now - link.FreshWithin - time.Second
		r.CheckNeighbours()
	}
	if !l.Neighbour {
		t.Error("it is no neighbour any more")
	}
}

// TestOldNeighboursAreKept: newcomers in great numbers don't take the places of those that have been
// neighbours for longest.
func TestOldNeighboursAreKept(t *testing.T) {
	r := newRig(t, 200)
	old := r.neighbours(keptNeighbours)
	for i := range 100 {
		r.Now += tick
		for _, l := range old {
			r.hasNeighbours(l, table.MaxNeighbours)
		}
		r.says(r.link(50+i), pb.NeighbourType_REQUEST, i%2 == 0)
	}
	for _, l := range old {
		if !l.Neighbour {
			t.Errorf("%s is given up", l.Peer)
		}
	}
}
