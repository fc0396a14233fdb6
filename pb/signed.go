package pb

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"

	"google.golang.org/protobuf/proto"
)

// ParseRecord opens the payload of a Signed record and checks it as [Check] does a frame.
// Addresses and rooms of an unknown form, those beyond the limit, tags that are too long, and a
// sealing key of another kind are left out. It does not check the signature.
func ParseRecord(s *Signed) (*Record, error) { return parseRecord(s, func(*Record) {}) }

// ParseMember is ParseRecord in a private network, where a record need not repeat the ID and the key
// of its pass.
func ParseMember(s *Signed) (*Record, error) {
	return parseRecord(s, func(r *Record) {
		if g, err := ParseGrant(r.GetPass().GetGrant()); err == nil && r.GetId() == "" && len(r.GetKey()) == 0 {
			r.Id, r.Key = g.GetId(), g.GetKey()
		}
	})
}

func parseRecord(s *Signed, fill func(*Record)) (*Record, error) {
	r := new(Record)
	if err := unmarshal(s, maxRecord, r); err != nil {
		return nil, fmt.Errorf("%w: record: %v", ErrMalformed, err)
	}
	fill(r)
	if err := checkRecord(r); err != nil {
		return nil, fmt.Errorf("%w: record: %v", ErrMalformed, err)
	}
	r.Addresses, r.Observed = readable(r.Addresses, MaxAddresses), readable(r.Observed, MaxObserved)
	r.Rooms = readableRooms(r.Rooms)
	if len(r.Tags) > MaxTags {
		r.Tags = nil
	}
	if len(r.SealingKey) != KeySize {
		r.SealingKey = nil
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
	if r.GetEpoch() == 0 {
		return fmt.Errorf("no epoch")
	}
	return nil
}

// readable returns the addresses that this version can read, at most so many.
func readable(list []string, most int) []string {
	list = slices.DeleteFunc(list, func(a string) bool {
		ap, err := netip.ParseAddrPort(a)
		return err != nil || ap.Port() == 0 || len(a) > maxAddress
	})
	return list[:min(len(list), most)]
}

// readableRooms returns the rooms that this version can read, in order, at most so many as a peer
// can be in.
func readableRooms(list []string) []string {
	var last string
	list = slices.DeleteFunc(list, func(name string) bool {
		if CheckRoom(name) != nil || name <= last {
			return true
		}
		last = name
		return false
	})
	return list[:min(len(list), MaxRooms)]
}

// ParseBroadcast opens the payload of a signed broadcast and checks it. It does
// not check the signature.
func ParseBroadcast(s *Signed) (*BroadcastContent, error) {
	c := new(BroadcastContent)
	if err := unmarshal(s, maxBroadcastSize, c); err != nil {
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
	if c.GetRoom() != "" {
		if err := CheckRoom(c.GetRoom()); err != nil {
			return err
		}
	}
	return cmp.Or(checkReferences(c), checkAtMost("content", len(c.GetContent()), MaxBroadcast))
}

// ParseLetter opens the payload of a signed letter and checks it. It does not check
// the signature.
func ParseLetter(s *Signed) (*Letter, error) {
	l := new(Letter)
	if err := unmarshal(s, math.MaxInt, l); err != nil {
		return nil, fmt.Errorf("%w: letter: %v", ErrMalformed, err)
	}
	if err := checkLetter(l); err != nil {
		return nil, fmt.Errorf("%w: letter: %v", ErrMalformed, err)
	}
	return l, nil
}

func checkLetter(l *Letter) error {
	if err := cmp.Or(
		CheckID(l.GetSender()),
		checkLength("key", l.GetKey(), KeySize),
		checkLength("receiver's key", l.GetReceiverKey(), KeySize),
		CheckNetwork(l.GetNetwork()),
		checkAtMost("messages", len(l.GetMessages()), MaxLetter),
		checkAtMost("receipts", len(l.GetReceipts()), MaxLetter),
	); err != nil {
		return err
	}
	for _, m := range l.GetMessages() {
		if err := checkMessage(m); err != nil {
			return err
		}
	}
	for _, r := range l.GetReceipts() {
		if err := checkReceipt(r); err != nil {
			return err
		}
	}
	return nil
}

// ParseCollected opens the payload of a signed CollectedContent and checks it. It
// does not check the signature.
func ParseCollected(s *Signed) (*CollectedContent, error) {
	c := new(CollectedContent)
	if err := unmarshal(s, maxCollected, c); err != nil {
		return nil, fmt.Errorf("%w: collected: %v", ErrMalformed, err)
	}
	if err := checkDeposits(c.GetKey(), c.GetDeposits()); err != nil {
		return nil, fmt.Errorf("%w: collected: %v", ErrMalformed, err)
	}
	return c, nil
}

// ParseWithdraw opens the payload of a signed WithdrawContent and checks it. It does not check the
// signature.
func ParseWithdraw(s *Signed) (*WithdrawContent, error) {
	c := new(WithdrawContent)
	if err := unmarshal(s, maxCollected, c); err != nil {
		return nil, fmt.Errorf("%w: withdraw: %v", ErrMalformed, err)
	}
	if err := checkDeposits(c.GetKey(), c.GetDeposits()); err != nil {
		return nil, fmt.Errorf("%w: withdraw: %v", ErrMalformed, err)
	}
	return c, nil
}

// checkDeposits checks the names of deposits and the key of who speaks of them.
func checkDeposits(key []byte, deposits [][]byte) error {
	err := cmp.Or(checkLength("key", key, KeySize), checkAtMost("deposits", len(deposits), MaxLetter))
	for _, d := range deposits {
		err = cmp.Or(err, checkLength("deposit", d, DepositIDSize))
	}
	return err
}

// unmarshal opens a payload of at most limit bytes.
func unmarshal(s *Signed, limit int, m proto.Message) error {
	if err := checkSigned(s, limit); err != nil {
		return err
	}
	return proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(s.GetPayload(), m)
}
