package detect

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/reach"
	"quicpeer/overlay/core/route"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

func idOf(i int) certs.ID { return certs.ID(fmt.Sprint("p", i)) }

func recordOf(i int) *base.Record {
	return &base.Record{
		ID: idOf(i), Key: certs.PublicKey{1, byte(i >> 8), byte(i)}, Epoch: 1000, Seq: 2, Tag: base.TagOf(idOf(i)),
		Addresses: []string{fmt.Sprintf("9.9.%d.%d:5000", i>>8, i&255)},
	}
}

// rig is the detector of a peer in a table of many, with a test that plays these.
type rig struct {
	*Detector
	routed []*pb.Routed  // in the last frames
	over   []base.LinkID // each of these
}

func newRig(members int) *rig {
	en := &base.Env{Ready: true, Now: time.Hour, Cfg: base.Config{ID: "self", Rand: rand.New(rand.NewPCG(1, 2))}}
	t := &table.Table{Env: en}
	var records []*base.Record
	for i := range members {
		records = append(records, recordOf(i))
	}
	t.Load(records, 0)
	t.Self = table.NewEntry(&base.Record{ID: "self", Tag: base.TagOf("self"), Epoch: 1000}, pb.AnnouncementType_JOIN, 0)
	t.Insert(t.Self)
	ls := link.NewLinks(en, t)
	db := link.NewDoubt(en, ls)
	rt := route.NewRoutes(en, t, ls)
	re := reach.New(en, t, ls, rt, reach.NewWhereabouts(en, t, ls), db)
	return &rig{Detector: NewDetector(en, t, ls, db, re, NewProbes(en, t, ls, rt, db, re))}
}

func (r *rig) entry(i int) *table.Entry { return r.table.Get(idOf(i), recordOf(i).Key) }

// neighbour is a link to a neighbour, which has just been heard.
func (r *rig) neighbour(i int) *link.Link {
	e := r.entry(i)
	l := &link.Link{
		ID: base.LinkID(len(r.links.List) + 1), State: link.LinkUp, Peer: e.Record.ID, Key: e.Record.Key, Entry: e, Heard: r.Now, Opened: r.Now,
		Bond: link.Bond{Neighbour: true, Slot: r.links.TakeSlot()},
	}
	r.links.List = append(r.links.List, l)
	return l
}

// silent is a neighbour whose link has just fallen silent, and that has named these as its own.
func (r *rig) silent(i int, named ...certs.ID) *link.Link {
	l := r.neighbour(i)
	l.Heard = r.Now - link.QuietAfter
	l.Entry.With().Neighbours = named
	return l
}

// read takes what is routed to others, and returns to whom the frames of a kind go.
func (r *rig) read(kind func(*pb.Routed) bool) (to []certs.ID) {
	r.routed, r.over = nil, nil
	for _, f := range r.Out.Frames {
		m, err := pb.Read(bufio.NewReader(bytes.NewReader(f.Data)), pb.MaxControlFrame)
		if err != nil {
			panic(err)
		}
		if m := m.GetRouted(); kind(m) {
			r.routed, r.over = append(r.routed, m), append(r.over, f.Link)
			to = append(to, certs.ID(m.GetTo()))
		}
	}
	r.Out.Frames = nil
	slices.Sort(to)
	return to
}

func (r *rig) questions() []certs.ID {
	return r.read(func(m *pb.Routed) bool { return question(m) != nil })
}

func (r *rig) pings() []certs.ID { return r.read(func(m *pb.Routed) bool { return ping(m) != nil }) }

// opened is the content of a routed frame, which travels unopened.
func opened(m *pb.Routed) *pb.Routed {
	if o, err := pb.OpenRouted(m); err == nil {
		return o
	}
	return &pb.Routed{}
}

func question(m *pb.Routed) *pb.Question { return opened(m).GetQuestion() }
func ping(m *pb.Routed) *pb.Ping         { return opened(m).GetPing() }

// answers returns the answers of the last input, by receiver.
func (r *rig) answers() map[certs.ID]*pb.Answer {
	list := make(map[certs.ID]*pb.Answer)
	r.read(func(m *pb.Routed) bool {
		if a := opened(m).GetAnswer(); a != nil {
			list[certs.ID(m.GetTo())] = a
		}
		return true
	})
	return list
}

// answer lets a peer answer a question about another one.
func (r *rig) answer(from, about int, fresh bool) {
	key := recordOf(about).Key
	r.probes.ReceiveAnswer(idOf(from), &pb.Answer{Subject: key[:], Epoch: 1000, Seq: 2, Fresh: fresh})
}

// ask lets a peer ask about another one.
func (r *rig) ask(from certs.ID, about int) {
	key := recordOf(about).Key
	r.probes.ReceiveQuestion(Asker{ID: from, Over: 1}, &pb.Question{Subject: key[:], Id: string(idOf(about)), Epoch: 1000, Seq: 2})
}

// pass lets time go by in ticks, in which the links are heard.
func (r *rig) pass(d time.Duration, heard ...*link.Link) {
	for until := r.Now + d; r.Now < until; {
		r.Now = min(until, r.Now+100*time.Millisecond)
		for _, l := range heard {
			l.Heard = r.Now
		}
		r.CheckLinks()
		r.probes.Pursue()
	}
}

// happened takes what has happened of a kind.
func happened[H any](r *rig) (list []H) {
	for _, what := range r.Events {
		if h, ok := what.(H); ok {
			list = append(list, h)
		}
	}
	r.Events = nil
	return list
}

func wantIDs(t *testing.T, what string, got []certs.ID, want ...certs.ID) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, not %v", what, got, want)
	}
}
