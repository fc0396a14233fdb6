package delivery

import (
	"encoding/binary"
	"fmt"

	"quicpeer/certs"
	"quicpeer/pb"
)

// Author is a peer that writes and opens letters.
type Author struct {
	ID       certs.ID
	Identity *certs.Identity
	Network  string
	Pass     *pb.Pass // of a private network
}

// Addressee is the peer that a letter is sealed to.
type Addressee struct {
	ID      certs.ID
	Key     certs.PublicKey
	Sealing certs.SealingKey
}

// Message is a message as it travels.
func (a Author) Message(m *Outgoing, to certs.ID) *pb.Message {
	p := new(pb.Message)
	a.Fill(p, m, to)
	return p
}

// Fill makes p a message as it travels. Until p is filled anew, m must not be changed.
func (a Author) Fill(p *pb.Message, m *Outgoing, to certs.ID) {
	p.Id, p.Sender, p.Receiver, p.Content, p.Data, p.ReplyTo = m.ID[:], string(a.ID), string(to.Claimed()), m.Body, nil, nil
	p.Kind, p.About = m.Kind, nil
	p.SentAt, p.Epoch, p.Nonce, p.WantsReply = m.SentAt.UnixNano(), m.Epoch, m.Nonce, m.WantsReply
	if m.Binary {
		p.Content, p.Data = "", []byte(m.Body)
	}
	if m.ReplyTo != [16]byte{} {
		p.ReplyTo = m.ReplyTo[:]
	}
	if m.About != [16]byte{} {
		p.About = m.About[:]
	}
}

// BodyOf is the body of a message, and whether it is data.
func BodyOf(p *pb.Message) (body string, binary bool) {
	if p.Data != nil {
		return string(p.Data), true
	}
	return p.GetContent(), false
}

// SizeOf is the size of that.
func SizeOf(p *pb.Message) int { return len(p.GetContent()) + len(p.GetData()) }

// Empty takes the body out of a message.
func Empty(p *pb.Message) { p.Content, p.Data = "", nil }

// SealMessages writes, signs and seals a letter of messages. It takes some 100 µs, and fails
// for an invalid sealing key.
func (a Author) SealMessages(to Addressee, batch []*Outgoing, after Position) ([]byte, error) {
	l := &pb.Letter{AfterEpoch: after.Epoch, AfterCounter: after.Counter}
	for _, m := range batch {
		l.Messages = append(l.Messages, a.Message(m, to.ID))
	}
	return a.seal(to, l)
}

// SealReceipts is SealMessages for receipts, at most pb.MaxLetter of them.
func (a Author) SealReceipts(to Addressee, receipts []*pb.Receipt) ([]byte, error) {
	return a.seal(to, &pb.Letter{Receipts: receipts})
}

func (a Author) seal(to Addressee, l *pb.Letter) ([]byte, error) {
	key, sealing := a.Identity.Key(), a.Identity.SealingKey()
	l.Sender, l.Key, l.SealingKey = string(a.ID), key[:], sealing[:]
	l.ReceiverKey, l.Network, l.Pass = to.Key[:], a.Network, a.Pass
	return certs.Seal(to.Sealing, a.Identity.SignLetter(l))
}

// Open opens a letter and checks all that can be checked of it alone: that it was sealed to
// us, signed by its author for us and in this network, and that its messages are the author's
// own. Whether the author's ID really belongs to that key is for the caller to check, who
// knows the table.
func (a Author) Open(sealed []byte) (*pb.Letter, error) {
	signed, err := a.Identity.Open(sealed)
	if err != nil {
		return nil, err
	}
	l, err := pb.ParseLetter(signed)
	if err != nil {
		return nil, err
	}
	key := certs.PublicKey(l.GetKey())
	switch {
	case certs.PublicKey(l.GetReceiverKey()) != a.Identity.Key():
		return nil, fmt.Errorf("a letter to another peer")
	case l.GetNetwork() != a.Network:
		return nil, fmt.Errorf("a letter of another network")
	case key == a.Identity.Key() || certs.ID(l.GetSender()) == a.ID:
		return nil, fmt.Errorf("a letter in our own name")
	case !certs.VerifyLetter(key, signed):
		return nil, fmt.Errorf("a letter that its author has not signed")
	}
	before := Position{}
	for _, m := range l.GetMessages() {
		p := PositionOf(m)
		switch {
		case m.GetSender() != l.GetSender() || certs.ID(m.GetReceiver()) != a.ID:
			return nil, fmt.Errorf("a message from %s to %s in a letter from %s", m.GetSender(), m.GetReceiver(), l.GetSender())
		case [8]byte(m.GetId()[:8]) != certs.MessagePrefix(key, p.Epoch, m.GetNonce()):
			return nil, fmt.Errorf("a message ID of another peer")
		case !before.Before(p):
			return nil, fmt.Errorf("messages out of order")
		}
		before = p
	}
	return l, nil
}

func counterOf(id []byte) uint64 { return binary.BigEndian.Uint64(id[8:]) }
