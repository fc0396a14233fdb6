package delivery

import (
	"bytes"
	"testing"

	"quicpeer/certs"
	"quicpeer/pb"
)

func authorOf(name string) Author {
	return Author{ID: certs.ID(name), Identity: certs.NewIdentity(bytes.Repeat([]byte(name[:1]), 32)), Network: "net"}
}

func (a Author) addressee() Addressee {
	return Addressee{ID: a.ID, Key: a.Identity.Key(), Sealing: a.Identity.SealingKey()}
}

// outgoing is a message of the author's first run.
func (a Author) outgoing(counter byte, body string) *Outgoing {
	m := &Outgoing{Position: Position{1, uint64(counter)}, Body: body}
	prefix := certs.MessagePrefix(a.Identity.Key(), 1, 0)
	copy(m.ID[:], prefix[:])
	m.ID[15] = counter
	return m
}

// TestLetter: a sealed letter opens unchanged, and for its receiver alone.
func TestLetter(t *testing.T) {
	alice, bob, eve := authorOf("alice"), authorOf("bob"), authorOf("eve")
	batch := []*Outgoing{alice.outgoing(3, "three"), alice.outgoing(5, "five")}
	sealed, err := alice.SealMessages(bob.addressee(), batch, Position{1, 2})
	if err != nil {
		t.Fatal(err)
	}
	l, err := bob.Open(sealed)
	if err != nil {
		t.Fatal(err)
	}
	after := Position{l.GetAfterEpoch(), l.GetAfterCounter()}
	if len(l.GetMessages()) != 2 || l.GetMessages()[1].GetContent() != "five" || l.GetSender() != "alice" || after != (Position{1, 2}) {
		t.Errorf("the letter is %v", l)
	}
	for _, a := range []Author{eve, alice} {
		if _, err := a.Open(sealed); err == nil {
			t.Errorf("%s opens it", a.ID)
		}
	}
	if _, err := bob.Open(nil); err == nil {
		t.Error("nothing is a letter")
	}
}

// TestLetterThatLies: a letter that is signed and sealed, but whose content a peer may not
// send.
func TestLetterThatLies(t *testing.T) {
	alice, bob := authorOf("alice"), authorOf("bob")
	key, sealing := alice.Identity.Key(), alice.Identity.SealingKey()
	bobsKey := bob.Identity.Key()
	for name, change := range map[string]func(*pb.Letter){
		"nothing":               func(*pb.Letter) {},
		"network":               func(l *pb.Letter) { l.Network = "other" },
		"receiver's key":        func(l *pb.Letter) { l.ReceiverKey = key[:] },
		"author's key":          func(l *pb.Letter) { l.Key = bobsKey[:] },
		"no key":                func(l *pb.Letter) { l.Key = nil },
		"sender":                func(l *pb.Letter) { l.Sender = "carol" },
		"sender of a message":   func(l *pb.Letter) { l.Messages[0].Sender = "carol" },
		"receiver of a message": func(l *pb.Letter) { l.Messages[0].Receiver = "carol" },
		"epoch of a message":    func(l *pb.Letter) { l.Messages[0].Epoch = 2 },
		"nonce of a message":    func(l *pb.Letter) { l.Messages[0].Nonce = 2 },
		"ID of a message":       func(l *pb.Letter) { l.Messages[0].Id[0] ^= 1 },
		"size of an ID":         func(l *pb.Letter) { l.Messages[0].Id = l.Messages[0].Id[:15] },
		"order":                 func(l *pb.Letter) { l.Messages[1].Id[15] = 1 },
		"ID of a receipt":       func(l *pb.Letter) { l.Receipts = []*pb.Receipt{{Id: make([]byte, 15)}} },
	} {
		l := &pb.Letter{
			Sender: "alice", Key: key[:], SealingKey: sealing[:], ReceiverKey: bobsKey[:], Network: "net",
			Messages: []*pb.Message{alice.Message(alice.outgoing(1, "a"), "bob"), alice.Message(alice.outgoing(2, "b"), "bob")},
		}
		change(l)
		sealed, err := certs.Seal(bob.Identity.SealingKey(), alice.Identity.SignLetter(l))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := bob.Open(sealed); (err == nil) != (name == "nothing") {
			t.Errorf("with another %s: %v", name, err)
		}
	}
}

// FuzzLetter opens letters sealed by a peer that knows the receiver's key.
func FuzzLetter(f *testing.F) {
	alice, bob := authorOf("alice"), authorOf("bob")
	sealed, err := alice.SealMessages(bob.addressee(), []*Outgoing{alice.outgoing(1, "a")}, Position{})
	if err != nil {
		f.Fatal(err)
	}
	signed, err := bob.Identity.Open(sealed)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed.GetPayload(), signed.GetSignature())
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, payload, signature []byte) {
		sealed, err := certs.Seal(bob.Identity.SealingKey(), &pb.Signed{Payload: payload, Signature: signature})
		if err != nil {
			t.Fatal(err)
		}
		l, err := bob.Open(sealed)
		if err == nil && !bytes.Equal(payload, signed.GetPayload()) {
			t.Errorf("forged: %v", l)
		}
	})
}
