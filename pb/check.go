package pb

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"unicode"
	"unicode/utf8"
)

// Limits of what messages carry. Bytes, unless said otherwise.
const (
	MaxBody          = 1 << 20   // Message.content
	MaxBroadcast     = 64 << 10  // BroadcastContent.content
	MaxReaction      = 64        // the body of a REACTION
	MaxOffer         = 16 << 10  // the body of a FILE
	MaxRanges        = 1024      // entries in BroadcastsHeld and BroadcastsWanted
	MaxNumber        = 1<<63 - 1 // of a broadcast
	MaxID            = 64
	MaxNetwork       = 64
	MaxSoftware      = 64
	MaxReason        = 256
	MaxAddresses     = 16      // entries in Record.addresses
	MaxObserved      = 4       // entries in Record.observed
	MaxRooms         = 32      // entries in Record.rooms
	MaxRoom          = 32      // of a room's name, beside the '#'
	MaxTags          = 1 << 10 // Record.tags
	MaxAfter         = 1000    // milliseconds, see Sync
	MaxToldEpoch     = 1 << 53 // HandshakeResponse.epoch, in ms: beyond any clock, with room for epochs above it
	MaxAccusers      = 2       // of a LOST
	MaxAnnouncements = 64      // entries in a frame
	MaxCandidates    = 8       // entries in a refusal
	MaxHops          = 64      // first arrival takes up to 22 hops at 100,000 peers; three times that
	MaxNeighbours    = 16      // entries in a list of neighbours
	MaxCarried       = 1484    // a byte and a carried QUIC packet; see Routed.carried
	MaxPassed        = 16      // peers that a routed frame visits; a bound of the design
	MaxRoutes        = 16 << 10
	MaxTableRanges   = 512      // in a Reconcile
	MaxHashes        = 16       // of a TableRange
	MaxPart          = 32 << 10 // Envelope.sealed
	MaxParts         = 40       // parts of an Envelope: a letter with a message of MaxBody and some room
	MaxDeposit       = 100 << 10
	MaxLetter        = 256 // entries in Letter.messages, Letter.receipts, CollectedContent.deposits, WithdrawContent.deposits
	DepositIDSize    = 16
	MessageIDSize    = 16
	KeySize          = 32 // ed25519.PublicKeySize
	signatureSize    = 64 // ed25519.SignatureSize
	maxRecord        = 4 << 10
	maxCollected     = 8 << 10
	maxBroadcastSize = MaxBroadcast + 2<<10
	maxAddress       = 64 // "[…]:65535" with an IPv6 address and a zone name
)

// CheckID reports why id is not a valid ID of a peer: 1 to 64 of letters (a-z, A-Z), digits,
// '.', '_' and '-'.
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

// CheckRoom reports why name is not a valid name of a room: '#', and 1 to 32 of lower-case letters
// (a-z), digits, '.', '_' and '-'.
func CheckRoom(name string) error {
	if len(name) < 2 || name[0] != '#' {
		return fmt.Errorf("a room's name is '#' and 1 to %d characters", MaxRoom)
	}
	if len(name) > 1+MaxRoom {
		return fmt.Errorf("a room's name has at most %d characters behind the '#', this one %d", MaxRoom, len(name)-1)
	}
	for _, c := range name[1:] {
		letter := 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
		if !letter && c != '.' && c != '_' && c != '-' {
			return fmt.Errorf("a room's name consists of lower-case letters, digits, '.', '_' and '-', not %q", c)
		}
	}
	return nil
}

// CheckNetwork reports why name is not a valid name of a network: at most 64 bytes of
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

// DepositID is the ID of a deposit: the first bytes of the SHA-256 of its sealed letter.
func DepositID(sealed []byte) [DepositIDSize]byte {
	sum := sha256.Sum256(sealed)
	return [DepositIDSize]byte(sum[:DepositIDSize])
}

// Check is the gate for every received frame. It returns nil if m is well formed,
// *[UnknownError] if m is to be skipped, else an error that is [ErrMalformed] and says what is
// wrong. It checks sizes, ranges and required fields, but neither signatures nor payloads of
// Signed, which [ParseRecord] and [ParseBroadcast] open. Things that one peer passes on for
// another, who may be newer than both, are checked one by one, so that they cost no peer its
// connection: announcements by [CheckAnnouncement], broadcasts by ParseBroadcast, routed
// content, by its receiver, by [OpenRouted].
func Check(m *PeerMessage) error {
	if _, known := PeerMessageType_name[int32(m.GetType())]; !known {
		return &UnknownError{Type: m.GetType()}
	}
	err := checkFields(m.GetContent())
	switch want := typeOf(m.GetContent()); {
	case m.GetContent() == nil && m.GetType() != PeerMessageType_PEER_MESSAGE_TYPE_UNSPECIFIED:
		return &UnknownError{Type: m.GetType()}
	case err == nil && m.GetType() != want:
		err = fmt.Errorf("type %v with content of type %v", m.GetType(), want)
	}
	if err != nil {
		return fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	return nil
}

// typeOf is the type of a frame with this content.
func typeOf(content isPeerMessage_Content) PeerMessageType {
	switch content.(type) {
	case *PeerMessage_Message:
		return PeerMessageType_MESSAGE
	case *PeerMessage_Receipt:
		return PeerMessageType_RECEIPT
	case *PeerMessage_HandshakeStart, *PeerMessage_HandshakeResponse:
		return PeerMessageType_HANDSHAKE
	case *PeerMessage_Propagation:
		return PeerMessageType_ANNOUNCEMENT
	case *PeerMessage_Neighbour:
		return PeerMessageType_NEIGHBOUR
	case *PeerMessage_Reconcile:
		return PeerMessageType_SYNC
	case *PeerMessage_NeighbourList, *PeerMessage_Routes:
		return PeerMessageType_ROUTES
	case *PeerMessage_Routed:
		return PeerMessageType_ROUTED
	case *PeerMessage_Deposit, *PeerMessage_DepositAnswer:
		return PeerMessageType_CUSTODY
	case *PeerMessage_Observed, *PeerMessage_Sync, *PeerMessage_LinkPing, *PeerMessage_LinkPong:
		return PeerMessageType_REACH
	case *PeerMessage_Broadcast, *PeerMessage_BroadcastsHeld, *PeerMessage_BroadcastsWanted:
		return PeerMessageType_BROADCAST
	case *PeerMessage_PastWanted, *PeerMessage_PastGiven:
		return PeerMessageType_PAST
	}
	return PeerMessageType_PEER_MESSAGE_TYPE_UNSPECIFIED
}

func checkFields(content isPeerMessage_Content) error {
	switch c := content.(type) {
	case *PeerMessage_Message:
		return checkMessage(c.Message)
	case *PeerMessage_Receipt:
		return checkReceipt(c.Receipt)
	case *PeerMessage_HandshakeStart:
		return checkHandshakeStart(c.HandshakeStart)
	case *PeerMessage_HandshakeResponse:
		return checkHandshakeResponse(c.HandshakeResponse)
	case *PeerMessage_Propagation:
		return checkPropagation(c.Propagation)
	case *PeerMessage_Reconcile:
		return checkReconcile(c.Reconcile)
	case *PeerMessage_NeighbourList:
		return checkIDs("neighbours", c.NeighbourList.GetIds(), MaxNeighbours)
	case *PeerMessage_Routes:
		return checkRoutes(c.Routes)
	case *PeerMessage_Routed:
		return checkRouted(c.Routed)
	case *PeerMessage_Deposit:
		return checkDeposit(c.Deposit)
	case *PeerMessage_DepositAnswer:
		return cmp.Or(
			checkLength("deposit", c.DepositAnswer.GetDeposit(), DepositIDSize),
			checkAtMost("reason", len(c.DepositAnswer.GetReason()), MaxReason))
	case *PeerMessage_Neighbour, *PeerMessage_Observed, *PeerMessage_LinkPing, *PeerMessage_LinkPong:
		return nil
	case *PeerMessage_Sync:
		return checkSync(c.Sync)
	case *PeerMessage_Broadcast:
		return checkAtMost("hops", int(c.Broadcast.GetHops()), MaxHops)
	case *PeerMessage_BroadcastsHeld:
		return checkRanges(c.BroadcastsHeld.GetRanges())
	case *PeerMessage_BroadcastsWanted:
		return checkRanges(c.BroadcastsWanted.GetRanges())
	case *PeerMessage_PastWanted:
		return checkPastWanted(c.PastWanted)
	case *PeerMessage_PastGiven:
		return checkPastGiven(c.PastGiven)
	}
	return fmt.Errorf("no content")
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
	if m.Data != nil && m.GetContent() != "" {
		return fmt.Errorf("a message with content and data")
	}
	if m.Data != nil && m.GetKind().known() && m.GetKind() != MessageKind_PLAIN {
		return fmt.Errorf("data of kind %v", m.GetKind())
	}
	return cmp.Or(
		checkReferences(m),
		checkAtMost("content", len(m.GetContent()), MaxBody),
		checkAtMost("data", len(m.GetData()), MaxBody),
	)
}

// referring is a message that may refer to another one.
type referring interface {
	GetReplyTo() []byte
	GetKind() MessageKind
	GetAbout() []byte
	GetContent() string
}

// checkReferences requires about exactly in the kinds that have it. Of a kind that is not known anything is let
// through: it counts as PLAIN.
func checkReferences(m referring) error {
	if len(m.GetReplyTo()) > 0 {
		if err := checkLength("reply_to", m.GetReplyTo(), MessageIDSize); err != nil {
			return err
		}
	}
	switch kind := m.GetKind(); kind {
	case MessageKind_PLAIN, MessageKind_ACTION:
		return checkLength("about", m.GetAbout(), 0)
	case MessageKind_FILE:
		return cmp.Or(checkAtMost("offer", len(m.GetContent()), MaxOffer), checkLength("about", m.GetAbout(), 0))
	case MessageKind_REACTION:
		if m.GetContent() == "" {
			return fmt.Errorf("an empty reaction")
		}
		if err := checkAtMost("reaction", len(m.GetContent()), MaxReaction); err != nil {
			return err
		}
		fallthrough
	case MessageKind_EDIT, MessageKind_DELETE:
		return checkLength("about", m.GetAbout(), MessageIDSize)
	}
	return nil
}

// known says that this version knows the kind.
func (k MessageKind) known() bool { return k >= MessageKind_PLAIN && k <= MessageKind_FILE }

// Reference is what a message is, and which one it is about: as it says, but for a kind that this version does
// not know, which counts as PLAIN and is about none.
func Reference(m interface {
	GetKind() MessageKind
	GetAbout() []byte
}) (kind MessageKind, about [MessageIDSize]byte) {
	if !m.GetKind().known() {
		return MessageKind_PLAIN, about
	}
	copy(about[:], m.GetAbout()) // all of it, or there is none
	return m.GetKind(), about
}

func checkReceipt(r *Receipt) error {
	if err := checkLength("message ID", r.GetId(), MessageIDSize); err != nil {
		return err
	}
	return checkAtMost("reason", len(r.GetReason()), MaxReason)
}

// Version is HandshakeStart.version.
const Version = 1

// checkHandshakeStart checks the sizes alone, and nothing of another version. The handshake
// itself judges the version, the ID and the network's name, since it answers with a reason.
func checkHandshakeStart(h *HandshakeStart) error {
	if h.GetVersion() != Version {
		return nil
	}
	if err := checkAtMost("network", len(h.GetNetwork()), MaxNetwork); err != nil {
		return err
	}
	if err := checkAtMost("ID", len(h.GetId()), 4*MaxID); err != nil {
		return err
	}
	if err := cmp.Or(
		checkAtMost("software", len(h.GetSoftware()), MaxSoftware),
		checkNumber(h.GetBroadcasts()),
	); err != nil {
		return err
	}
	if r := h.GetRedemption(); r != nil {
		if err := checkSigned(r, maxRedemption); err != nil {
			return err
		}
	}
	return checkSigned(h.GetRecord(), maxRecord)
}

// checkHandshakeResponse checks only the answering peer's own record: those of others can be
// of any kind.
func checkHandshakeResponse(h *HandshakeResponse) error {
	if err := cmp.Or(
		checkAtMost("reason", len(h.GetReason()), MaxReason),
		checkAtMost("software", len(h.GetSoftware()), MaxSoftware),
		checkNumber(h.GetBroadcasts()),
	); err != nil {
		return err
	}
	if err := checkAtMost("candidates", len(h.GetCandidates()), MaxCandidates); err != nil {
		return err
	}
	switch h.GetCode() {
	case HandshakeCode_OK:
		return checkSigned(h.GetRecord(), maxRecord)
	case HandshakeCode_GRANTED:
		return CheckPass(h.GetPass())
	case HandshakeCode_REMOVED_FROM_NETWORK:
		return CheckAnnouncement(h.GetRemoval())
	}
	return nil
}

func checkPropagation(p *PropagationMessage) error {
	if len(p.GetAnnouncements()) == 0 {
		return fmt.Errorf("no announcements")
	}
	return checkAtMost("announcements", len(p.GetAnnouncements()), MaxAnnouncements)
}

// CheckAnnouncement reports why a can't be read.
func CheckAnnouncement(a *Announcement) error {
	err := cmp.Or(
		checkAnnouncementType(a.GetType()),
		checkAtMost("hops", int(a.GetHops()), MaxHops),
		checkNumber(a.GetBroadcasts()),
	)
	switch {
	case a.GetType() != AnnouncementType_REMOVED:
		err = cmp.Or(err, checkSigned(a.GetRecord(), maxRecord))
	case a.GetIssuer() != nil:
		err = cmp.Or(err, checkSigned(a.GetIssuer(), maxGrant))
		fallthrough
	default:
		err = cmp.Or(err, checkSigned(a.GetRecord(), maxRemoval))
	}
	if a.GetType() == AnnouncementType_LOST {
		err = cmp.Or(err, checkIDs("accusers", a.GetAccusers(), MaxAccusers))
		if err == nil && len(a.GetAccusers()) == 0 {
			err = fmt.Errorf("no accuser")
		}
	}
	if err != nil {
		return fmt.Errorf("%w: announcement: %v", ErrMalformed, err)
	}
	return nil
}

func checkAnnouncementType(t AnnouncementType) error {
	if t < AnnouncementType_JOIN || t > AnnouncementType_REMOVED {
		return fmt.Errorf("type %v", t)
	}
	return nil
}

func checkReconcile(m *Reconcile) error {
	ranges, said, parts := m.GetRanges(), len(m.GetAnnouncements()), 0
	for i, r := range ranges {
		n := len(r.GetHashes())
		if r.GetFirst() > r.GetLast() || i > 0 && r.GetFirst() <= ranges[i-1].GetLast() {
			return fmt.Errorf("ranges of a table out of order")
		}
		if err := checkAtMost("hashes of a range", n, MaxHashes); err != nil {
			return err
		}
		if r.GetKind() != RangeKind_FINGERPRINTS {
			n = 1
		} else if n == 0 || n > 1 && r.GetLast()-r.GetFirst() < uint64(n) {
			return fmt.Errorf("%d parts of a range", n)
		}
		parts += n
	}
	switch {
	case said > 0 && (len(ranges) > 0 || !m.GetAnswer()):
		return fmt.Errorf("announcements beside ranges")
	case !m.GetAnswer() && (parts == 0 || parts >= MaxTableRanges):
		return fmt.Errorf("a question about %d ranges", parts)
	}
	return cmp.Or(checkAtMost("announcements", said, MaxAnnouncements), checkAtMost("ranges", len(ranges), MaxTableRanges))
}

func checkRoutes(r *Routes) error {
	return cmp.Or(
		checkAtMost("routes", len(r.GetPeers()), MaxRoutes),
		checkLength("hops", r.GetHops(), len(r.GetPeers())),
	)
}

func checkIDs(what string, ids []string, most int) error {
	if err := checkAtMost(what, len(ids), most); err != nil {
		return err
	}
	for _, id := range ids {
		if err := CheckID(id); err != nil {
			return err
		}
	}
	return nil
}

func checkNumber(broadcasts uint64) error {
	if broadcasts > MaxNumber {
		return fmt.Errorf("%d broadcasts", broadcasts)
	}
	return nil
}

func checkRanges(list []*BroadcastRange) error {
	if len(list) == 0 {
		return fmt.Errorf("no broadcasts")
	}
	for _, r := range list {
		if r.GetFirst() == 0 || r.GetFirst() > r.GetLast() {
			return fmt.Errorf("broadcasts %d to %d", r.GetFirst(), r.GetLast())
		}
		if err := checkNumber(r.GetLast()); err != nil {
			return err
		}
	}
	return checkAtMost("ranges of broadcasts", len(list), MaxRanges)
}

// checkPlace is CheckRoom for frames that are about what was said to everyone as well.
func checkPlace(room string) error {
	if room == Everyone {
		return nil
	}
	return CheckRoom(room)
}

func checkPastWanted(m *PastWanted) error {
	return cmp.Or(checkPlace(m.GetRoom()), checkAtMost("broadcasts had", len(m.GetHave()), MaxHave))
}

// checkPastGiven leaves the broadcasts and passes to those who open them: others have made them.
func checkPastGiven(m *PastGiven) error {
	return cmp.Or(
		checkPlace(m.GetRoom()),
		checkAtMost("broadcasts", len(m.GetBroadcasts()), MaxPast),
		checkAtMost("passes", len(m.GetPasses()), MaxPasses),
	)
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
