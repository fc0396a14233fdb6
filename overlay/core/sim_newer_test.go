package core_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"quicpeer/overlay/core"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/coretest"
	"quicpeer/pb"
)

// A peer of a future version, made from this one: everything it sends has additions that this
// version does not know.

// inventedFeature is known to newer peers only, and with it a frame of that type.
const inventedFeature = 900

// inventRecord adds to a record what a newer peer may have in it.
func inventRecord(r *pb.Record) {
	if r.Type == pb.AnnouncementType_JOIN {
		own := r.Addresses
		r.Addresses = append([]string{"quic://relay.example/" + r.Id, "[2001:db8::1"}, own...)
		for i := range 20 {
			r.Addresses = append(r.Addresses, fmt.Sprintf("198.51.100.%d:70000", i))
		}
		r.SealingKey = make([]byte, 1216)
	}
	r.ProtoReflect().SetUnknown(core.InventedField(200))
}

// decorate adds an invented field to a message and to all messages in it.
func decorate(m protoreflect.Message) {
	m.SetUnknown(append(slices.Clone(m.GetUnknown()), core.InventedField(3)...))
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.Message() == nil:
		case field.IsList():
			for i := range value.List().Len() {
				decorate(value.List().Get(i).Message())
			}
		default:
			decorate(value.Message())
		}
		return true
	})
}

// inventedFrame is a frame of an unknown type, with a number in it.
func inventedFrame(kind, number int) []byte {
	b := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), uint64(kind))
	b = protowire.AppendBytes(protowire.AppendTag(b, 901, protowire.BytesType), fmt.Append(nil, number))
	return append(protowire.AppendVarint(nil, uint64(len(b))), b...)
}

// newer records what the peers of the future version have sent.
type newer struct {
	count    int
	machines map[*node]bool
	routed   map[string]bool // the invented contents on their way, and whether they have come
	named    int             // frames only for peers that know them, as they came
}

func newNewer() newer { return newer{machines: make(map[*node]bool)} }

// newFrames returns the frames that a newer peer sends in the place of one.
func (w *world) newFrames(e *coretest.End, f base.Frame) [][]byte {
	if !w.newer.machines[e.Process.Machine] {
		return [][]byte{f.Data}
	}
	m := new(pb.PeerMessage)
	_, n := protowire.ConsumeVarint(f.Data)
	if err := proto.Unmarshal(f.Data[n:], m); err != nil {
		w.fatal("%v", err)
	}
	decorate(m.ProtoReflect())
	data, err := pb.Append(nil, m)
	if err != nil {
		w.fatal("%v", err)
	}
	list := [][]byte{data}
	c := e.Process.Core
	if !c.View(f.Link).Up {
		return append(list, inventedFrame(903, 0)) // also beside the handshake
	}
	if c.Knows(f.Link, inventedFeature) && w.Rand.IntN(4) == 0 {
		list = append(list, inventedFrame(inventedFeature, 0))
	}
	if w.Rand.IntN(4) > 0 {
		return list
	}
	for _, content := range w.inventions(e.Process, c.View(f.Link)) {
		list = append(list, core.Encode(content))
	}
	return append(list, inventedFrame(903, 0), inventedFrame(int(pb.PeerMessageType_SYNC), 0))
}

// inventions returns frames with values, forms and contents that this version does not know.
func (w *world) inventions(p *process, l core.LinkView) []proto.Message {
	odd := proto.CloneOf(p.Core.Said())
	odd.Type = 99
	large := proto.CloneOf(p.Core.Said())
	large.Record.Signature = make([]byte, 3309)
	list := []proto.Message{
		&pb.Neighbour{Type: 99}, &pb.Observed{Address: "quic://relay.example/x"}, &pb.PropagationMessage{Announcements: []*pb.Announcement{odd, large, p.Core.Said()}},
		&pb.Broadcast{Content: &pb.Signed{Payload: []byte("a broadcast of another kind"), Signature: make([]byte, 3309)}},
	}
	to := w.Living()[w.Rand.IntN(len(w.Living()))].Machine
	m := &pb.Routed{From: string(p.ID), To: string(to.ID), Passed: []string{string(p.ID)}, Parents: []byte{0}}
	if to == p.Machine || l.Peer == to.ID || !l.Neighbour {
		return list
	}
	w.newer.count++
	name := fmt.Sprint(p.ID, " to ", to.ID, " ", w.newer.count)
	if w.newer.machines[to] && w.newer.routed != nil {
		w.newer.routed[name] = false
	}
	m.ProtoReflect().SetUnknown(protowire.AppendString(protowire.AppendTag(nil, 902, protowire.BytesType), name))
	return append(list, m)
}

// skipped takes a frame that this version does not know.
func (w *world) skipped(p *process, data []byte) {
	_, n := protowire.ConsumeVarint(data)
	_, _, tag := protowire.ConsumeTag(data[n:])
	if kind, _ := protowire.ConsumeVarint(data[n+tag:]); kind == inventedFeature {
		if !w.newer.machines[p.Machine] {
			w.fatal("%s, who has not named it, gets what is only for who knows it", p.ID)
		}
		w.newer.named++
	}
}

// arrived records a content of a newer peer that has come to another.
func (n *newer) arrived(m *pb.Routed, at *node) {
	unknown := m.ProtoReflect().GetUnknown()
	if m.GetTo() != string(at.ID) || m.GetContent() != nil || n.routed == nil {
		return
	}
	for name := range n.routed {
		if bytes.Contains(unknown, protowire.AppendString(protowire.AppendTag(nil, 902, protowire.BytesType), name)) {
			n.routed[name] = true
		}
	}
}

// TestSimNewer mixes peers of a future version with ordinary ones for an hour: in a full mesh,
// and where some can only reach others over the rest. Nobody is cut off, tables are right, and
// all broadcasts, letters and invented contents arrive.
func TestSimNewer(t *testing.T) {
	eachSeed(t, 2, 1, func(t *testing.T, seed uint64) {
		w := newWorld(t, seed, 0)
		s := []shape{shapeFull, shapeRandom, shapeRing}[seed%3]
		const n = 9
		for i := range n {
			n := w.addNode(fmt.Sprintf("n%02d", i), uint64(i))
			w.newer.machines[n] = i%3 == 1
		}
		w.take(s)
		w.Rewrite, w.Skipped = w.newFrames, w.skipped
		w.Loss = 0.01
		w.build(n, 3*time.Second)
		w.Run(10 * time.Second)
		w.newer.routed = make(map[string]bool)
		letters := 0
		for range 59 {
			p := w.Living()[w.Rand.IntN(n)]
			w.broadcast(p, fmt.Sprintf("at %v", w.Now))
			w.writeTo(letters, 1000, 6)
			letters++
			w.Run(time.Minute)
			if w.Now > 30*time.Minute && w.Now < 31*time.Minute { // one of each kind starts anew
				for _, i := range []int{1, 2} {
					w.Machines[i].Process.Leave()
					w.Run(3 * time.Second)
					w.Machines[i].Rejoin()
				}
			}
			if why := w.right(); why != "" {
				w.settle(10 * time.Second)
			}
		}
		arrived := 0
		for _, came := range w.newer.routed {
			if came {
				arrived++
			}
		}
		// Frames on their way are lost when a link ends or a route changes.
		if arrived < len(w.newer.routed)*95/100 || arrived == 0 {
			w.fatal("%d of %d invented contents arrived", arrived, len(w.newer.routed))
		}
		if w.newer.named == 0 && s == shapeFull {
			w.fatal("no frame went to who knows it")
		}
		t.Logf("%v: %d frames, %d invented contents of which %d arrived, %d frames for peers that know them", s, w.Count.Frames, len(w.newer.routed), arrived, w.newer.named)
		w.settle(30 * time.Second)
		w.checkEvents()
		w.checkBroadcasts()
	})
}
