package broadcast

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/past"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// node is one of two peers, a and b, which hear the broadcasts of author over links of their own.
type node struct {
	*Broadcasts
	author *link.Link
	other  *link.Link // to the other one
	shown  []uint64   // the numbers of the author's broadcasts
	again  int        // broadcasts that came a second time
}

func keyOf(name string) certs.PublicKey { return sha256.Sum256([]byte(name)) }

func newNode(seed uint64) *node {
	en := &base.Env{Cfg: base.Config{
		ID: "self", Identity: certs.NewIdentity(make([]byte, 32)), Network: "net",
		Rand: rand.New(rand.NewPCG(seed, 1)), Verify: func(base.Claim) bool { return true },
	}, Ready: true}
	tb := &table.Table{Env: en}
	ls := link.NewLinks(en, tb)
	n := &node{Broadcasts: New(en, tb, ls, link.NewDoubt(en, ls), past.New(en, tb, ls))}
	tb.Self = n.peer("self", en.Cfg.Identity.Key())
	n.author = n.linked("author")
	n.author.Neighbour = false // so that what one of the two hears does not go to the author
	return n
}

// peer puts a peer into the table, which is shown as here.
func (n *node) peer(name string, key certs.PublicKey) *table.Entry {
	id := certs.ID(name)
	e := table.NewEntry(&base.Record{ID: id, Key: key, Epoch: 1, Tag: base.TagOf(id)}, pb.AnnouncementType_JOIN, n.Now)
	e.Shown, e.Seen = e.Record, 1
	n.table.Insert(e)
	return e
}

// linked makes a link to a neighbour.
func (n *node) linked(name string) *link.Link {
	e := n.peer(name, keyOf(name))
	l := &link.Link{ID: base.LinkID(len(n.links.List) + 1), Key: e.Record.Key, Peer: e.Record.ID, Entry: e, State: link.LinkUp, Bond: link.Bond{Neighbour: true}}
	n.links.List = append(n.links.List, l)
	return l
}

// said is a broadcast of the author.
func said(number uint64) *pb.Broadcast {
	key := keyOf("author")
	prefix := certs.MessagePrefix(key, 1, 0)
	payload, err := proto.Marshal(&pb.BroadcastContent{
		Id: binary.BigEndian.AppendUint64(prefix[:], broadcastID|number), Sender: "author", Key: key[:], Network: "net", Content: fmt.Sprint(number),
	})
	if err != nil {
		panic(err)
	}
	return &pb.Broadcast{Content: &pb.Signed{Payload: payload, Signature: make([]byte, 64)}}
}

// take takes the effects: what is shown, and the frames for the other one.
func (n *node) take(t *testing.T) (frames []*pb.PeerMessage) {
	t.Helper()
	for _, e := range n.Out.Events {
		n.shown = append(n.shown, e.(base.Broadcasted).Number)
	}
	for _, f := range n.Out.Frames {
		if n.other == nil || f.Link != n.other.ID {
			continue
		}
		m, err := pb.Read(bufio.NewReader(bytes.NewReader(f.Data)), pb.MaxControlFrame)
		if err != nil {
			t.Fatal(err)
		}
		frames = append(frames, m)
	}
	n.Out = base.Effects{}
	return frames
}

// receive takes a frame of the other one.
func (n *node) receive(m *pb.PeerMessage) {
	switch m := m.GetContent().(type) {
	case *pb.PeerMessage_Broadcast:
		content, err := pb.ParseBroadcast(m.Broadcast.GetContent())
		if err != nil {
			panic(err)
		}
		if number := binary.BigEndian.Uint64(content.GetId()[8:]) &^ broadcastID; n.table.Of("author")[0].Our().Run.Has(number) {
			n.again++
		}
		n.ReceiveBroadcast(n.other, m.Broadcast)
	case *pb.PeerMessage_BroadcastsHeld:
		n.ReceiveHeld(n.other, m.BroadcastsHeld)
	case *pb.PeerMessage_BroadcastsWanted:
		n.ReceiveWanted(n.other, m.BroadcastsWanted)
	}
}

// TestTwoBecomeEqual: whatever each of two peers has heard, in whatever order, once they are
// neighbours both have all of it, show it once and in the order of the author, and send each other
// nothing twice. If frames get lost between them, some may be passed over, and the order holds.
func TestTwoBecomeEqual(t *testing.T) {
	const most = 2 * table.MaxStretches // a position names no more holes
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		lossy := seed%2 == 1
		nodes := [2]*node{newNode(seed), newNode(seed + 1000)}
		var all []uint64
		for range 3 * most / 2 {
			number := uint64(rnd.IntN(most) + 1) // some come twice, some never
			for _, n := range nodes {
				if rnd.IntN(3) > 0 {
					n.ReceiveBroadcast(n.author, said(number))
					all = append(all, number)
				}
			}
		}
		slices.Sort(all)
		all = slices.Compact(all)
		nodes[0].other, nodes[1].other = nodes[0].linked("b"), nodes[1].linked("a")
		for _, n := range nodes {
			n.take(t)
			n.Greet(n.other)
		}
		for tick := range 120 { // half a minute
			for round := 0; ; round++ {
				if round > 1000 {
					t.Fatalf("seed %d: they talk without end", seed)
				}
				frames := [2][]*pb.PeerMessage{nodes[0].take(t), nodes[1].take(t)}
				if len(frames[0])+len(frames[1]) == 0 {
					break
				}
				for i, list := range frames {
					for _, m := range list {
						if !lossy || tick > 40 || rnd.IntN(4) > 0 {
							nodes[1-i].receive(m)
						}
					}
				}
			}
			for _, n := range nodes {
				n.Now += 250 * time.Millisecond
				n.ExpireBroadcasts()
			}
		}
		for i, n := range nodes {
			n.take(t)
			if !slices.IsSorted(n.shown) || len(slices.Compact(slices.Clone(n.shown))) != len(n.shown) {
				t.Fatalf("seed %d: %d shows %v", seed, i, n.shown)
			}
			if !lossy && (!slices.Equal(n.shown, all) || n.again > 0) {
				t.Fatalf("seed %d: %d shows %v of %v; %d came again", seed, i, n.shown, all, n.again)
			}
			n.checkBounds(t)
			for len(n.Recent) > 0 {
				n.ForgetBroadcast(n.Recent[rnd.IntN(len(n.Recent))])
			}
			if n.checkBounds(t); len(n.Runs) != 0 {
				t.Fatalf("seed %d: %d runs are left", seed, len(n.Runs))
			}
		}
	}
}

// checkBounds checks what is remembered and what is counted of it.
func (n *node) checkBounds(t *testing.T) {
	t.Helper()
	size, ofRuns := 0, 0
	for _, b := range n.Recent {
		size += len(b.Signed.GetPayload())
	}
	for _, r := range n.Runs {
		ofRuns += r.Bytes
		if len(r.Recent) == 0 || len(r.Recent) > MaxOfOne || r.Bytes > MaxOfOneB || !slices.IsSortedFunc(r.Recent, func(a, b *table.RecentBroadcast) int { return int(a.Number) - int(b.Number) }) {
			t.Fatalf("a run has %d broadcasts, %d bytes", len(r.Recent), r.Bytes)
		}
	}
	if size != n.RecentBytes || size != ofRuns || len(n.Recent) > MaxRecent || size > maxRecentB {
		t.Fatalf("%d broadcasts have %d bytes, by run %d, counted %d", len(n.Recent), size, ofRuns, n.RecentBytes)
	}
}

// TestPositionsAreBounded: a link is answered so many questions at once, then at a pace, and each
// answer is bounded too.
func TestPositionsAreBounded(t *testing.T) {
	n := newNode(0)
	n.other = n.linked("b")
	for number := range uint64(2 * AnswerMost) {
		n.ReceiveBroadcast(n.author, said(number+1))
	}
	n.take(t)
	ask := func(first, last uint64) []*pb.PeerMessage {
		n.ReceiveWanted(n.other, &pb.BroadcastsWanted{Ranges: []*pb.BroadcastRange{{Run: n.table.Of("author")[0].Our().Run.Name, First: first, Last: last}}})
		return n.take(t)
	}
	for i := range uint64(2) { // the rest is asked for
		frames := ask(1+i*AnswerMost, pb.MaxNumber)
		if len(frames) != AnswerMost+1 || frames[AnswerMost].GetBroadcastsHeld() == nil {
			t.Fatalf("an answer has %d frames", len(frames))
		}
		if first := said(1 + i*AnswerMost); !proto.Equal(frames[0].GetBroadcast().GetContent(), first.GetContent()) {
			t.Errorf("answer %d does not begin with the first that is wanted", i)
		}
	}
	answers := func() (count int) {
		for len(ask(1, 1)) > 0 {
			count++
		}
		return count
	}
	if got := answers(); got != PositionBurst-1 {
		t.Errorf("%d more answers at once, after two", got)
	}
	n.Now += 5 * positionEvery
	if got := answers(); got != 5 {
		t.Errorf("%d answers later", got)
	}
}
