package pb_test

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"io"
	"net/netip"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"quicpeer/pb"
)

// FuzzRead: any bytes of a stream are read, or refused with one of the documented errors; what
// was read can be written and read again.
func FuzzRead(f *testing.F) {
	for _, m := range wellFormed() {
		frame, err := pb.Append(nil, m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(frame)
		f.Add(frame[:len(frame)-1])
	}
	f.Add([]byte{})
	f.Add([]byte{0})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bufio.NewReader(bytes.NewReader(data))
		for {
			m, err := pb.Read(r, pb.MaxControlFrame)
			switch {
			case err == nil:
				roundTrip(t, m)
				continue
			case errors.As(err, new(*pb.UnknownError)):
				continue
			case len(data) == 0 && err != io.EOF:
				t.Fatalf("an empty stream: %v", err)
			case err != io.EOF && err != io.ErrUnexpectedEOF && !errors.Is(err, pb.ErrMalformed):
				t.Fatalf("an error that nobody expects: %v", err)
			}
			return
		}
	})
}

// FuzzCheck: a frame that Check accepts can be written and read again, and its parts can be
// opened or are refused.
func FuzzCheck(f *testing.F) {
	for _, m := range wellFormed() {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m := new(pb.PeerMessage)
		if proto.Unmarshal(data, m) != nil {
			return
		}
		if m.GetRouted() == nil { // as Read does
			m = new(pb.PeerMessage)
			if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, m); err != nil {
				t.Fatalf("with its unknown fields it could be read: %v", err)
			}
		}
		if err := pb.Check(m); err != nil {
			if !errors.Is(err, pb.ErrMalformed) && !errors.As(err, new(*pb.UnknownError)) {
				t.Fatalf("an error that nobody expects: %v", err)
			}
			return
		}
		roundTrip(t, m)
		for _, a := range m.GetPropagation().GetAnnouncements() {
			if r, err := pb.ParseRecord(a.GetRecord()); err == nil {
				checkRecord(t, r)
			}
			if err := pb.CheckAnnouncement(a); err == nil && (len(a.GetRecord().GetSignature()) != 64 || a.GetType() == pb.AnnouncementType_LOST && (len(a.GetAccusers()) == 0 || len(a.GetAccusers()) > pb.MaxAccusers)) {
				t.Fatalf("an announcement in bad form: %v", a)
			}
		}
		if r := m.GetRouted(); r != nil {
			if opened, err := pb.OpenRouted(r); err == nil {
				m = pb.Wrap(opened)
				checkOpened(t, opened)
			}
			for i, parent := range r.GetParents() {
				if int(parent) > i || len(r.GetPassed()) <= i {
					t.Fatalf("a path that is not valid: %v", r)
				}
			}
		}
		checkSealed(t, m)
		if c, err := pb.ParseBroadcast(m.GetBroadcast().GetContent()); err == nil && (len(c.GetId()) != pb.MessageIDSize || c.GetRoom() != "" && pb.CheckRoom(c.GetRoom()) != nil) {
			t.Fatalf("a broadcast in bad form: %v", c)
		}
	})
}

// checkOpened checks that nothing unknown is left in an opened routed frame.
func checkOpened(t *testing.T, r *pb.Routed) {
	t.Helper()
	b, err := proto.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	known := new(pb.Routed)
	if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(b, known); err != nil || !proto.Equal(known, r) {
		t.Fatalf("something is left that is not known: %v, %v", r, err)
	}
}

// checkRecord checks the parts of a record that are used.
func checkRecord(t *testing.T, r *pb.Record) {
	t.Helper()
	if len(r.GetKey()) != pb.KeySize || pb.CheckID(r.GetId()) != nil || len(r.GetAddresses()) > pb.MaxAddresses ||
		len(r.GetObserved()) > pb.MaxObserved || len(r.GetSealingKey()) != 0 && len(r.GetSealingKey()) != pb.KeySize {
		t.Fatalf("a record in bad form: %v", r)
	}
	if rooms := r.GetRooms(); len(rooms) > pb.MaxRooms || len(r.GetTags()) > pb.MaxTags || !slices.IsSorted(rooms) || len(slices.Compact(slices.Clone(rooms))) != len(rooms) {
		t.Fatalf("rooms or tags in bad form: %v", r)
	}
	for _, name := range r.GetRooms() {
		if err := pb.CheckRoom(name); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range slices.Concat(r.GetAddresses(), r.GetObserved()) {
		if _, err := netip.ParseAddrPort(a); err != nil {
			t.Fatalf("an address that can't be dialled: %v", err)
		}
	}
}

// checkSealed checks an envelope: it is within its bounds, and its content, taken for any kind
// of signed thing, is well formed or refused.
func checkSealed(t *testing.T, m *pb.PeerMessage) {
	t.Helper()
	e, d := m.GetRouted().GetEnvelope(), m.GetDeposit()
	if _, err := pb.OpenRouted(m.GetRouted()); e != nil && err == nil && (e.GetPart() >= e.GetParts() || e.GetParts() > pb.MaxParts || len(e.GetSealed()) > pb.MaxPart) {
		t.Fatalf("a part that is none: %v", e)
	}
	if d != nil && (len(d.GetReceiverKey()) != pb.KeySize || len(d.GetSealed()) == 0 || len(d.GetSealed()) > pb.MaxDeposit) {
		t.Fatalf("a deposit in bad form: %v", d)
	}
	signed := m.GetRouted().GetCollected().GetContent()
	if signed == nil {
		signed = m.GetBroadcast().GetContent()
	}
	if c, err := pb.ParseCollected(signed); err == nil && (len(c.GetKey()) != pb.KeySize || len(c.GetDeposits()) > pb.MaxLetter) {
		t.Fatalf("collected in bad form: %v", c)
	}
	if c, err := pb.ParseWithdraw(cmp.Or(m.GetRouted().GetWithdraw().GetContent(), signed)); err == nil && (len(c.GetKey()) != pb.KeySize || len(c.GetDeposits()) > pb.MaxLetter) {
		t.Fatalf("a withdrawal in bad form: %v", c)
	}
	if l, err := pb.ParseLetter(signed); err == nil && (len(l.GetKey()) != pb.KeySize || len(l.GetMessages()) > pb.MaxLetter || pb.CheckID(l.GetSender()) != nil) {
		t.Fatalf("a letter in bad form: %v", l)
	}
}

func roundTrip(t *testing.T, m *pb.PeerMessage) {
	t.Helper()
	frame, err := pb.Append(nil, m)
	if err != nil {
		t.Fatalf("what is accepted can't be written: %v", err)
	}
	again, err := pb.Read(bufio.NewReader(bytes.NewReader(frame)), len(frame))
	if err != nil || !proto.Equal(m, again) {
		t.Fatalf("read again it is another: %v", err)
	}
}

// FuzzMembership: a grant, a removal or a redemption that is opened is within its bounds, whatever it was
// signed as; and so is a pass.
func FuzzMembership(f *testing.F) {
	key := make([]byte, pb.KeySize)
	for _, m := range []proto.Message{
		&pb.Grant{Id: "bob", Key: key, Number: 1<<63 - 1, Admin: true},
		&pb.Removal{Id: "bob", Key: key, Keep: [][]byte{make([]byte, pb.KeepSize)}},
		&pb.Removal{Id: "bob", Key: key, Keep: [][]byte{make([]byte, pb.KeepSize+1)}},
		&pb.Redemption{Ticket: key, Key: key, Id: "bob", Issuer: 5},
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, b, 64)
		f.Add(b, []byte{}, 63)
	}
	f.Fuzz(func(t *testing.T, payload, issuer []byte, signature int) {
		s := &pb.Signed{Payload: payload, Signature: make([]byte, max(0, min(signature, 100)))}
		if g, err := pb.ParseGrant(s); err == nil && (len(g.GetKey()) != pb.KeySize || pb.CheckID(g.GetId()) != nil || len(payload) > 160) {
			t.Errorf("a grant in bad form: %v", g)
		}
		r, err := pb.ParseRemoval(s)
		if err == nil && (len(r.GetKey()) != pb.KeySize || pb.CheckID(r.GetId()) != nil || len(r.GetKeep()) > pb.MaxKeep) {
			t.Errorf("a removal in bad form: %v", r)
		}
		for _, k := range r.GetKeep() {
			if len(k) != pb.KeepSize {
				t.Errorf("a removal keeps %x", k)
			}
		}
		if r, err := pb.ParseRedemption(s); err == nil && (len(r.GetKey()) != pb.KeySize || len(r.GetTicket()) != pb.KeySize || pb.CheckID(r.GetId()) != nil) {
			t.Errorf("a redemption in bad form: %v", r)
		}
		pass := &pb.Pass{Grant: s, Issuer: &pb.Signed{Payload: issuer, Signature: s.GetSignature()}}
		if pb.CheckPass(pass) == nil && (proto.Size(pass) > pb.MaxPass || len(s.GetSignature()) != 64) {
			t.Errorf("a pass in bad form: %v", pass)
		}
		a := &pb.Announcement{Type: pb.AnnouncementType_REMOVED, Record: s, Issuer: pass.GetIssuer()}
		if pb.CheckAnnouncement(a) == nil && (len(payload) > 10<<10 || len(issuer) > 160 || len(s.GetSignature()) != 64) {
			t.Errorf("an announcement in bad form: %v", a)
		}
		routed := &pb.Routed{From: "a", To: "b", Content: &pb.Routed_Redeemed{Redeemed: &pb.Redeemed{Ticket: issuer, Code: pb.HandshakeCode_GRANTED, Pass: pass}}}
		if opened, err := pb.OpenRouted(routed); err == nil && (len(opened.GetRedeemed().GetTicket()) != pb.KeySize || pb.CheckPass(opened.GetRedeemed().GetPass()) != nil) {
			t.Errorf("an answer in bad form: %v", opened)
		}
	})
}
