package core

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/pb"
)

// FuzzReceive makes a life for a core out of bytes: connections come and go, time passes, and
// frames arrive on links in all states, both well-formed ones and anything else that passes
// pb.Read. All signatures count as valid, so that everything can be said.
func FuzzReceive(f *testing.F) { fuzzReceive(f, false) }

// FuzzReceivePrivate is the same in a private network, with passes, removals and tickets.
func FuzzReceivePrivate(f *testing.F) { fuzzReceive(f, true) }

func fuzzReceive(f *testing.F, inPrivate bool) {
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
		fz := &fuzzer{shown: make(map[string]uint64), data: data, network: "net", private: inPrivate}
		cfg := base.Config{
			ID: "p1", Identity: testIdentity(0), Network: "net", Addresses: []netip.AddrPort{netip.MustParseAddrPort("10.9.9.9:5000")}, Epoch: 2,
			Rand:   rand.New(rand.NewPCG(1, 2)),
			Verify: func(base.Claim) bool { return true },
		}
		if inPrivate {
			fz.network = private.Label()
			cfg.Network, cfg.Key, cfg.Pass = fz.network, private.Key, memberPass(alice, 0, "p1", 3)
			if fz.next()%8 == 0 {
				cfg.Pass, cfg.Redemption = nil, redemption(900, alice, 0, "p1")
			}
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
	data   []byte
	c      *Core
	now    time.Duration
	last   base.LinkID
	dials  []base.DialID
	wishes []base.Verify
	pings  []*pb.Ping // that it has sent

	withdrawals, linkPings []uint64          // their numbers
	shown                  map[string]uint64 // the counter of the last broadcast of each run
	stored                 []base.CustodyWrite
	disk                   map[[pb.DepositIDSize]byte]bool // what is stored

	network string
	private bool
}

func (fz *fuzzer) next() byte {
	if len(fz.data) == 0 {
		return 0
	}
	b := fz.data[0]
	fz.data = fz.data[1:]
	return b
}

func (fz *fuzzer) link() base.LinkID { return base.LinkID(fz.next()) % (fz.last + 2) }

func (fz *fuzzer) step() {
	if fz.private && fz.next()%16 == 0 {
		fz.stepPrivate()
		return
	}
	switch fz.next() % 14 {
	case 12:
		fz.judge()
	case 13:
		switch fz.next() % 4 {
		case 0:
			fz.now = max(fz.now, fz.c.Next()) + time.Duration(fz.next())*100*time.Millisecond // late
			fz.c.Step(fz.now, Tick{})
		case 1:
			fz.c.Step(fz.now, Slept{For: time.Duration(fz.next()) * 10 * time.Second})
		default:
			l := fz.link()
			fz.c.Step(fz.now, Heard{Link: l, Heard: fz.now})
		}
	case 0, 1:
		fz.last++
		fz.c.Step(fz.now, Connected{Link: fz.last, Dial: 0, Key: testIdentity(uint64(fz.next() % 6)).Key(), Address: "here"})
	case 2:
		if len(fz.dials) > 0 {
			fz.last++
			fz.c.Step(fz.now, Connected{Link: fz.last, Dial: fz.dials[0], Key: testIdentity(uint64(fz.next() % 6)).Key(), Address: "there"})
			fz.dials = fz.dials[1:]
		}
	case 3:
		if len(fz.dials) > 0 {
			fz.c.Step(fz.now, DialFailed{Dial: fz.dials[0], Self: fz.next()%8 == 0, Why: "why"})
			fz.dials = fz.dials[1:]
		}
	case 4:
		fz.c.Step(fz.now, Disconnected{Link: fz.link(), Friendly: fz.next()%2 == 0, Why: "why"})
	case 5:
		for range fz.next() % 40 {
			fz.now = max(fz.now, fz.c.Next())
			fz.c.Step(fz.now, Tick{})
		}
	case 6:
		switch fz.next() % 32 {
		case 0:
			fz.c.Step(fz.now, Leave{})
		case 1, 2, 3:
			fz.c.Step(fz.now, Broadcast{Body: "text", SentAt: 0})
		case 4, 5, 6:
			fz.c.Step(fz.now, Route{To: fz.id(), Number: uint64(fz.next()), Sealed: make([]byte, int(fz.next())<<10)})
		case 7, 8, 9, 10:
			fz.c.Step(fz.now, Deposit{Deposit: fz.deposit()})
		case 13:
			fz.c.Step(fz.now, Withdraw{Receiver: fz.id(), Rest: fz.next()%2 == 0, Past: fz.next()%4 == 0})
		case 11, 12:
			fz.c.Step(fz.now, Collect{Holder: fz.id(), Collected: fz.collected()})
		case 14:
			fz.c.Step(fz.now, Ping{To: fz.id(), Number: uint64(fz.next())})
		default:
			fz.c.Step(fz.now, Want{To: certs.ID(fmt.Sprint("p", fz.next()%4))})
		}
	case 7:
		l := fz.link()
		n := min(int(fz.next()), len(fz.data))
		if m, err := decode(fz.data[:n]); err == nil {
			fz.c.Step(fz.now, Received{Link: l, Frame: m})
		}
		fz.data = fz.data[n:]
	default:
		l := fz.link()
		if m, err := decode(base.Encode(fz.content())); err == nil {
			fz.c.Step(fz.now, Received{Link: l, Frame: m})
		}
	}
}

// judge answers a request to judge signatures, not always in order.
func (fz *fuzzer) judge() {
	if len(fz.wishes) == 0 {
		fz.c.Step(fz.now, Verified{ID: base.VerifyID(fz.next()), Valid: nil})
		return
	}
	b := fz.next()
	i := int(b>>1) % len(fz.wishes)
	v := fz.wishes[i]
	fz.wishes = slices.Delete(fz.wishes, i, i+1)
	valid := make([]bool, len(v.Claims))
	for k := range valid {
		valid[k] = b%8 != 0 || k != int(b/8)%len(valid)
	}
	fz.c.Step(fz.now, Verified{ID: v.ID, Valid: valid})
}

// content is a well-formed frame.
func (fz *fuzzer) content() proto.Message {
	if fz.private && fz.next()%8 == 0 {
		return fz.privateContent()
	}
	switch fz.next() % 24 {
	case 23:
		return fz.sync()
	case 18, 19:
		return fz.deposit()
	case 20:
		id := pb.DepositID(fz.deposit().GetSealed())
		return &pb.DepositAnswer{Deposit: id[:], Kept: fz.next()%4 > 0}
	case 5, 10, 11:
		return &pb.Reconcile{Ranges: fz.tableRanges()}
	case 6:
		return piece(fz.announcements()...)
	case 12:
		return &pb.Reconcile{Answer: true, Ranges: fz.tableRanges()}
	case 13:
		return &pb.NeighbourList{Ids: fz.ids(pb.MaxNeighbours)}
	case 14:
		r := &pb.Routes{}
		for range fz.next() % 8 {
			r.Peers, r.Hops = append(r.Peers, base.ShortTag(base.TagOf(fz.id()))), append(r.Hops, fz.next())
		}
		return r
	case 15, 16, 17:
		return fz.routed()
	case 21:
		return &pb.BroadcastsHeld{Ranges: fz.ranges()}
	case 22:
		return &pb.BroadcastsWanted{Ranges: fz.ranges()}

	case 0, 1:
		b := fz.next()
		return &pb.HandshakeStart{Version: 1, Network: fz.network, Id: fmt.Sprint("p", b%4), Record: fz.record(pb.AnnouncementType_JOIN, b%4)}
	case 2, 3:
		b := fz.next()
		return &pb.HandshakeResponse{
			Code: pb.HandshakeCode(b % 10), Features: append(pb.Features(), make([]uint32, b)...), Record: fz.record(pb.AnnouncementType_JOIN, b/8%4),
			Candidates: []*pb.Signed{fz.record(pb.AnnouncementType_JOIN, 3)},
		}
	case 4:
		b := fz.next()
		return &pb.Neighbour{Type: pb.NeighbourType(b % 6), Priority: b&4 != 0}
	case 9:
		switch b := fz.next(); {
		case b%2 == 0:
			return &pb.LinkPing{Number: uint64(b)}
		case len(fz.linkPings) > 0:
			return &pb.LinkPong{Number: fz.linkPings[int(b/2)%len(fz.linkPings)]}
		}
		return &pb.LinkPong{}
	case 7:
		b := fz.next()
		return saidBroadcast(uint64(b%6), fmt.Sprint("p", b/8%4), uint64(1+b/32%4), uint64(b%8), "text")
	}
	return &pb.PropagationMessage{Announcements: fz.announcements()}
}

// id is one of four IDs.
func (fz *fuzzer) id() certs.ID { return certs.ID(fmt.Sprint("p", fz.next()%4)) }

func (fz *fuzzer) ids(most int) []string {
	var list []string
	for range int(fz.next()) % (most + 1) {
		list = append(list, string(fz.id()))
	}
	return list
}

// tableRanges are descriptions of parts of our own table, with faults in some.
func (fz *fuzzer) tableRanges() (list []*pb.TableRange) {
	const step = math.MaxUint64/256 + 1
	for first := uint64(fz.next() % 2); len(list) < 8; {
		size := fz.next()
		last := first + uint64(size)*step
		if size%4 == 0 || last <= first {
			last = math.MaxUint64
		}
		r := fz.c.table.Describe(first, last)
		if first == 0 && last == math.MaxUint64 && size%8 == 0 {
			r = fz.c.table.Everything()
		}
		if b := fz.next(); b%4 == 0 && len(r.Hashes) > 0 {
			r.Hashes[int(b/4)%len(r.Hashes)]++
		} else if b%4 == 1 {
			r.Kind = pb.RangeKind(b / 4 % 5)
		}
		if list = append(list, r); last == math.MaxUint64 {
			break
		}
		first = last + 1 + uint64(fz.next()%2)
	}
	return list
}

// routed is a routed frame from some peer over another to a third.
func (fz *fuzzer) routed() *pb.Routed {
	m := &pb.Routed{From: string(fz.id()), To: string(fz.id())}
	if fz.next()%2 == 0 {
		m.To = "p1"
	}
	for i := range int(fz.next()) % (pb.MaxPassed + 1) {
		m.Passed, m.Parents = append(m.Passed, string(fz.id())), append(m.Parents, fz.next()%byte(i+1))
	}
	identity := uint64(fz.next() % 6)
	key := testIdentity(identity).Key()
	epoch, seq := uint64(1+fz.next()%4), uint32(fz.next()%4)
	switch fz.next() % 13 {
	case 11:
		m.Content = &pb.Routed_Connect{Connect: &pb.Connect{Number: uint64(fz.next()), Key: key[:], Observed: fz.observed(), Took: uint32(fz.next())}}
	case 12:
		m.Content = &pb.Routed_Sync{Sync: fz.sync()}
	case 10:
		m.ProtoReflect().SetUnknown(inventedField(int(fz.next()))) // an unknown content
	case 6, 7:
		parts := 1 + uint32(fz.next())%3
		size := 1 + int(fz.next())
		if size > 128 {
			size = pb.MaxPart
		}
		m.Content = &pb.Routed_Envelope{Envelope: &pb.Envelope{
			Number: uint64(fz.next() % 8), Part: uint32(fz.next()) % parts, Parts: parts, Sealed: make([]byte, size),
		}}
	case 5:
		switch b := fz.next(); b % 4 {
		case 0:
			number := uint64(b)
			if n := len(fz.withdrawals); n > 0 {
				number = fz.withdrawals[int(b/4)%n]
			}
			m.Content = &pb.Routed_Withdrawn{Withdrawn: &pb.Withdrawn{Number: number}}
		default:
			m.Content = &pb.Routed_Withdraw{Withdraw: fz.withdraw()}
		}
	case 8:
		m.Content = &pb.Routed_Carried{Carried: make([]byte, int(fz.next()))}
	case 9:
		m.Content = &pb.Routed_Collected{Collected: fz.collected()}
	case 0, 1:
		m.Content = &pb.Routed_Question{Question: &pb.Question{Subject: key[:], Id: string(fz.id()), Epoch: epoch, Seq: seq}}
	case 2:
		m.Content = &pb.Routed_Answer{Answer: &pb.Answer{Subject: key[:], Epoch: epoch, Seq: seq, Fresh: fz.next()%3 == 0}}
	case 3:
		m.Content = &pb.Routed_Ping{Ping: &pb.Ping{Number: uint64(fz.next()), Key: key[:]}}
	case 4:
		pong := &pb.Ping{Number: uint64(fz.next()), Key: key[:]}
		if len(fz.pings) > 0 && fz.next()%2 == 0 {
			pong = fz.pings[len(fz.pings)-1]
		}
		m.Content = &pb.Routed_Pong{Pong: pong}
	}
	return m
}

// sync is a SYNC for a meeting with one of a few peers, often as the answer to our CONNECT.
func (fz *fuzzer) sync() *pb.Sync {
	id, key := fz.id(), testIdentity(uint64(fz.next()%6)).Key()
	s := &pb.Sync{Number: uint64(fz.next()), Id: string(id), Key: key[:], Observed: fz.observed(), After: uint32(fz.next()) % 4}
	if e := fz.c.table.Get(id, key); e != nil && fz.next()%4 > 0 {
		if d := fz.c.reach.Dials[e.Our().Dialing]; d != nil && d.Meeting != nil {
			s.Number = d.Meeting.Number
		}
	}
	return s
}

func (fz *fuzzer) observed() []string { return []string{fmt.Sprintf("10.0.0.%d:4001", fz.next()%8)} }

// deposit is one of a few deposits, for one of a few receivers.
func (fz *fuzzer) deposit() *pb.Deposit {
	key := testIdentity(uint64(fz.next() % 6)).Key()
	return &pb.Deposit{Receiver: string(fz.id()), ReceiverKey: key[:], Sealed: []byte{fz.next() % 16}}
}

// collected is a receiver's signature for some of them.
func (fz *fuzzer) collected() *pb.Collected {
	b := fz.next()
	by := testIdentity(uint64(b % 6))
	key := by.Key()
	content := &pb.CollectedContent{Key: key[:]}
	for range 2 {
		id := pb.DepositID(fz.deposit().GetSealed())
		content.Deposits = append(content.Deposits, id[:])
	}
	return &pb.Collected{Content: by.SignCollected(content), Receipts: make([]byte, b/64)}
}

// withdraw is a depositor's word, or that of another, about some deposits.
func (fz *fuzzer) withdraw() *pb.Withdraw {
	b := fz.next()
	by := testIdentity(uint64(b % 6))
	key := testIdentity(uint64((b % 6) + b/128)).Key()
	content := &pb.WithdrawContent{Key: key[:]}
	for range 2 {
		id := pb.DepositID(fz.deposit().GetSealed())
		content.Deposits = append(content.Deposits, id[:])
	}
	return &pb.Withdraw{Content: by.SignWithdraw(content), Number: uint64(b)}
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
		a := &pb.Announcement{Type: kind, Record: fz.record(of, b%4), Hops: uint32(b) % (pb.MaxHops + 1)}
		if b%16 == 15 {
			a.Age = uint32(fz.next()) * 600_000 // up to 42 hours
		}
		if kind == pb.AnnouncementType_LOST {
			a.Accusers = []string{string(fz.id()), string(fz.id())}[:1+b%2]
		}
		switch b % 32 { // as of a newer version
		case 13:
			a.Type = 99
		case 14:
			a.Record.Signature = a.Record.Signature[:63]
		}
		list = append(list, a)
	}
	return list
}

func (fz *fuzzer) record(kind pb.AnnouncementType, id byte) *pb.Signed {
	b := fz.next()
	key := testIdentity(uint64(b % 6)).Key()
	r := &pb.Record{
		Type: kind, Id: fmt.Sprint("p", id), Key: key[:], Network: fz.network, Epoch: 1 + uint64(b/8%4), Seq: uint32(b / 32),
	}
	if fz.private {
		r.Pass = fz.pass(uint64(b%6), fmt.Sprint("p", id))
	}
	if b%16 > 1 {
		r.Addresses = []string{"10.1.1.1:5000"}
	}
	if b%64 == 33 { // as of a newer version
		r.Addresses, r.SealingKey = append([]string{"relay.example/bob"}, r.Addresses...), make([]byte, 1216)
		r.ProtoReflect().SetUnknown(inventedField(40))
	}
	payload, err := proto.Marshal(r)
	if err != nil {
		panic(err)
	}
	return &pb.Signed{Payload: payload, Signature: make([]byte, 64)}
}
