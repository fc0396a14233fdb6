package pb

import (
	"fmt"
	"net/netip"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
)

// Limits of what messages carry. Bytes, unless said otherwise.
const (
	MaxBody          = 1 << 20  // Message.content
	MaxBroadcast     = 64 << 10 // BroadcastContent.content
	MaxID            = 64
	MaxNetwork       = 64
	MaxSoftware      = 64
	MaxReason        = 256
	MaxAddresses     = 16 // entries in Record.addresses
	MaxAnnouncements = 64 // entries in a frame
	MaxCandidates    = 8  // entries in a refusal
	MaxHops          = 64 // first arrival takes up to 22 hops at 100,000 peers; three times that
	MessageIDSize    = 16
	KeySize          = 32 // ed25519.PublicKeySize
	signatureSize    = 64 // ed25519.SignatureSize
	maxRecord        = 4 << 10
	maxBroadcastSize = MaxBroadcast + 2<<10
	maxAddress       = 64 // "[…]:65535" with an IPv6 address and a zone name
)

// CheckID reports why id can't be the ID of a peer: 1 to 64 of letters (a-z,
// A-Z), digits, '.', '_' and '-'.
func CheckID(id string) error {
	if id == "" {
		return fmt.Errorf("an ID can't be empty")
	}
	if len(id) > MaxID {
		return fmt.Errorf("an ID has at most %d characters, this one %d", MaxID, len(id))
	}
	for _, c := range id {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && c != '.' && c != '_' && c != '-' {
			return fmt.Errorf("an ID consists of letters, digits, '.', '_' and '-', not %q", c)
		}
	}
	return nil
}

// CheckNetwork reports why name can't be a network's name: at most 64 bytes of
// printable UTF-8.
func CheckNetwork(name string) error {
	if len(name) > MaxNetwork {
		return fmt.Errorf("a network's name has at most %d bytes, this one %d", MaxNetwork, len(name))
	}
	return checkPrintable("a network's name", name)
}

func checkPrintable(what, s string) error {
	if !utf8.ValidString(s) {
		return fmt.Errorf("%s must be UTF-8", what)
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return fmt.Errorf("%s must be printable, not %q", what, r)
		}
	}
	return nil
}

// Check is the gate: it returns nil if m is well formed, else an error that is
// [ErrMalformed] and says what is wrong. It looks at sizes, ranges and required
// fields, and judges neither signatures nor payloads of Signed, which
// [ParseRecord] and [ParseBroadcast] open.
func Check(m *PeerMessage) error {
	var (
		want PeerMessageType
		err  error
	)
	switch c := m.GetContent().(type) {
	case *PeerMessage_Message:
		want, err = PeerMessageType_MESSAGE, checkMessage(c.Message)
	case *PeerMessage_Receipt:
		want, err = PeerMessageType_RECEIPT, checkReceipt(c.Receipt)
	case *PeerMessage_HandshakeStart:
		want, err = PeerMessageType_HANDSHAKE, checkHandshakeStart(c.HandshakeStart)
	case *PeerMessage_HandshakeResponse:
		want, err = PeerMessageType_HANDSHAKE, checkHandshakeResponse(c.HandshakeResponse)
	case *PeerMessage_Propagation:
		want, err = PeerMessageType_ANNOUNCEMENT, checkPropagation(c.Propagation)
	case *PeerMessage_Neighbour:
		want, err = PeerMessageType_NEIGHBOUR, checkEnum("neighbour type", int32(c.Neighbour.GetType()), int32(NeighbourType_REFUSE))
	case *PeerMessage_SyncRequest:
		want, err = PeerMessageType_SYNC, checkSyncRequest(c.SyncRequest)
	case *PeerMessage_SyncReply:
		want, err = PeerMessageType_SYNC, checkAnnouncements(c.SyncReply.GetAnnouncements())
	case *PeerMessage_Broadcast:
		want, err = PeerMessageType_BROADCAST, checkBroadcast(c.Broadcast)
	default:
		err = fmt.Errorf("no content")
	}
	if err == nil && m.GetType() != want {
		err = fmt.Errorf("type %v with content of type %v", m.GetType(), want)
	}
	if err != nil {
		return fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	return nil
}

func checkMessage(m *Message) error {
	if err := checkLength("message ID", m.GetId(), MessageIDSize); err != nil {
		return err
	}
	if err := CheckID(m.GetSender()); err != nil {
		return fmt.Errorf("sender: %w", err)
	}
	if err := CheckID(m.GetReceiver()); err != nil {
		return fmt.Errorf("receiver: %w", err)
	}
	return checkAtMost("content", len(m.GetContent()), MaxBody)
}

func checkReceipt(r *Receipt) error {
	if err := checkLength("message ID", r.GetId(), MessageIDSize); err != nil {
		return err
	}
	if err := checkAtMost("reason", len(r.GetReason()), MaxReason); err != nil {
		return err
	}
	return checkEnum("receipt code", int32(r.GetCode()), int32(ReceiptCode_REJECTED))
}

// checkHandshakeStart leaves the ID and the network's name to the handshake,
// which answers with a reason; the sizes alone are judged here.
func checkHandshakeStart(h *HandshakeStart) error {
	if err := checkAtMost("network", len(h.GetNetwork()), MaxNetwork); err != nil {
		return err
	}
	if err := checkAtMost("ID", len(h.GetId()), 4*MaxID); err != nil {
		return err
	}
	if err := checkAtMost("software", len(h.GetSoftware()), MaxSoftware); err != nil {
		return err
	}
	return checkSigned(h.GetRecord(), maxRecord)
}

func checkHandshakeResponse(h *HandshakeResponse) error {
	if err := checkEnum("handshake code", int32(h.GetCode()), int32(HandshakeCode_LEAVING)); err != nil {
		return err
	}
	if err := checkAtMost("reason", len(h.GetReason()), MaxReason); err != nil {
		return err
	}
	if err := checkAtMost("software", len(h.GetSoftware()), MaxSoftware); err != nil {
		return err
	}
	if err := checkAtMost("candidates", len(h.GetCandidates()), MaxCandidates); err != nil {
		return err
	}
	for _, s := range h.GetCandidates() {
		if err := checkSigned(s, maxRecord); err != nil {
			return err
		}
	}
	switch h.GetCode() {
	case HandshakeCode_OK, HandshakeCode_DUPLICATE_ID, HandshakeCode_STALE:
		return checkSigned(h.GetRecord(), maxRecord)
	}
	return nil
}

func checkPropagation(p *PropagationMessage) error {
	if len(p.GetAnnouncements()) == 0 {
		return fmt.Errorf("no announcements")
	}
	return checkAnnouncements(p.GetAnnouncements())
}

func checkAnnouncements(list []*Announcement) error {
	if err := checkAtMost("announcements", len(list), MaxAnnouncements); err != nil {
		return err
	}
	for _, a := range list {
		if err := checkEnum("announcement type", int32(a.GetType()), int32(AnnouncementType_LEAVE)); err != nil {
			return err
		}
		if err := checkAtMost("hops", int(a.GetHops()), MaxHops); err != nil {
			return err
		}
		if err := checkSigned(a.GetRecord(), maxRecord); err != nil {
			return err
		}
	}
	return nil
}

func checkSyncRequest(r *SyncRequest) error {
	if r.GetAfterId() == "" && len(r.GetAfterKey()) == 0 {
		return checkLength("digest", r.GetDigest(), 32)
	}
	if err := checkLength("digest", r.GetDigest(), 0); err != nil {
		return err
	}
	if err := checkLength("key", r.GetAfterKey(), KeySize); err != nil {
		return err
	}
	return CheckID(r.GetAfterId())
}

func checkBroadcast(b *Broadcast) error {
	if err := checkAtMost("hops", int(b.GetHops()), MaxHops); err != nil {
		return err
	}
	return checkSigned(b.GetContent(), maxBroadcastSize)
}

func checkSigned(s *Signed, limit int) error {
	if len(s.GetPayload()) == 0 {
		return fmt.Errorf("nothing signed")
	}
	if err := checkAtMost("signed bytes", len(s.GetPayload()), limit); err != nil {
		return err
	}
	return checkLength("signature", s.GetSignature(), signatureSize)
}

// ParseRecord opens the payload of a Signed record and checks it as [Check]
// does a frame. It does not check the signature.
func ParseRecord(s *Signed) (*Record, error) {
	r := new(Record)
	if err := proto.Unmarshal(s.GetPayload(), r); err != nil {
		return nil, fmt.Errorf("%w: record: %v", ErrMalformed, err)
	}
	if err := checkRecord(r); err != nil {
		return nil, fmt.Errorf("%w: record: %v", ErrMalformed, err)
	}
	return r, nil
}

func checkRecord(r *Record) error {
	if t := r.GetType(); t != AnnouncementType_JOIN && t != AnnouncementType_LEAVE {
		return fmt.Errorf("type %v", t)
	}
	if err := CheckID(r.GetId()); err != nil {
		return err
	}
	if err := checkLength("key", r.GetKey(), KeySize); err != nil {
		return err
	}
	if err := CheckNetwork(r.GetNetwork()); err != nil {
		return err
	}
	if err := checkAtMost("addresses", len(r.GetAddresses()), MaxAddresses); err != nil {
		return err
	}
	for _, a := range r.GetAddresses() {
		if err := checkAtMost("address", len(a), maxAddress); err != nil {
			return err
		}
		if ap, err := netip.ParseAddrPort(a); err != nil || ap.Port() == 0 {
			return fmt.Errorf("address %q is no IP:PORT", a)
		}
	}
	if r.GetEpoch() == 0 {
		return fmt.Errorf("no epoch")
	}
	return nil
}

// ParseBroadcast opens the payload of a signed broadcast and checks it. It does
// not check the signature.
func ParseBroadcast(s *Signed) (*BroadcastContent, error) {
	c := new(BroadcastContent)
	if err := proto.Unmarshal(s.GetPayload(), c); err != nil {
		return nil, fmt.Errorf("%w: broadcast: %v", ErrMalformed, err)
	}
	if err := checkBroadcastContent(c); err != nil {
		return nil, fmt.Errorf("%w: broadcast: %v", ErrMalformed, err)
	}
	return c, nil
}

func checkBroadcastContent(c *BroadcastContent) error {
	if err := checkLength("message ID", c.GetId(), MessageIDSize); err != nil {
		return err
	}
	if err := checkLength("key", c.GetKey(), KeySize); err != nil {
		return err
	}
	if err := CheckID(c.GetSender()); err != nil {
		return err
	}
	if err := CheckNetwork(c.GetNetwork()); err != nil {
		return err
	}
	return checkAtMost("content", len(c.GetContent()), MaxBroadcast)
}

func checkLength(what string, b []byte, want int) error {
	if len(b) != want {
		return fmt.Errorf("%s of %d bytes, not %d", what, len(b), want)
	}
	return nil
}

func checkAtMost(what string, have, most int) error {
	if have > most {
		return fmt.Errorf("%s: %d, the limit is %d", what, have, most)
	}
	return nil
}

func checkEnum(what string, have, last int32) error {
	if have < 1 || have > last {
		return fmt.Errorf("%s %d is not known", what, have)
	}
	return nil
}
