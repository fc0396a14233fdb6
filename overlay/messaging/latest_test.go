package messaging

import (
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/store"
	"quicpeer/pb"
)

// rerun is a peer that is started again and again.
type rerun struct {
	t      *testing.T
	dir    string
	killed bool
	*Engine
}

// start starts it.
func (r *rerun) start() {
	r.t.Helper()
	r.killed = false
	disk, err := OpenDisk(DiskConfig{
		State: &store.State{Dir: r.dir, ID: "alice"}, Step: func(string) bool { return !r.killed },
		Log: slog.New(slog.DiscardHandler), Fail: func(err error) { r.t.Error(err) },
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.Engine, err = New(Config{
		ID: "alice", Disk: disk, Log: slog.New(slog.DiscardHandler), Fail: func(err error) { r.t.Error(err) },
		Tag: func(c *pb.BroadcastContent) uint64 { return binary.BigEndian.Uint64(c.GetId()) },
	})
	if err == nil {
		err = r.Rooms.Open(r.Engine)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// stop ends it, in good order or not.
func (r *rerun) stop(kill bool) {
	r.t.Helper()
	r.killed = kill
	r.Rooms.save()
	if err := r.disk.Close(); err != nil && !kill {
		r.t.Fatal(err)
	}
}

// hear writes messages to a room to the history.
func (r *rerun) hear(room certs.ID, list ...spoken) {
	r.t.Helper()
	var items []item
	for _, s := range list {
		id := binary.BigEndian.AppendUint64(nil, s.tag)
		id = append(id, make([]byte, 8)...)
		payload, err := proto.Marshal(&pb.BroadcastContent{Id: id, Sender: "bob", Key: make([]byte, 32), SentAt: s.at})
		if err != nil {
			r.t.Fatal(err)
		}
		items = append(items, item{event: Message{ID: MessageID(id), From: "bob", To: room, signed: &pb.Signed{Payload: payload, Signature: make([]byte, 64)}}, author: certs.PublicKey{1}})
	}
	if !r.Stream().record(new(recording), items) {
		r.t.Fatal("it can't be written")
	}
}

// check looks whether each message that was shown is known as such, and no other that is late enough.
func (r *rerun) check(room certs.ID, heard []spoken) {
	r.t.Helper()
	all, err := r.Rooms.Latest([]certs.ID{room, Everyone})
	if err != nil {
		r.t.Fatal(err)
	}
	l := all[room]
	for _, s := range heard {
		if s.at > l.Until && !slices.Contains(l.Tags, s.tag) {
			r.t.Fatalf("of %d messages, one of %d would be shown again; known are %d, and those up to %d", len(heard), s.at, len(l.Tags), l.Until)
		}
	}
	heard = slices.Clone(heard)
	slices.SortFunc(heard, func(a, b spoken) int { return int(a.at - b.at) })
	last := heard[max(0, len(heard)-pb.MaxPast):]
	if len(l.Tags) != len(last) || (l.Until != 0) != (len(last) == pb.MaxPast) || l.Until > max(0, last[0].at) {
		r.t.Fatalf("of %d messages %d are known, and those up to %d", len(heard), len(l.Tags), l.Until)
	}
}

// Every message that was shown is known, whatever the times in it are, and however the runs end; and nothing else
// that is among the last of the room.
func TestLatest(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	r := &rerun{t: t, dir: t.TempDir()}
	r.start()
	if err := r.Rooms.Enter("#dev"); err != nil {
		t.Fatal(err)
	}
	heard := map[certs.ID][]spoken{}
	for range 30 {
		room := []certs.ID{Everyone, "#dev"}[random.IntN(2)]
		if random.IntN(5) > 0 { // else the lists are not asked for, and what is written must be in them nevertheless
			if _, err := r.Rooms.Latest([]certs.ID{Everyone, "#dev"}); err != nil {
				t.Fatal(err)
			}
		}
		var list []spoken
		for range 1 + random.IntN(300) {
			list = append(list, spoken{at: 1 + int64(len(heard[room])/2) + random.Int64N(400), tag: random.Uint64()})
		}
		for part := range slices.Chunk(list, 50) {
			r.hear(room, part...)
		}
		heard[room] = append(heard[room], list...)
		r.stop(random.IntN(2) == 0)
		r.start()
		if random.IntN(2) > 0 && len(heard[room]) > 0 {
			r.check(room, heard[room])
		}
	}
	if err := r.Rooms.Exit("#dev"); err != nil {
		t.Fatal(err)
	}
	r.hear("#dev", spoken{1000000, 1}) // which is not shown, but might have been
	r.stop(false)
	r.start()
	if err := r.Rooms.Enter("#dev"); err != nil {
		t.Fatal(err)
	}
	for room, list := range heard {
		if room == "#dev" {
			list = append(list, spoken{1000000, 1})
		}
		r.check(room, list)
	}
	r.stop(false)
}

// A start reads only the end of a large history.
func TestLatestIsSaved(t *testing.T) {
	for _, kill := range []bool{true, false} {
		r := &rerun{t: t, dir: t.TempDir()}
		r.start()
		if _, err := r.Rooms.Latest([]certs.ID{Everyone}); err != nil {
			t.Fatal(err)
		}
		const many = 2 * maxReread
		for i := range many / 1024 {
			var list []spoken
			for k := range 1024 {
				list = append(list, spoken{int64(i), uint64(1024*i + k)})
			}
			r.hear(Everyone, list...)
			if (i+1)%(maxReread/1024) == 0 { // it is saved
				saved := make(chan struct{})
				r.disk.whenSafe(func() { r.disk.Write(func() { close(saved) }) })
				<-saved
			}
		}
		r.stop(kill)
		r.start()
		if l := r.Rooms.latest[Everyone]; l == nil || l.upTo < many-maxReread-2*1024 || len(l.list) != pb.MaxPast {
			t.Errorf("killed: %t; %d messages are in %+v", kill, many, l)
		}
		r.stop(false)
	}
}

// Of a history that was put back nothing is known; the list is of another one.
func TestLatestOfAnotherHistory(t *testing.T) {
	r := &rerun{t: t, dir: t.TempDir()}
	r.start()
	r.Rooms.latest[Everyone] = &latest{upTo: 1000, list: []spoken{{5, 5}}}
	r.hear(Everyone, spoken{1, 1})
	r.check(Everyone, []spoken{{1, 1}, {5, 5}}[:1])
	r.stop(false)
}
