package pb_test

import (
	"bufio"
	"bytes"
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
		if c, err := pb.ParseBroadcast(m.GetBroadcast().GetContent()); err == nil && len(c.GetId()) != pb.MessageIDSize {
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
