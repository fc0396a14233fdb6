package messaging

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/store"
	"quicpeer/pb"
)

// The last messages of each room. A peer that comes into a room asks others for the last messages there, by
// the times in them, and must not show again what it has shown before. It need not know all of its history for
// that, only as many of the latest messages as an answer has: any other message that is not later than these was
// either shown, or is older than what an answer brings. That holds whether clocks are right or not. The lists are
// kept as the history grows, and written to the database now and then: so a start reads the end of the history
// alone.

const (
	// maxReread and maxRereadBytes are how much of the history a start has to read for this (guesses: 50 ms).
	maxReread      = 1 << 14
	maxRereadBytes = 16 << 20
)

// Latest is what the history has had of a room.
type Latest struct {
	Tags  []uint64 // of the latest messages, by the times in them; at most pb.MaxPast
	Until int64    // all others were said up to then, nanoseconds since 1970; 0: there are none
}

// latest is what is kept for that.
type latest struct {
	list  []spoken // by time
	upTo  uint64   // the history is in it up to this position
	whole bool     // and will be, of this run
}

type spoken struct {
	at  int64
	tag uint64
}

func (l *latest) add(s spoken) {
	i, _ := slices.BinarySearchFunc(l.list, s.at, func(e spoken, at int64) int { return cmp.Compare(e.at, at) })
	for j := i; j < len(l.list) && l.list[j].at == s.at; j++ {
		if l.list[j].tag == s.tag {
			return
		}
	}
	l.list = slices.Insert(l.list, i, s)
	if len(l.list) > pb.MaxPast {
		l.list = slices.Delete(l.list, 0, 1)
	}
}

func (l *latest) result() (r Latest) {
	for _, s := range l.list {
		r.Tags = append(r.Tags, s.tag)
	}
	if len(l.list) == pb.MaxPast {
		r.Until = l.list[0].at
	}
	return r
}

// latestKey is before the name of a room in the bucket of what the peer remembers of itself.
const latestKey = "latest "

func (l *latest) op(room certs.ID) store.Op {
	value := binary.BigEndian.AppendUint64(nil, l.upTo)
	for _, s := range l.list {
		value = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(value, uint64(s.at)), s.tag)
	}
	return store.Op{Bucket: store.Self, Key: []byte(latestKey + string(room)), Value: value}
}

// loadLatest loads what an earlier run has written.
func (rs *Rooms) loadLatest(room certs.ID, value []byte) error {
	if len(value)%16 != 8 || len(value) > 8+16*pb.MaxPast {
		return damaged("list of what was said last", fmt.Errorf("it has %d bytes", len(value)))
	}
	l := &latest{upTo: binary.BigEndian.Uint64(value)}
	for value = value[8:]; len(value) > 0; value = value[16:] {
		l.add(spoken{int64(binary.BigEndian.Uint64(value)), binary.BigEndian.Uint64(value[8:])})
	}
	rs.latest[room] = l
	return nil
}

// Latest returns what the history has had of rooms, or of Everyone, that the peer is in. The first time in a
// run it reads what was written since the list was: of a room that the peer has just entered, all. Without a
// history there is nothing.
func (rs *Rooms) Latest(rooms []certs.ID) (map[certs.ID]Latest, error) {
	disk := rs.engine.disk
	if !disk.history {
		return nil, nil
	}
	rs.mu.Lock()
	lists := make(map[certs.ID]*latest)
	for _, room := range rooms {
		if rs.latest[room] == nil {
			rs.latest[room] = new(latest)
		}
		lists[room] = rs.latest[room] // from now on it gets what is written
	}
	span := disk.said()
	from := span.Last
	for _, l := range lists {
		if l.upTo > span.Last && !l.whole {
			*l = latest{} // the history was put back
		}
		if !l.whole {
			from = min(from, l.upTo)
		}
	}
	rs.mu.Unlock()
	size, err := 0, error(nil)
	if from < span.Last {
		size, err = rs.reread(store.Span{First: from + 1, Last: span.Last}, lists)
	}
	rs.mu.Lock()
	result := make(map[certs.ID]Latest)
	for room, l := range lists {
		result[room] = l.result()
		if !l.whole && err == nil {
			l.whole, l.upTo = true, span.Last
		}
	}
	rs.mu.Unlock()
	rs.unsaved(int(span.Last-from), size)
	return result, err
}

// reread adds what the history has in a span, and returns how many bytes those are.
func (rs *Rooms) reread(span store.Span, lists map[certs.ID]*latest) (size int, err error) {
	err = rs.engine.disk.store.Read(span, func(e store.Entry) error {
		size += len(e.Data)
		if !e.Message || !mentions(e.Data, lists) {
			return nil
		}
		s := new(pb.StoredEvent)
		if err := proto.Unmarshal(e.Data, s); err != nil {
			return damaged("event", err)
		}
		rs.mu.Lock()
		defer rs.mu.Unlock()
		if l := lists[certs.ID(s.GetTo())]; l != nil && e.Pos > l.upTo {
			rs.addTo(l, s.GetBroadcast())
		}
		return nil
	})
	return size, err
}

// mentions says that bytes of the history may be of one of the rooms, most of which need not be decoded.
func mentions(data []byte, rooms map[certs.ID]*latest) bool {
	for room := range rooms {
		if bytes.Contains(data, []byte(room)) {
			return true
		}
	}
	return false
}

// addTo adds a broadcast; one that this program can't read does not come again. rs.mu is held.
func (rs *Rooms) addTo(l *latest, signed *pb.Signed) {
	if c, err := pb.ParseBroadcast(signed); err == nil {
		l.add(spoken{c.GetSentAt(), rs.engine.cfg.Tag(c)})
	}
}

// note takes up what was written to the history, of events at some positions.
func (rs *Rooms) note(items []item, entries []store.Entry) {
	size := 0
	rs.mu.Lock()
	for _, it := range items {
		switch e := it.event.(type) {
		case Message:
			if l := rs.latest[e.To]; l != nil && e.signed != nil {
				rs.addTo(l, e.signed)
			}
		case Sent:
			if l := rs.latest[e.To]; l != nil && e.signed != nil {
				rs.addTo(l, e.signed)
			}
		}
	}
	for _, e := range entries {
		size += len(e.Data)
	}
	for _, l := range rs.latest {
		if l.whole {
			l.upTo = entries[len(entries)-1].Pos
		}
	}
	rs.mu.Unlock()
	rs.unsaved(len(entries), size)
}

// unsaved counts positions, and bytes there, that a start would have to read, and writes what is kept when
// these are very many.
func (rs *Rooms) unsaved(positions, size int) {
	rs.mu.Lock()
	rs.saving.positions += positions
	rs.saving.bytes += size
	due := !rs.saving.busy && (rs.saving.positions >= maxReread || rs.saving.bytes >= maxRereadBytes)
	rs.mu.Unlock()
	if due {
		rs.save()
	}
}

// saving is what the database lacks of the lists.
type saving struct {
	positions, bytes int
	busy             bool
}

// save writes the lists, when what they have of the history is safe.
func (rs *Rooms) save() {
	disk := rs.engine.disk
	var ops []store.Op
	rs.mu.Lock()
	for room, l := range rs.latest {
		if l.whole {
			ops = append(ops, l.op(room))
		}
	}
	rs.saving = saving{busy: len(ops) > 0}
	rs.mu.Unlock()
	if len(ops) == 0 {
		return
	}
	disk.whenSafe(func() {
		disk.Write(nil, ops...)
		rs.mu.Lock()
		defer rs.mu.Unlock()
		rs.saving.busy = false
	})
}
