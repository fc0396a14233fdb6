package transport

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"quicpeer/pb"
)

// Bounds of the unknown frames of a link, on all its streams together (guesses): a newer peer
// sends most new frames only to peers that know them.
const (
	unknownAtOnce = 4 << 20 // bytes
	unknownRate   = 64 << 10
	unknownCost   = 1 << 10 // what a frame counts beside its bytes
)

// unknowns counts the unknown frames of a link. They are skipped, and a flood of them breaks
// the protocol.
type unknowns struct {
	log *slog.Logger

	mu    sync.Mutex
	used  int64 // of unknownAtOnce, at the time since
	since time.Time
	noted bool
}

// read reads the next frame of at most limit bytes that this version knows.
func (u *unknowns) read(r *bufio.Reader, limit int) (*pb.PeerMessage, error) {
	for {
		m, err := pb.Read(r, limit)
		var unknown *pb.UnknownError
		if !errors.As(err, &unknown) {
			return m, err
		}
		if !u.skip(unknown) {
			return nil, fmt.Errorf("%w: too many frames that are not known here", pb.ErrMalformed)
		}
	}
}

// skip counts a frame; false says that there are too many.
func (u *unknowns) skip(frame *pb.UnknownError) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.noted {
		u.noted = true
		u.log.Debug("frames are skipped that this version does not know", "first", frame.Type.String())
	}
	now := time.Now()
	u.used = max(0, u.used-int64(now.Sub(u.since).Seconds()*unknownRate)) + int64(frame.Bytes) + unknownCost
	u.since = now
	return u.used <= unknownAtOnce
}
