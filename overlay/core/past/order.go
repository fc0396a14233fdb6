package past

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"slices"

	"quicpeer/overlay/core/base"
	"quicpeer/pb"
)

// Piece is a message of the past.
type Piece struct {
	base.Bygone
	tag   uint64
	from  *question
	said  int64 // when, raised to when its author said the one before
	run   [8]byte
	place uint64 // among the broadcasts of the run
}

func newPiece(c *pb.BroadcastContent, s *pb.Signed) Piece {
	return Piece{
		Bygone: base.Bygone{Content: c, Signed: s}, tag: base.TagOfBroadcast(c),
		run: [8]byte(c.GetId()), place: binary.BigEndian.Uint64(c.GetId()[8:]),
	}
}

// Order sorts messages by when they were said. Clocks go wrong, so a message counts as said no
// sooner than what its author has said before it in the same run.
func Order(list []Piece) {
	slices.SortFunc(list, func(a, b Piece) int {
		return cmp.Or(bytes.Compare(a.run[:], b.run[:]), cmp.Compare(a.place, b.place), cmp.Compare(a.tag, b.tag))
	})
	for i := range list {
		list[i].said = list[i].Content.GetSentAt()
		if i > 0 && list[i].run == list[i-1].run {
			list[i].said = max(list[i].said, list[i-1].said)
		}
	}
	slices.SortStableFunc(list, func(a, b Piece) int { return cmp.Compare(a.said, b.said) })
}

// shown remembers what was shown, the latest maxShown.
type shown struct {
	has   map[uint64]bool
	order []uint64
	count uint64 // ever
}

func (s *shown) add(tag uint64) {
	if s.has[tag] {
		return
	}
	if len(s.order) >= maxShown {
		delete(s.has, s.order[0])
		s.order = s.order[1:]
	}
	s.has[tag], s.order = true, append(s.order, tag)
	s.count++
}
