package core

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// rig is one core alone, with a test that plays all other peers.
type rig struct {
	t    *testing.T
	c    *Core
	now  time.Duration
	last base.LinkID
	out  base.Effects // of the last input
}

// newRig starts a peer named "self" with the key testIdentity(0).
func newRig(t *testing.T, change func(*base.Config)) *rig {
	cfg := base.Config{
		ID: "self", Identity: testIdentity(0), Network: "net", Software: "rig",
		Addresses: []netip.AddrPort{netip.MustParseAddrPort("10.9.9.9:5000")}, Epoch: 1000, Rand: rand.New(rand.NewPCG(1, 2)),
	}
	if change != nil {
		change(&cfg)
	}
	r := &rig{t: t}
	r.c = New(cfg, 0)
	r.out = r.c.Drain()
	return r
}

// drain takes what the core wants; signatures are judged at once.
func (r *rig) drain() {
	r.out = r.c.Drain()
	for verify := r.out.Verify; len(verify) > 0; {
		for _, v := range verify {
			valid := make([]bool, len(v.Claims))
			for i, claim := range v.Claims {
				valid[i] = r.c.env.Cfg.Verify(claim)
			}
			r.c.Step(r.now, Verified{ID: v.ID, Valid: valid})
		}
		more := r.c.Drain()
		addTo(&r.out, more)
		verify = more.Verify
	}
}

// pass lets time pass. All links are heard, every comparison of tables ends as equal, and the checks of
// neighbours are answered, and not seen.
func (r *rig) pass(d time.Duration) { r.passWith(d, func(base.LinkID) bool { return true }) }

// passWith is pass with a choice of the links that are heard.
func (r *rig) passWith(d time.Duration, heard func(base.LinkID) bool) {
	var all base.Effects
	for until := r.now + d; r.now < until; {
		r.now = max(r.now, min(until, r.c.Next()))
		for _, l := range r.c.links.List {
			if heard(l.ID) {
				r.c.Step(r.now, Heard{Link: l.ID, Heard: r.now})
			}
		}
		r.c.Step(r.now, Tick{})
		r.drain()
		r.answerChecks(heard)
		addTo(&all, r.out)
		for i, m := range r.frames() {
			if isQuestion(m) && r.c.env.Ready && heard(r.out.Frames[i].Link) {
				r.c.Step(r.now, Received{Link: r.out.Frames[i].Link, Frame: pb.Wrap(piece())})
			}
		}
		r.drain()
		addTo(&all, r.out)
	}
	r.out = all
}

// answerChecks takes the checks of neighbours out of the last frames, and answers them.
func (r *rig) answerChecks(heard func(base.LinkID) bool) {
	list := r.frames()
	frames := r.out.Frames
	r.out.Frames = nil
	for i, f := range frames {
		if m := list[i].GetRouted(); isCheck(m, f.Link) && m.GetPing() != nil && heard(f.Link) {
			r.c.Step(r.now, Received{Link: f.Link, Frame: pb.Wrap(pongOf(m))})
		} else {
			r.out.Frames = append(r.out.Frames, f)
		}
	}
}

// isCheck reports whether a frame on a link is the ping of a neighbour, or its answer.
func isCheck(m *pb.Routed, l base.LinkID) bool {
	n := max(m.GetPing().GetNumber(), m.GetPong().GetNumber())
	return n != 0 && n>>32 == uint64(l)
}

func pongOf(m *pb.Routed) *pb.Routed {
	return &pb.Routed{From: m.GetTo(), To: m.GetFrom(), Passed: []string{m.GetTo()}, Parents: []byte{0}, Content: &pb.Routed_Pong{Pong: m.GetPing()}}
}

// addTo appends later effects.
func addTo(e *base.Effects, more base.Effects) {
	e.Events = append(e.Events, more.Events...)
	e.Frames = append(e.Frames, more.Frames...)
	e.Closes = append(e.Closes, more.Closes...)
	e.Dials = append(e.Dials, more.Dials...)
	e.Unreachable = append(e.Unreachable, more.Unreachable...)
	e.Notes = append(e.Notes, more.Notes...)
	e.Custody = append(e.Custody, more.Custody...)
	e.Envelopes = append(e.Envelopes, more.Envelopes...)
	e.Carried = append(e.Carried, more.Carried...)
	e.Releave = append(e.Releave, more.Releave...)
	e.Joined = append(e.Joined, more.Joined...)
	e.Removals = append(e.Removals, more.Removals...)
	e.Redeem = append(e.Redeem, more.Redeem...)
	if more.Err != nil {
		e.Err = more.Err
	}
}

// inbound makes an inbound connection.
func (r *rig) inbound(identity uint64) base.LinkID {
	r.last++
	r.c.Step(r.now, Connected{Link: r.last, Dial: 0, Key: testIdentity(identity).Key(), Address: "somewhere"})
	r.drain()
	return r.last
}

// outbound completes a dial.
func (r *rig) outbound(dial base.DialID, identity uint64) base.LinkID {
	r.last++
	r.c.Step(r.now, Connected{Link: r.last, Dial: dial, Key: testIdentity(identity).Key(), Address: "somewhere"})
	r.drain()
	return r.last
}

// receive delivers a frame on a link.
func (r *rig) receive(id base.LinkID, content proto.Message) {
	r.t.Helper()
	m, err := decode(base.Encode(content))
	if err != nil {
		r.t.Fatal(err)
	}
	r.knowAccuser(content)
	r.c.Step(r.now, Received{Link: id, Frame: m})
	r.drain()
}

// knowAccuser makes the accuser that say names a member that has gone.
func (r *rig) knowAccuser(content proto.Message) {
	if len(r.c.table.Of("w1")) > 0 || !bytes.Contains(base.Encode(content), []byte("w1")) {
		return
	}
	left, err := base.OpenRecord(signed(901, "w1", pb.AnnouncementType_LEAVE, 1, 1))
	if err != nil {
		r.t.Fatal(err)
	}
	r.c.table.Insert(table.NewEntry(left, pb.AnnouncementType_LEAVE, r.now))
}

// linked is an inbound link whose handshake is done.
func (r *rig) linked(identity uint64, id string) base.LinkID {
	r.t.Helper()
	l := r.inbound(identity)
	r.receive(l, start(identity, id, 1000))
	if r.c.links.Link(l) == nil || r.c.links.Link(l).State != link.LinkUp {
		r.t.Fatalf("%s was not let in: %v", id, r.frames())
	}
	return l
}

// neighbour is a link that has become a neighbour's.
func (r *rig) neighbour(identity uint64, id string) base.LinkID {
	l := r.linked(identity, id)
	r.receive(l, &pb.Neighbour{Type: pb.NeighbourType_REQUEST})
	return l
}

// frames returns the contents of the frames of the last input.
func (r *rig) frames() []*pb.PeerMessage {
	r.t.Helper()
	var list []*pb.PeerMessage
	for _, f := range r.out.Frames {
		m, err := decode(f.Data)
		if err != nil {
			r.t.Fatalf("sends an invalid frame: %v", err)
		}
		list = append(list, m)
	}
	return list
}

var (
	identitiesMu sync.Mutex
	identities   = make(map[uint64]*certs.Identity)
)

// testIdentity is the identity of a small number.
func testIdentity(seed uint64) *certs.Identity {
	identitiesMu.Lock()
	defer identitiesMu.Unlock()
	if identities[seed] == nil {
		sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, seed))
		identities[seed] = certs.NewIdentity(sum[:])
	}
	return identities[seed]
}

// decode reads the one frame that data is, as a receiver does.
func decode(data []byte) (*pb.PeerMessage, error) {
	return pb.Read(bufio.NewReaderSize(bytes.NewReader(data), 512), pb.MaxControlFrame)
}

// signed is a record of a test identity.
func signed(identity uint64, id string, kind pb.AnnouncementType, epoch uint64, seq uint32) *pb.Signed {
	key := testIdentity(identity).Key()
	r := &pb.Record{Type: kind, Id: id, Key: key[:], Network: "net", Epoch: epoch, Seq: seq}
	if kind == pb.AnnouncementType_JOIN {
		r.Addresses = []string{"10.1.1.1:5000"}
	}
	return testIdentity(identity).SignRecord(r)
}

func start(identity uint64, id string, epoch uint64) *pb.HandshakeStart {
	return &pb.HandshakeStart{Version: 1, Network: "net", Id: id, Record: signed(identity, id, pb.AnnouncementType_JOIN, epoch, 0)}
}

// say is an announcement; a LOST buries a JOIN record.
func say(kind pb.AnnouncementType, identity uint64, id string, epoch uint64, seq uint32) *pb.Announcement {
	record := kind
	if kind == pb.AnnouncementType_LOST {
		record = pb.AnnouncementType_JOIN
	}
	a := &pb.Announcement{Type: kind, Record: signed(identity, id, record, epoch, seq)}
	if kind == pb.AnnouncementType_LOST {
		a.Accusers = []string{"w1"}
	}
	return a
}

func propagation(list ...*pb.Announcement) *pb.PropagationMessage {
	return &pb.PropagationMessage{Announcements: list}
}

// saidBroadcast is a broadcast of a test identity.
func saidBroadcast(identity uint64, id string, epoch, n uint64, text string) *pb.Broadcast {
	key := testIdentity(identity).Key()
	prefix := certs.MessagePrefix(key, epoch, 0)
	return &pb.Broadcast{Content: testIdentity(identity).SignBroadcast(&pb.BroadcastContent{
		Id: append(prefix[:], 0x80, 0, 0, 0, 0, 0, byte(n>>8), byte(n)), Sender: id, Key: key[:], Network: "net", Content: text,
	})}
}

func (r *rig) has(id certs.ID) bool {
	for _, p := range r.c.Peers() {
		if p.ID == id {
			return true
		}
	}
	return false
}

// piece is a part of an answer about tables; without announcements it ends the answer, and
// leaves nothing open.
func piece(list ...*pb.Announcement) *pb.Reconcile {
	return &pb.Reconcile{Answer: true, Announcements: list}
}

// allHeld is the question of a peer with so many versions in its table.
func allHeld(versions ...uint64) *pb.Reconcile {
	return &pb.Reconcile{Ranges: []*pb.TableRange{{Last: math.MaxUint64, Kind: pb.RangeKind_HELD, Hashes: versions}}}
}

// asking is an exchange that has asked for everything.
func asking() *link.Exchange { return &link.Exchange{Asked: allHeld().Ranges} }

func isQuestion(m *pb.PeerMessage) bool {
	return m.GetReconcile() != nil && !m.GetReconcile().GetAnswer()
}

// brings answers a question about tables with these entries, at most 64, and leaves nothing open.
func (r *rig) brings(l base.LinkID, list ...*pb.Announcement) {
	r.t.Helper()
	var all base.Effects
	if len(list) > 0 {
		r.receive(l, piece(list...))
		all = r.out
	}
	r.receive(l, piece())
	addTo(&all, r.out)
	r.out = all
}

// withNothing answers the ranges of an answer as a peer whose table is empty.
func withNothing(list []*pb.TableRange) (held []*pb.TableRange) {
	for _, r := range list {
		held = append(held, &pb.TableRange{First: r.GetFirst(), Last: r.GetLast(), Kind: pb.RangeKind_HELD})
	}
	return held
}
