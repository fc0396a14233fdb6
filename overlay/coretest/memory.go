package coretest

import (
	"bufio"
	"bytes"
	"hash/crc32"

	"quicpeer/overlay/core/base"
	"quicpeer/pb"
)

// memory is shared by the peers of a world, so that a thing is computed once and not by each of
// 10,000: parsed frames, judged signatures, opened records. Cores never change any of these, so
// it changes no result.
type memory struct {
	frames  []*parcel
	table   *crc32.Table
	input   bytes.Reader
	reader  *bufio.Reader
	judged  map[signature]verdict
	records map[signature]*base.Record
	private bool // the network is
}

// signature names what was signed: Ed25519 signatures differ if anything does.
type signature [64]byte

// verdict is the result for a signature.
type verdict struct {
	claim base.Claim
	ok    bool
}

// frameSlots is how many frames are remembered, by their checksum: the frames of
// a few floods, which differ from hop to hop only. Larger ones are those of one peer: the
// distances of thousands.
const (
	frameSlots     = 1 << 13
	longestInSlots = 8 << 10
)

func newMemory() *memory {
	return &memory{
		frames: make([]*parcel, frameSlots), table: crc32.MakeTable(crc32.Castagnoli), reader: bufio.NewReaderSize(nil, 512),
		judged: make(map[signature]verdict), records: make(map[signature]*base.Record),
	}
}

// frame reads the one frame that data is, as a receiver does.
func (m *memory) frame(data []byte) *parcel {
	sum := crc32.Checksum(data, m.table)
	slot := &m.frames[sum%frameSlots]
	if x := *slot; x == nil || x.sum != sum || !bytes.Equal(x.data, data) {
		m.input.Reset(data)
		m.reader.Reset(&m.input)
		message, err := pb.Read(m.reader, pb.MaxControlFrame)
		rest := m.reader.Buffered() + m.input.Len()
		x = &parcel{kind: carriesFrame, data: data, sum: sum, message: message, rest: rest, err: err}
		if len(data) > longestInSlots {
			return x
		}
		*slot = x
	}
	return *slot
}

// open is core.OpenRecord with a memory.
func (m *memory) open(s *pb.Signed) (*base.Record, error) {
	name, ok := nameOf(s)
	if r := m.records[name]; ok && r != nil && string(r.Signed.GetPayload()) == string(s.GetPayload()) {
		return r, nil
	}
	open := base.OpenRecord
	if m.private {
		open = base.OpenMember
	}
	r, err := open(s)
	if ok && err == nil {
		m.records[name] = r
	}
	return r, err
}

// verify is core.Claim.Valid with a memory.
func (m *memory) verify(c base.Claim) bool {
	if c.And != nil && !m.verify(*c.And) {
		return false
	}
	c.And = nil
	name, ok := nameOf(c.Signed)
	if v, known := m.judged[name]; ok && known && v.claim.Key == c.Key &&
		v.claim.As == c.As && v.claim.Network == c.Network && string(v.claim.Signed.GetPayload()) == string(c.Signed.GetPayload()) {
		return v.ok
	}
	valid := c.Valid()
	if ok {
		m.judged[name] = verdict{c, valid}
	}
	return valid
}

// nameOf names a signature; false unless it has the usual length.
func nameOf(s *pb.Signed) (name signature, ok bool) {
	return name, copy(name[:], s.GetSignature()) == len(name) && len(s.GetSignature()) == len(name)
}
