package base

import (
	"math"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/pb"
)

// MaxBatch keeps a frame of announcements below pb.MaxControlFrame, in bytes.
const MaxBatch = pb.MaxControlFrame - 24<<10

// TakeBatch returns how many of the announcements fit into a frame.
func TakeBatch(list []*pb.Announcement) int {
	n, size := 0, 0
	for n < len(list) && n < pb.MaxAnnouncements {
		size += proto.Size(list[n]) + 8
		if n > 0 && size > MaxBatch {
			break
		}
		n++
	}
	return n
}

// Encode makes a frame of a content that the core itself has built.
func Encode(content proto.Message) []byte {
	data, err := pb.Append(nil, pb.Wrap(content))
	if err != nil {
		panic("core: a frame that can't be encoded: " + err.Error())
	}
	return data
}

// ToAge is an age as it travels, FromAge one that has come.
func ToAge(d time.Duration) uint32 {
	return uint32(min(max(0, d/time.Millisecond), math.MaxUint32))
}

func FromAge(age uint32) time.Duration { return time.Duration(age) * time.Millisecond }
