package messaging

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
	"quicpeer/overlay/messaging/store"
	"quicpeer/pb"
)

// Errors of rooms.
var (
	ErrRoomsFull = fmt.Errorf("this peer is in %d rooms, the most there can be; /part one", pb.MaxRooms)
	ErrNotInRoom = errors.New("this peer is not in that room")
)

// Rooms is which rooms the peer is in, over restarts.
type Rooms struct {
	engine *Engine

	mu     sync.Mutex
	since  map[certs.ID]time.Time // the rooms that it is in
	latest map[certs.ID]*latest   // of these, and of Everyone
	saving saving
}

// roomKey is before the name of a room in the bucket of numbers; the number is since when the peer is
// in it, nanoseconds since 1970.
const roomKey = "room "

// Open loads the rooms of earlier runs. It is called once, before the engine's Start.
func (rs *Rooms) Open(e *Engine) error {
	rs.engine = e
	rs.since, rs.latest = make(map[certs.ID]time.Time), make(map[certs.ID]*latest)
	if err := e.disk.Load(store.Self, rs.loadRoom); err != nil {
		return err
	}
	maps.DeleteFunc(rs.latest, func(room certs.ID, _ *latest) bool { return rs.since[room].IsZero() && room != Everyone })
	return nil
}

// loadRoom loads a room of an earlier run, or what was said last there.
func (rs *Rooms) loadRoom(key, value []byte) error {
	if name, isLatest := strings.CutPrefix(string(key), latestKey); isLatest {
		return rs.loadLatest(certs.ID(name), value)
	}
	name, isRoom := strings.CutPrefix(string(key), roomKey)
	if !isRoom {
		return nil
	}
	if len(value) != 8 {
		return damaged("room", errors.New("its number has a wrong length"))
	}
	err := pb.CheckRoom(name)
	if err == nil && len(rs.since) == pb.MaxRooms {
		err = fmt.Errorf("there are more than %d", pb.MaxRooms)
	}
	if err != nil {
		return damaged("room", err)
	}
	rs.since[certs.ID(name)] = time.Unix(0, int64(binary.BigEndian.Uint64(value)))
	return nil
}

// Enter puts the peer into a room; it returns when that is on disk.
func (rs *Rooms) Enter(room certs.ID) error {
	return rs.alter(func() ([]store.Op, error) {
		if _, in := rs.since[room]; !in && len(rs.since) == pb.MaxRooms {
			return nil, ErrRoomsFull
		} else if !in {
			rs.since[room] = time.Now()
		}
		return []store.Op{store.NumberOp(roomKey+string(room), uint64(rs.since[room].UnixNano()))}, nil
	})
}

// Exit takes the peer out of a room.
func (rs *Rooms) Exit(room certs.ID) error {
	return rs.alter(func() ([]store.Op, error) {
		if _, in := rs.since[room]; !in {
			return nil, ErrNotInRoom
		}
		delete(rs.since, room)
		delete(rs.latest, room)
		return []store.Op{{Bucket: store.Self, Key: []byte(roomKey + string(room))}, {Bucket: store.Self, Key: []byte(latestKey + string(room))}}, nil
	})
}

// alter changes in which rooms the peer is, and waits until that is on disk.
func (rs *Rooms) alter(how func() ([]store.Op, error)) error {
	e := rs.engine
	safe := make(chan struct{})
	rs.mu.Lock()
	if e.ctx.Err() != nil {
		rs.mu.Unlock()
		return ErrClosed
	}
	ops, err := how()
	if err == nil {
		e.disk.Write(func() { close(safe) }, ops...) // under the lock: changes come to the disk in their order
	}
	rs.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case <-safe:
		return nil
	case <-e.ctx.Done():
		return ErrClosed
	}
}

// EnteredAt is since when the peer is in a room; zero: it is not.
func (rs *Rooms) EnteredAt(room certs.ID) time.Time {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return rs.since[room]
}

// Names lists the rooms, in order.
func (rs *Rooms) Names() []certs.ID {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return slices.Sorted(maps.Keys(rs.since))
}

// Heard passes on a broadcast of another peer to the program, or a hidden one, which is remembered
// like those that are shown. False: it was dropped, since too many wait to be read.
func (rs *Rooms) Heard(m Message, signed *pb.Signed, at delivery.Stamp, hidden bool) bool {
	author := m.Key
	if hidden {
		m.Body = ""
	} else {
		m.signed = signed
	}
	return rs.engine.events.PushBroadcast(m, author, at, hidden)
}

// Bygone passes on a broadcast from before the peer came.
func (rs *Rooms) Bygone(m Message, signed *pb.Signed) bool {
	m.Before, m.signed = true, signed
	return rs.engine.events.PushBroadcast(m, certs.PublicKey{}, delivery.Stamp{}, false)
}

// Uttered reports a broadcast of our own to the program.
func (rs *Rooms) Uttered(s Sent, signed *pb.Signed) {
	s.signed = signed
	rs.engine.events.Push(s)
}

// Recent is the last of what the history has of a room, or of Everyone, since a time: at most so many, oldest
// first. It reads the history from its end.
func (rs *Rooms) Recent(room certs.ID, most int, since time.Time) (last []*pb.Signed, err error) {
	disk := rs.engine.disk
	if !disk.history {
		return nil, nil
	}
	history := rs.engine.Stream().History()
	for _, part := range disk.store.Parts() {
		var here []*pb.Signed
		oldest := time.Now()
		err := history.read(part, func(r recorded) error {
			oldest = earlier(oldest, r.At)
			if signed := r.stored.GetBroadcast(); signed != nil && certs.ID(r.stored.GetTo()) == room && !r.At.Before(since) {
				here = append(here, signed)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		last = slices.Concat(here, last)
		if len(last) >= most || oldest.Before(since) {
			break
		}
	}
	return last[max(0, len(last)-most):], nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
