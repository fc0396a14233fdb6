package core

import (
	"google.golang.org/protobuf/proto"

	"quicpeer/pb"
)

// What a life in a private network has beside others, for FuzzReceivePrivate.

// signedAs is a payload with a signature that differs by its maker, and counts as valid.
func signedAs(m proto.Message, by byte) *pb.Signed {
	payload, err := proto.Marshal(m)
	if err != nil {
		panic(err)
	}
	s := &pb.Signed{Payload: payload, Signature: make([]byte, 64)}
	s.Signature[0] = by
	return s
}

// someGrant is a grant for one of a few keys; their admins are the keys 4 and 5.
func someGrant(identity uint64, id string, number uint64, admin bool, by byte) *pb.Signed {
	key := testIdentity(identity).Key()
	return signedAs(&pb.Grant{Id: id, Key: key[:], Number: number, Admin: admin}, by)
}

// pass is a pass, as a rule one that fits.
func (fz *fuzzer) pass(identity uint64, id string) *pb.Pass {
	b := fz.next()
	admin := uint64(4 + b%2)
	issuer := someGrant(admin, "admin", 1, true, 9)
	switch b % 16 {
	case 0:
		return nil
	case 1:
		return &pb.Pass{Grant: someGrant(identity, id, 1, true, 9)}
	case 2:
		return &pb.Pass{Grant: someGrant(identity, "p9", 1, false, 9), Issuer: issuer}
	case 3:
		return &pb.Pass{Grant: someGrant(identity, id, 1, true, 9), Issuer: issuer}
	}
	return &pb.Pass{Grant: someGrant(identity, id, uint64(b/4), false, byte(admin)), Issuer: issuer}
}

// removed is the removal of one of a few peers, and sometimes one of its admins.
func (fz *fuzzer) removed() *pb.Announcement {
	b := fz.next()
	key := testIdentity(uint64(b % 6)).Key()
	r := &pb.Removal{Id: string(fz.id()), Key: key[:]}
	if b%16 == 5 {
		r.Keep = [][]byte{make([]byte, pb.KeepSize)}
	}
	a := &pb.Announcement{Type: pb.AnnouncementType_REMOVED, Record: signedAs(r, b/16)}
	if b%4 > 0 {
		a.Issuer = someGrant(uint64(4+b%2), "admin", 1, b%32 != 1, 9)
	}
	return a
}

func (fz *fuzzer) redemption() *pb.Signed {
	return redemption(900+uint64(fz.next()%3), []uint64{0, 4, 5}[fz.next()%3], uint64(fz.next()%6), string(fz.id()))
}

func (fz *fuzzer) redeemed() *pb.Redeemed {
	ticket, b := testIdentity(900+uint64(fz.next()%3)).Key(), fz.next()
	return &pb.Redeemed{Ticket: ticket[:], Code: pb.HandshakeCode(b % 13), Pass: fz.pass(uint64(b%6), string(fz.id()))}
}

// privateContent is a well-formed frame.
func (fz *fuzzer) privateContent() proto.Message {
	switch b := fz.next(); b % 6 {
	case 0:
		return &pb.HandshakeStart{Version: 1, Network: fz.network, Id: string(fz.id()), Redemption: fz.redemption()}
	case 1:
		return &pb.HandshakeResponse{Code: pb.HandshakeCode_REMOVED_FROM_NETWORK, Removal: fz.removed()}
	case 2:
		return &pb.HandshakeResponse{Code: pb.HandshakeCode_GRANTED, Pass: fz.pass(0, "p1")}
	case 3:
		m := &pb.Routed{From: string(fz.id()), To: "p1", Passed: []string{"p2"}, Parents: []byte{0}, Content: &pb.Routed_Redeem{Redeem: fz.redemption()}}
		if b >= 128 {
			m.Content = &pb.Routed_Redeemed{Redeemed: fz.redeemed()}
		}
		return m
	case 4:
		return piece(fz.removed())
	}
	return propagation(fz.removed(), fz.removed())
}

// stepPrivate is what the driver says.
func (fz *fuzzer) stepPrivate() {
	if fz.next()%2 == 0 {
		fz.c.Step(fz.now, Remove{Proof: fz.removed()})
		return
	}
	fz.c.Step(fz.now, Redeemed{Number: uint64(fz.next() % 8), Answer: fz.redeemed()})
}
