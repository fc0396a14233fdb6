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

// Rooms is which rooms the peer is in, over restarts, and what was last said in them and to everyone.
type Rooms struct {
	engine *Engine

	mu    sync.Mutex
	since map[certs.ID]time.Time // the rooms that it is in
	known map[certs.ID]bool      // of these, and Everyone, those of earlier runs
	last  map[certs.ID]*tail
}

// roomKey is before the name of a room in the bucket of numbers; the number is since when the peer is
// in it, nanoseconds since 1970.
const roomKey = "room "

// Open loads the rooms of earlier runs. It is called once, before the engine's Start.
func (rs *Rooms) Open(e *Engine) error {
	rs.engine = e
	rs.since, rs.known, rs.last = make(map[certs.ID]time.Time), make(map[certs.ID]bool), make(map[certs.ID]*tail)
	return e.disk.Load(store.Self, rs.loadRoom)
}

// loadRoom loads a room of an earlier run.
func (rs *Rooms) loadRoom(key, value []byte) error {
	name, isRoom := strings.CutPrefix(string(key), roomKey)
	if !isRoom {
		return nil
	}
	if len(value) != 8 {
		return damaged("room", errors.New("its number has a wrong length"))
	}
	var err error
	if name != pb.Everyone {
		err = pb.CheckRoom(name)
	}
	if err == nil && len(rs.since) == pb.MaxRooms {
		err = fmt.Errorf("there are more than %d", pb.MaxRooms)
	}
	if err != nil {
		return damaged("room", err)
	}
	rs.known[certs.ID(name)] = true
	if name != pb.Everyone {
		rs.since[certs.ID(name)] = time.Unix(0, int64(binary.BigEndian.Uint64(value)))
	}
	return nil
}

// Enter puts the peer into a room; it returns when that is on disk.
func (rs *Rooms) Enter(room certs.ID) error {
	return rs.alter(func() (store.Op, error) {
		if _, in := rs.since[room]; !in && len(rs.since) == pb.MaxRooms {
			return store.Op{}, ErrRoomsFull
		} else if !in {
			rs.since[room] = time.Now()
		}
		return store.NumberOp(roomKey+string(room), uint64(rs.since[room].UnixNano())), nil
	})
}

// Exit takes the peer out of a room.
func (rs *Rooms) Exit(room certs.ID) error {
	return rs.alter(func() (store.Op, error) {
		if _, in := rs.since[room]; !in {
			return store.Op{}, ErrNotInRoom
		}
		delete(rs.since, room)
		delete(rs.known, room)
		return store.Op{Bucket: store.Self, Key: []byte(roomKey + string(room))}, nil
	})
}

// alter changes in which rooms the peer is, and waits until that is on disk.
func (rs *Rooms) alter(how func() (store.Op, error)) error {
	e := rs.engine
	safe := make(chan struct{})
	rs.mu.Lock()
	if e.ctx.Err() != nil {
		rs.mu.Unlock()
		return ErrClosed
	}
	op, err := how()
	if err == nil {
		e.disk.Write(func() { close(safe) }, op) // under the lock: changes come to the disk in their order
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

// Settled says that the past of a room, or of Everyone, is not to be asked for: what an earlier run
// has shown of it is not known any more, and would be shown again.
func (rs *Rooms) Settled(room certs.ID) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return rs.known[room]
}

// Begun notes that the past of what was said to everyone was asked for.
func (rs *Rooms) Begun() {
	rs.engine.disk.Write(nil, store.NumberOp(roomKey+pb.Everyone, uint64(time.Now().UnixNano())))
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
	if !rs.engine.events.PushBroadcast(m, author, at, hidden) {
		return false
	}
	if !hidden {
		rs.remember(m.To, signed, false)
	}
	return true
}

// Bygone passes on a broadcast from before the peer came.
func (rs *Rooms) Bygone(m Message, signed *pb.Signed) bool {
	m.Before, m.signed = true, signed
	if !rs.engine.events.PushBroadcast(m, certs.PublicKey{}, delivery.Stamp{}, false) {
		return false
	}
	rs.remember(m.To, signed, true)
	return true
}

// Said reports a broadcast of our own to the program.
func (rs *Rooms) Said(s Sent, signed *pb.Signed) {
	s.signed = signed
	rs.engine.events.Push(s)
	rs.remember(s.To, signed, false)
}

// Recent is the last of what was shown, or said, in a room or to everyone since a time: at most so
// many, oldest first.
func (rs *Rooms) Recent(room certs.ID, most int, since time.Time) []*pb.Signed {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r := rs.last[room]
	if r == nil {
		return nil
	}
	var list []*pb.Signed
	for _, m := range r.list {
		if !m.at.Before(since) {
			list = append(list, m.signed)
		}
	}
	return list[max(0, len(list)-most):]
}

// tail is the last of a room: as much as an answer to those who come has.
type tail struct {
	list   []remembered
	bytes  int
	before int // the first so many are from before us
}

type remembered struct {
	signed *pb.Signed
	at     time.Time
}

// remember keeps a broadcast for those who come; one from before us comes before the others.
func (rs *Rooms) remember(room certs.ID, signed *pb.Signed, bygone bool) {
	if !rs.engine.disk.Keeps() || signed == nil {
		return
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r := rs.last[room]
	if r == nil {
		r = new(tail)
		rs.last[room] = r
	}
	at := len(r.list)
	if bygone {
		at = r.before
		r.before++
	}
	r.list = slices.Insert(r.list, at, remembered{signed, time.Now()})
	r.bytes += len(signed.GetPayload())
	for len(r.list) > pb.MaxPast || r.bytes > pb.MaxPastBytes {
		r.bytes -= len(r.list[0].signed.GetPayload())
		r.list, r.before = r.list[1:], max(0, r.before-1)
	}
}
