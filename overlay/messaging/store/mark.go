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
	// MaxGaps is how many gaps a mark may have, MaxRuns how many runs (guesses).
	MaxGaps = 64
	MaxRuns = 64

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

// Run says how far the messages of one run of a sender have been shown. Two runs of one
// epoch have different nonces.
type Run struct {
	Position
	Nonce uint64
}

// Shown is a message that was shown: its place, the run that it is of, and a hash of it, 0
// if that is not known.
type Shown struct {
	Run
	Hash uint32
}

// Mark says how far the messages of a sender have been shown: of each of its last runs,
// but for the gaps.
type Mark struct {
	Runs []Run  // the positions rise
	Hash uint32 // of the last message
	Gaps []Gap  // they rise
}

// Position is that of the last message that was shown.
func (m Mark) Position() (p Position) {
	if n := len(m.Runs); n > 0 {
		p = m.Runs[n-1].Position
	}
	return p
}

// raise notes that the messages of a run have been shown up to one, and says whether that
// is new. The order of the calls does not matter, nor that one is repeated.
func (m *Mark) raise(s Shown) bool {
	i := slices.IndexFunc(m.Runs, func(r Run) bool { return r.Epoch == s.Epoch && r.Nonce == s.Nonce })
	switch {
	case i >= 0 && s.Counter <= m.Runs[i].Counter:
		return false
	case i >= 0:
		m.Runs = slices.Delete(m.Runs, i, i+1) // it may have come behind others
	case len(m.Runs) == MaxRuns && s.Compare(m.Runs[0].Position) < 0:
		return false // forgotten
	}
	i, _ = slices.BinarySearchFunc(m.Runs, s.Position, func(r Run, p Position) int { return r.Compare(p) })
	m.Runs = slices.Insert(m.Runs, i, s.Run)
	if i == len(m.Runs)-1 {
		m.Hash = s.Hash
	}
	m.Runs = slices.Delete(m.Runs, 0, max(0, len(m.Runs)-MaxRuns))
	return true
}

// all are calls of raise that lead to the mark.
func (m *Mark) all() (list []Shown) {
	for i, r := range m.Runs {
		s := Shown{Run: r}
		if i == len(m.Runs)-1 {
			s.Hash = m.Hash
		}
		list = append(list, s)
	}
	return list
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

// A mark is the day when it rose, the hash, the numbers of runs and gaps, the runs and the
// gaps. One of format 1 is epoch, counter, day and gaps; its length tells them apart.
const (
	markHead = 4 * 4
	runSize  = 3 * 8
	gapSize  = 4 * 8

	oldMarkSize = 8 + 8 + 4
)

func encodeMark(m Mark, day uint32) []byte {
	b := make([]byte, 0, markHead+len(m.Runs)*runSize+len(m.Gaps)*gapSize)
	for _, n := range []uint32{day, m.Hash, uint32(len(m.Runs)), uint32(len(m.Gaps))} {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	for _, r := range m.Runs {
		b = binary.BigEndian.AppendUint64(appendPosition(b, r.Position), r.Nonce)
	}
	for _, g := range m.Gaps {
		b = appendPosition(appendPosition(b, g.From), g.To)
	}
	return b
}

func decodeMark(b []byte) (m Mark, day uint32, err error) {
	if len(b) >= oldMarkSize && (len(b)-oldMarkSize)%gapSize == 0 && len(b) <= oldMarkSize+MaxGaps*gapSize {
		m, day = decodeOldMark(b)
		return m, day, nil
	}
	if len(b) < markHead {
		return m, 0, errors.New("a mark has a wrong length")
	}
	runs, gaps := binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint32(b[12:])
	if runs > MaxRuns || gaps > MaxGaps || len(b) != int(markHead+runs*runSize+gaps*gapSize) {
		return m, 0, errors.New("a mark has a wrong length")
	}
	day, m.Hash = binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	b = b[markHead:]
	for ; runs > 0; runs, b = runs-1, b[runSize:] {
		m.Runs = append(m.Runs, Run{decodePosition(b), binary.BigEndian.Uint64(b[16:])})
	}
	m.Gaps = decodeGaps(b)
	return m, day, nil
}

// decodeOldMark reads a mark of format 1. It had one position, and a gap behind the last
// message of each run before.
func decodeOldMark(b []byte) (m Mark, day uint32) {
	m.Gaps = decodeGaps(b[oldMarkSize:])
	for _, g := range m.Gaps {
		if g.From.Epoch != g.To.Epoch && g.From != (Position{}) {
			m.raise(Shown{Run: Run{Position: g.From}})
		}
	}
	if p := decodePosition(b); p != (Position{}) {
		m.raise(Shown{Run: Run{Position: p}})
	}
	return m, binary.BigEndian.Uint32(b[16:])
}

func decodeGaps(b []byte) (gaps []Gap) {
	for ; len(b) > 0; b = b[gapSize:] {
		gaps = append(gaps, Gap{decodePosition(b), decodePosition(b[16:])})
	}
	return gaps
}

func appendPosition(b []byte, p Position) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, p.Epoch), p.Counter)
}

func decodePosition(b []byte) Position {
	return Position{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
}

// mark returns the mark of a sender, an empty one if there is none.
func (t *transaction) mark(sender certs.PublicKey) (Mark, error) {
	value, err := t.get(marks, sender[:])
	if err != nil || value == nil {
		return Mark{}, err
	}
	m, _, err := decodeMark(value)
	if err != nil {
		return Mark{}, &certs.DamagedError{Path: t.path, Err: err}
	}
	return m, nil
}

// raise raises marks by what was noted.
func (t *transaction) raise(noted map[certs.PublicKey]*Mark, day uint32) error {
	// In the order of the keys, as bbolt splits its pages at the end only.
	senders := slices.SortedFunc(maps.Keys(noted), func(a, b certs.PublicKey) int { return bytes.Compare(a[:], b[:]) })
	for _, sender := range senders {
		m, err := t.mark(sender)
		if err != nil {
			return err
		}
		changed := false
		for _, s := range noted[sender].all() {
			changed = m.raise(s) || changed
		}
		if !changed {
			continue
		}
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
