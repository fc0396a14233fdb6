package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"time"

	"quicpeer/certs"
)

const (
	// MaxGaps is how many gaps a mark may have (a guess).
	MaxGaps = 64

	// maxMarks bounds the senders with a mark (a guess). Above it those whose marks
	// rose longest ago are forgotten, down to keptMarks, so that it is done rarely.
	maxMarks  = 65536
	keptMarks = maxMarks * 15 / 16
)

// Position is the place of a message among those of its sender.
type Position struct{ Epoch, Counter uint64 }

// Compare is negative if p is before q, positive if it is behind.
func (p Position) Compare(q Position) int {
	return cmp.Or(cmp.Compare(p.Epoch, q.Epoch), cmp.Compare(p.Counter, q.Counter))
}

// Gap is the messages behind From, up to To. They were passed over, and are
// refused if they come late.
type Gap struct{ From, To Position }

// Mark says how far the messages of a sender have been shown: up to its Position,
// but for the gaps.
type Mark struct {
	Position
	Gaps []Gap
}

// Marks hands over the marks as of Open, of database and journal: the map is the
// caller's. A later call returns nil.
func (s *Store) Marks() map[certs.PublicKey]Mark {
	s.marksMu.Lock()
	defer s.marksMu.Unlock()
	m := s.marks
	s.marks = nil
	return m
}

func (s *Store) readMarks() (map[certs.PublicKey]Mark, error) {
	all := make(map[certs.PublicKey]Mark)
	err := s.each(marks, func(key, value []byte) error {
		m, _, err := decodeMark(value)
		if err != nil {
			return &certs.DamagedError{Path: s.path, Err: err}
		}
		all[certs.PublicKey(key)] = m
		return nil
	})
	return all, err
}

// today is the number of days since 1970.
func today() uint32 { return uint32(time.Now().Unix() / (24 * 60 * 60)) }

const (
	markSize = 8 + 8 + 4 // epoch, counter, and the day when the mark rose
	gapSize  = 4 * 8
)

func encodeMark(m Mark, day uint32) []byte {
	b := make([]byte, 0, markSize+len(m.Gaps)*gapSize)
	b = appendPosition(b, m.Position)
	b = binary.BigEndian.AppendUint32(b, day)
	for _, g := range m.Gaps {
		b = appendPosition(appendPosition(b, g.From), g.To)
	}
	return b
}

func decodeMark(b []byte) (m Mark, day uint32, err error) {
	if len(b) < markSize || len(b) > markSize+MaxGaps*gapSize || (len(b)-markSize)%gapSize != 0 {
		return m, 0, errors.New("a mark has a wrong length")
	}
	m.Position, day = decodePosition(b), binary.BigEndian.Uint32(b[16:])
	for b = b[markSize:]; len(b) > 0; b = b[gapSize:] {
		m.Gaps = append(m.Gaps, Gap{decodePosition(b), decodePosition(b[16:])})
	}
	return m, day, nil
}

func appendPosition(b []byte, p Position) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, p.Epoch), p.Counter)
}

func decodePosition(b []byte) Position {
	return Position{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

// mark returns the mark of a sender; false: there is none.
func (t *transaction) mark(sender certs.PublicKey) (Mark, bool, error) {
	value, err := t.get(marks, sender[:])
	if err != nil || value == nil {
		return Mark{}, false, err
	}
	m, _, err := decodeMark(value)
	if err != nil {
		return Mark{}, false, &certs.DamagedError{Path: t.path, Err: err}
	}
	return m, true, nil
}

// raise raises marks to positions, and never lowers one.
func (t *transaction) raise(positions map[certs.PublicKey]Position, day uint32) error {
	// In the order of the keys, as bbolt splits its pages at the end only.
	senders := slices.SortedFunc(maps.Keys(positions), func(a, b certs.PublicKey) int { return bytes.Compare(a[:], b[:]) })
	for _, sender := range senders {
		p := positions[sender]
		m, ok, err := t.mark(sender)
		if err != nil {
			return err
		}
		if ok && p.Compare(m.Position) <= 0 {
			continue
		}
		m.Position = p
		if err := t.put(marks, sender[:], encodeMark(m, day)); err != nil {
			return err
		}
	}
	return t.forget()
}

// forget removes the oldest marks if there are too many.
func (t *transaction) forget() error {
	d, err := t.digest(marks)
	if err != nil || d.count <= maxMarks {
		return err
	}
	type aged struct {
		sender certs.PublicKey
		day    uint32
	}
	var all []aged
	err = t.tx.Bucket([]byte(marks)).ForEach(func(key, record []byte) error {
		value, err := unseal(key, record)
		if err != nil {
			return &certs.DamagedError{Path: t.path, Err: err}
		}
		_, day, err := decodeMark(value)
		if err != nil {
			return &certs.DamagedError{Path: t.path, Err: err}
		}
		all = append(all, aged{certs.PublicKey(key), day})
		return nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b aged) int { return cmp.Compare(a.day, b.day) })
	for _, a := range all[:len(all)-keptMarks] {
		if err := t.put(marks, a.sender[:], nil); err != nil {
			return err
		}
	}
	return nil
}
