package core

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/pb"
)

// FuzzReceive makes a life for a core out of bytes: connections come and go, time
// passes, and frames arrive on links in all states, well made ones and whatever
// passes pb.Read. All signatures are believed, so that everything can be said.
func FuzzReceive(f *testing.F) {
	f.Add([]byte{})
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 3))
		b := make([]byte, 400)
		for i := range b {
			b[i] = byte(rng.Uint32())
			if rng.IntN(3) > 0 {
				b[i] %= 12
			}
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		data = data[:min(len(data), 2000)] // a longer life finds no more
		fz := &fuzzer{data: data}
		cfg := Config{
			ID: "p1", Identity: testIdentity(0), Network: "net", Addresses: []string{"10.9.9.9:5000"}, Epoch: 2,
			Rand:   rand.New(rand.NewPCG(1, 2)),
			Verify: func(Claim) bool { return true },
		}
		if fz.next()%2 == 0 {
			cfg.Join, cfg.JoinTimeout = []string{"a:1", "b:1"}, time.Minute
		}
		fz.c = New(cfg, 0)
		fz.check(t)
		for len(fz.data) > 0 {
			fz.step()
			fz.check(t)
		}
	})
}

type fuzzer struct {
	data  []byte
	c     *Core
	now   time.Duration
	last  LinkID
	dials []DialID
}

func (fz *fuzzer) next() byte {
	if len(fz.data) == 0 {
		return 0
	}
	b := fz.data[0]
	fz.data = fz.data[1:]
	return b
}

func (fz *fuzzer) link() LinkID { return LinkID(fz.next()) % (fz.last + 2) }

func (fz *fuzzer) step() {
	switch fz.next() % 12 {
	case 0, 1:
		fz.last++
		fz.c.Connected(fz.now, fz.last, 0, testIdentity(uint64(fz.next()%6)).Key(), "here")
	case 2:
		if len(fz.dials) > 0 {
			fz.last++
			fz.c.Connected(fz.now, fz.last, fz.dials[0], testIdentity(uint64(fz.next()%6)).Key(), "there")
			fz.dials = fz.dials[1:]
		}
	case 3:
		if len(fz.dials) > 0 {
			fz.c.DialFailed(fz.now, fz.dials[0], fz.next()%8 == 0, "why")
			fz.dials = fz.dials[1:]
		}
	case 4:
		fz.c.Disconnected(fz.now, fz.link(), fz.next()%2 == 0, "why")
	case 5:
		for range fz.next() % 40 {
			fz.now = max(fz.now, fz.c.Next())
			fz.c.Tick(fz.now)
		}
	case 6:
		switch fz.next() % 32 {
		case 0:
			fz.c.Leave(fz.now)
		case 1, 2, 3:
			fz.c.Broadcast(fz.now, "text", 0)
		default:
			fz.c.Want(fz.now, certs.ID(fmt.Sprint("p", fz.next()%4)))
		}
	case 7:
		l := fz.link()
		n := min(int(fz.next()), len(fz.data))
		if m, err := decode(fz.data[:n]); err == nil {
			fz.c.Receive(fz.now, l, m)
		}
		fz.data = fz.data[n:]
	default:
		l := fz.link()
		if m, err := decode(encode(fz.content())); err == nil {
			fz.c.Receive(fz.now, l, m)
		}
	}
}

// content is a frame in good form.
func (fz *fuzzer) content() proto.Message {
	switch fz.next() % 10 {
	case 0, 1:
		b := fz.next()
		return &pb.HandshakeStart{Version: 1, Network: "net", Id: fmt.Sprint("p", b%4), Record: fz.record(pb.AnnouncementType_JOIN, b%4)}
	case 2, 3:
		b := fz.next()
		return &pb.HandshakeResponse{
			Code: pb.HandshakeCode(1 + b%8), Record: fz.record(pb.AnnouncementType_JOIN, b/8%4),
			Candidates: []*pb.Signed{fz.record(pb.AnnouncementType_JOIN, 3)},
		}
	case 4:
		return &pb.Neighbour{Type: pb.NeighbourType(1 + fz.next()%3)}
	case 5:
		return &pb.SyncRequest{}
	case 6:
		return &pb.SyncReply{Announcements: fz.announcements(), Done: fz.next()%2 == 0}
	case 7:
		b := fz.next()
		return saidBroadcast(uint64(b%6), fmt.Sprint("p", b/8%4), uint64(1+b/32%4), uint64(b%8), "text")
	}
	return &pb.PropagationMessage{Announcements: fz.announcements()}
}

func (fz *fuzzer) announcements() []*pb.Announcement {
	var list []*pb.Announcement
	for range 1 + fz.next()%5 {
		kind := pb.AnnouncementType(1 + fz.next()%3)
		of := kind
		if kind == pb.AnnouncementType_LOST {
			of = pb.AnnouncementType_JOIN
		}
		b := fz.next()
		list = append(list, &pb.Announcement{Type: kind, Record: fz.record(of, b%4), Hops: uint32(b) % (pb.MaxHops + 1)})
	}
	return list
}

func (fz *fuzzer) record(kind pb.AnnouncementType, id byte) *pb.Signed {
	b := fz.next()
	key := testIdentity(uint64(b % 6)).Key()
	r := &pb.Record{
		Type: kind, Id: fmt.Sprint("p", id), Key: key[:], Network: "net", Epoch: 1 + uint64(b/8%4), Seq: uint32(b / 32),
	}
	if b%16 > 1 {
		r.Addresses = []string{"10.1.1.1:5000"}
	}
	payload, err := proto.Marshal(r)
	if err != nil {
		panic(err)
	}
	return &pb.Signed{Payload: payload, Signature: make([]byte, 64)}
}

// check looks at what always holds.
func (fz *fuzzer) check(t *testing.T) {
	t.Helper()
	out := fz.c.Drain()
	for _, d := range out.Dials {
		fz.dials = append(fz.dials, d.ID)
		if len(d.Addresses) == 0 {
			t.Fatal("a dial to nowhere")
		}
	}
	for _, frame := range out.Frames {
		if _, err := decode(frame.Data); err != nil {
			t.Fatalf("sends what nobody reads: %v", err)
		}
		if fz.c.link(frame.Link) == nil {
			t.Fatal("sends to nowhere")
		}
	}
	for i, e := range out.Events {
		if i > 0 && e == (Ready{}) {
			t.Fatalf("Ready is not the first event: %v", out.Events)
		}
	}
	if fz.c.Next() < fz.now {
		t.Fatalf("wants to be woken at %v, it is %v", fz.c.Next(), fz.now)
	}
	entries := fz.c.table.entries
	if !slices.IsSortedFunc(entries, func(a, b *entry) int { return compareNames(a.record, b.record) }) || fz.c.table.get("p1", testIdentity(0).Key()) != fz.c.self {
		t.Fatal("the table is out of order")
	}
	for _, e := range entries {
		if n := len(fz.c.table.of(e.record.ID)); n > maxKeysPerID {
			t.Fatalf("%d keys for an ID", n)
		}
	}
	if fz.c.self.alive() == fz.c.leaving || len(fz.c.early) > maxEarly || len(fz.c.recent) > maxRecent {
		t.Fatal("out of bounds")
	}
	if n := fz.c.degree(); n > maxNeighbours {
		t.Fatalf("%d neighbours", n)
	}
	for _, p := range fz.c.Peers() {
		if p.ID == "p1" {
			t.Fatal("its own ID is in its list of peers")
		}
	}
}
