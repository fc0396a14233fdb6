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
	"quicpeer/overlay/messaging/delivery"
)

const (
	// maxMarks bounds the senders with a mark (a guess). Above it those whose marks
	// rose longest ago are forgotten, down to keptMarks, so that it is done rarely.
	maxMarks  = 65536
	keptMarks = maxMarks * 15 / 16
)

// today is the number of days since 1970.
func today() uint32 { return uint32(time.Now().Unix() / (24 * 60 * 60)) }

// A mark is the day when it rose, the hash, the numbers of runs and gaps, the runs and the
// gaps; and, if the sender was ever ignored, a bit for each gap that comes from that, the lowest
// for the first. One of format 1 is epoch, counter, day and gaps; its length tells them apart.
const (
	markHead = 4 * 4
	runSize  = 3 * 8
	gapSize  = 4 * 8
	bitsSize = delivery.MaxGaps / 8

	oldMarkSize = 8 + 8 + 4
)

func encodeMark(m delivery.Mark, day uint32) []byte {
	b := make([]byte, 0, markHead+len(m.Runs)*runSize+len(m.Gaps)*gapSize)
	for _, n := range []uint32{day, m.Hash, uint32(len(m.Runs)), uint32(len(m.Gaps))} {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	for _, r := range m.Runs {
		b = binary.BigEndian.AppendUint64(appendPosition(b, r.Position), r.Nonce)
	}
	var bits uint64
	for i, g := range m.Gaps {
		b = appendPosition(appendPosition(b, g.From), g.To)
		if g.Ignored {
			bits |= 1 << i
		}
	}
	if bits != 0 {
		b = binary.BigEndian.AppendUint64(b, bits)
	}
	return b
}

func decodeMark(b []byte) (m delivery.Mark, day uint32, err error) {
	if len(b) >= oldMarkSize && (len(b)-oldMarkSize)%gapSize == 0 && len(b) <= oldMarkSize+delivery.MaxGaps*gapSize {
		m, day = decodeOldMark(b)
		return m, day, nil
	}
	if len(b) < markHead {
		return m, 0, errors.New("a mark has a wrong length")
	}
	runs, gaps := binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint32(b[12:])
	if runs > delivery.MaxRuns || gaps > delivery.MaxGaps {
		return m, 0, errors.New("a mark has a wrong length")
	}
	var bits uint64
	switch size := int(markHead + runs*runSize + gaps*gapSize); len(b) - size {
	case bitsSize:
		bits = binary.BigEndian.Uint64(b[size:])
		b = b[:size]
	case 0:
	default:
		return m, 0, errors.New("a mark has a wrong length")
	}
	day, m.Hash = binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	b = b[markHead:]
	for ; runs > 0; runs, b = runs-1, b[runSize:] {
		m.Runs = append(m.Runs, delivery.Run{Position: decodePosition(b), Nonce: binary.BigEndian.Uint64(b[16:])})
	}
	m.Gaps = decodeGaps(b)
	for i := range m.Gaps {
		m.Gaps[i].Ignored = bits>>i&1 != 0
	}
	return m, day, nil
}

// decodeOldMark reads a mark of format 1. It had one position, and a gap behind the last
// message of each run before.
func decodeOldMark(b []byte) (m delivery.Mark, day uint32) {
	m.Gaps = decodeGaps(b[oldMarkSize:])
	for _, g := range m.Gaps {
		if g.From.Epoch != g.To.Epoch && g.From != (delivery.Position{}) {
			m.Raise(delivery.Stamp{Run: delivery.Run{Position: g.From}})
		}
	}
	if p := decodePosition(b); p != (delivery.Position{}) {
		m.Raise(delivery.Stamp{Run: delivery.Run{Position: p}})
	}
	return m, binary.BigEndian.Uint32(b[16:])
}

func decodeGaps(b []byte) (gaps []delivery.Gap) {
	for ; len(b) > 0; b = b[gapSize:] {
		gaps = append(gaps, delivery.Gap{From: decodePosition(b), To: decodePosition(b[16:])})
	}
	return gaps
}

func appendPosition(b []byte, p delivery.Position) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, p.Epoch), p.Counter)
}

func decodePosition(b []byte) delivery.Position {
	return delivery.Position{Epoch: binary.BigEndian.Uint64(b), Counter: binary.BigEndian.Uint64(b[8:])}
}

// mark returns the mark of a sender, an empty one if there is none.
func (t *transaction) mark(sender certs.PublicKey) (delivery.Mark, error) {
	value, err := t.get(marks, sender[:])
	if err != nil || value == nil {
		return delivery.Mark{}, err
	}
	m, _, err := decodeMark(value)
	if err != nil {
		return delivery.Mark{}, &DamagedError{Path: t.path, Err: err}
	}
	return m, nil
}

// raise raises marks by what was noted.
func (t *transaction) raise(noted map[certs.PublicKey]*delivery.Mark, day uint32) error {
	// In the order of the keys, as bbolt splits its pages at the end only.
	senders := slices.SortedFunc(maps.Keys(noted), func(a, b certs.PublicKey) int { return bytes.Compare(a[:], b[:]) })
	for _, sender := range senders {
		m, err := t.mark(sender)
		if err != nil {
			return err
		}
		changed := false
		for _, s := range noted[sender].Stamps() {
			changed = m.Raise(s) || changed
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
			return &DamagedError{Path: t.path, Err: err}
		}
		_, day, err := decodeMark(value)
		if err != nil {
			return &DamagedError{Path: t.path, Err: err}
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
