package core

import (
	"math"
	"quicpeer/pb"
	"time"

	"google.golang.org/protobuf/proto"
)

// maxBatch keeps a frame of announcements below pb.MaxControlFrame, in bytes.
const maxBatch = pb.MaxControlFrame - 24<<10

// takeBatch returns how many of the announcements fit into a frame.
func takeBatch(list []*pb.Announcement) int {
	n, size := 0, 0
	for n < len(list) && n < pb.MaxAnnouncements {
		size += proto.Size(list[n]) + 8
		if n > 0 && size > maxBatch {
			break
		}
		n++
	}
	return n
}

// encode makes a frame of a content that the core itself has built.
func encode(content proto.Message) []byte {
	data, err := pb.Append(nil, pb.Wrap(content))
	if err != nil {
		panic("core: a frame that can't be encoded: " + err.Error())
	}
	return data
}

// toAge is an age as it travels, fromAge one that has come.
func toAge(d time.Duration) uint32 {
	return uint32(min(max(0, d/time.Millisecond), math.MaxUint32))
}

func fromAge(age uint32) time.Duration { return time.Duration(age) * time.Millisecond }
