package neighbours

import (
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/pb"
)

// A neighbour that keeps its link alive and does nothing else takes the place of one that brings
// news, passes on questions and testifies: with enough of them around a peer, nobody would hear of
// its crash. So each neighbour is pinged now and then, in the way in which questions go.

// Times of these checks, guesses.
const (
	checkFirst = 2 * time.Second  // after it has become a neighbour
	checkAgain = 4 * time.Second  // without an answer
	maxChecks  = 3                // of them in a row; then it is dropped
	checkEvery = 1 * time.Minute  // after an answer
	muteFor    = 10 * time.Minute // until it can be a neighbour again
)

// CheckNeighbours pings the neighbours that are due, and ends the neighbourhood with those that
// answer nothing. While we may be the one who can't hear, or nothing at all is heard of it, nobody
// is judged.
func (nb *Neighbourhood) CheckNeighbours() {
	for _, l := range nb.links.List {
		c := &l.Check
		switch {
		case !l.Neighbour || nb.Now < c.Next || l.Entry == nil:
		case nb.doubt.Score > 0 || !nb.routes.Serves(l) || l.Slowness() > checkAgain: // or its line is full
			c.Tries, c.Next = 0, nb.Now+checkAgain
		case c.Tries == maxChecks:
			nb.Note(base.Debug, "a neighbour answers nothing", "peer", string(l.Peer), "address", l.Address)
			l.Entry.With().MuteTill = nb.Now + muteFor
			nb.giveUp(l)
		default:
			c.Pinged, c.Tries, c.Next = c.Pinged+1, c.Tries+1, nb.Now+checkAgain+l.Slowness()
			nb.routes.SendRouted(l.Peer, &pb.Routed{Content: &pb.Routed_Ping{Ping: &pb.Ping{Number: number(l), Key: l.Key[:]}}})
		}
	}
}

// number is that of the last ping of a neighbour. Only the neighbour gains if it guesses it.
func number(l *link.Link) uint64 { return uint64(l.ID)<<32 | l.Check.Pinged }

// ReceivePong takes the answer of a neighbour, to whichever ping since the last.
func (nb *Neighbourhood) ReceivePong(from certs.ID, m *pb.Ping) {
	for _, l := range nb.links.List {
		if last := number(l); l.Neighbour && l.Peer == from && l.Check.Tries > 0 && m.GetNumber() <= last && m.GetNumber()+uint64(l.Check.Tries) > last {
			l.Check.Tries, l.Check.Next = 0, nb.Now+checkEvery
		}
	}
}
