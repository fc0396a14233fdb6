package table

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"

	"quicpeer/pb"
)

// Range-based set reconciliation (Meyer 2022), the part that needs no link: how one table is
// described to another, and what follows from such a description. A range of tags is described by
// a fingerprint or, where few entries are, by the version of each. Where fingerprints differ, the
// other side describes the parts of the range, so the two find n differences among m entries
// in about log16(m) steps and n times so many fingerprints.
//
// A fingerprint is a hash over the versions in their order, and not a sum of hashes, which need
// not be cheap to change here and which chosen sets of entries could forge. 64 bits are enough
// against chance. A peer that grinds two statements of its own until the fingerprints with
// either are equal hides the difference between the two from two peers, until anything else in
// the range changes.

// MaxAnswer is how many entries an answer announces before it leaves the rest of the ranges open
// (a guess; part of the protocol).
const MaxAnswer = 512

// Digest is a hash over the versions of all entries that others are told of; equal tables have
// equal digests. Guests are left out, and the peers that only we miss.
func (t *Table) Digest() []byte {
	if t.hash == nil {
		t.hash = hashOf(t.Entries)
	}
	return t.hash
}

func (t *Table) fingerprint(first, last uint64) uint64 {
	list := t.In(first, last)
	if len(list) == len(t.Entries) {
		return binary.BigEndian.Uint64(t.Digest())
	}
	return binary.BigEndian.Uint64(hashOf(list))
}

func hashOf(list []*Entry) []byte {
	h := sha256.New()
	var b []byte
	for _, e := range list {
		if e.public() {
			b = e.appendVersion(b[:0])
			h.Write(b)
		}
	}
	return h.Sum(nil)
}

// Part is one of so many equal parts of a range, by the rule of pb.RangeKind.
func Part(first, last uint64, i, of int) (from, to uint64) {
	step := (last - first) / uint64(of)
	from, to = first+uint64(i)*step, last
	if i < of-1 {
		to = from + step - 1
	}
	return from, to
}

// IsListed reports whether so many entries of a range are named one by one, and not divided.
func IsListed(first, last uint64, n int) bool {
	return n <= pb.MaxHashes || last-first < pb.MaxHashes
}

// Everything describes the whole table by one fingerprint.
func (t *Table) Everything() *pb.TableRange {
	return &pb.TableRange{Last: math.MaxUint64, Kind: pb.RangeKind_FINGERPRINTS, Hashes: []uint64{t.fingerprint(0, math.MaxUint64)}}
}

// Describe says what we have in a range.
func (t *Table) Describe(first, last uint64) *pb.TableRange {
	list := slices.DeleteFunc(slices.Clone(t.In(first, last)), func(e *Entry) bool { return !e.public() })
	if !IsListed(first, last, len(list)) {
		r := &pb.TableRange{First: first, Last: last, Kind: pb.RangeKind_FINGERPRINTS}
		for i := range pb.MaxHashes {
			r.Hashes = append(r.Hashes, t.fingerprint(Part(first, last, i, pb.MaxHashes)))
		}
		return r
	}
	r := &pb.TableRange{First: first, Last: last, Kind: pb.RangeKind_HELD}
	for _, e := range list[:min(len(list), pb.MaxHashes)] {
		r.Hashes = append(r.Hashes, e.versionHash())
	}
	return r
}

// Compare compares a range that the other side has described with ours. It returns what the
// other lacks, about room entries at most, and what is to be said in return.
func (t *Table) Compare(r *pb.TableRange, room int) (lacks []*Entry, back []*pb.TableRange) {
	first, last, theirs := r.GetFirst(), r.GetLast(), r.GetHashes()
	switch r.GetKind() {
	case pb.RangeKind_OPEN:
		back = append(back, t.Describe(first, last))
	case pb.RangeKind_FINGERPRINTS:
		for i, f := range theirs {
			if from, to := Part(first, last, i, len(theirs)); t.fingerprint(from, to) != f {
				back = append(back, t.Describe(from, to))
			}
		}
	case pb.RangeKind_WANTED:
		for _, e := range t.In(first, last) {
			if e.public() && slices.Contains(theirs, e.versionHash()) {
				lacks = append(lacks, e)
			}
		}
	case pb.RangeKind_HELD:
		wanted, tag := slices.Clone(theirs), first
		for _, e := range t.In(first, last) {
			if !e.public() {
				continue
			}
			if len(lacks) >= room && e.Record.Tag > tag {
				back, last = append(back, &pb.TableRange{First: e.Record.Tag, Last: last}), e.Record.Tag-1
				break
			}
			tag = e.Record.Tag
			if i := slices.Index(wanted, e.versionHash()); i >= 0 {
				wanted = slices.Delete(wanted, i, i+1)
			} else {
				lacks = append(lacks, e)
			}
		}
		if len(wanted) > 0 {
			back = append([]*pb.TableRange{{First: first, Last: last, Kind: pb.RangeKind_WANTED, Hashes: wanted}}, back...)
		}
	}
	return lacks, back
}
