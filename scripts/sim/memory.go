package main

import (
	"bytes"
	"fmt"
	"hash/crc32"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"quicpeer/overlay/core"
	"quicpeer/pb"
)

// memory is what the peers of a world share so that a thing is computed once and
// not by each of them: frames that were decoded, signatures that were judged, records that
// were opened. Cores never change any of these, so that it changes no result.
type memory struct {
	frames  []decoded
	table   *crc32.Table
	judged  map[signature]verdict
	records map[signature]*core.Record
}

type decoded struct {
	data    []byte
	sum     uint32
	message *pb.PeerMessage
}

// frameSlots is how many frames are remembered, by their checksum: the frames of
// a few floods, which differ from hop to hop only.
const frameSlots = 1 << 13

func newMemory() *memory {
	return &memory{
		frames: make([]decoded, frameSlots), table: crc32.MakeTable(crc32.Castagnoli),
		judged: make(map[signature]verdict), records: make(map[signature]*core.Record),
	}
}

// decode reads the one frame that data is, as a receiver does, pb.Check included.
// A core that sends what is refused is broken, and so is the simulation.
func (m *memory) decode(data []byte) (*pb.PeerMessage, uint32) {
	sum := crc32.Checksum(data, m.table)
	slot := &m.frames[sum%frameSlots]
	if slot.sum == sum && bytes.Equal(slot.data, data) {
		return slot.message, sum
	}
	size, n := protowire.ConsumeVarint(data)
	if n < 0 || size != uint64(len(data)-n) || size > pb.MaxControlFrame {
		panic(fmt.Sprintf("sim: a frame of %d bytes whose length is said to be %d", len(data), size))
	}
	message := new(pb.PeerMessage)
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data[n:], message); err != nil {
		panic("sim: a frame that can't be read: " + err.Error())
	}
	if err := pb.Check(message); err != nil {
		panic("sim: a frame that is refused: " + err.Error())
	}
	*slot = decoded{data, sum, message}
	return message, sum
}

// contents are the contents of frames by name, for the table of bytes.
var contents = [...]string{
	"other", "handshake", "announcements", "neighbour", "sync", "broadcast", "routes", "routed",
}

// contentOf is an index into contents.
func contentOf(m *pb.PeerMessage) int {
	switch m.GetType() {
	case pb.PeerMessageType_HANDSHAKE:
		return 1
	case pb.PeerMessageType_ANNOUNCEMENT:
		return 2
	case pb.PeerMessageType_NEIGHBOUR:
		return 3
	case pb.PeerMessageType_SYNC:
		return 4
	case pb.PeerMessageType_BROADCAST:
		return 5
	case pb.PeerMessageType_ROUTES:
		return 6
	case pb.PeerMessageType_ROUTED:
		return 7
	}
	return 0
}
