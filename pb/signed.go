package pb

import (
	"cmp"
	"fmt"
	"net/netip"

	"google.golang.org/protobuf/proto"
)

// ParseRecord opens the payload of a Signed record and checks it as [Check]
// does a frame. It does not check the signature.
func ParseRecord(s *Signed) (*Record, error) {
	r := new(Record)
	if err := unmarshal(s, r); err != nil {
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
	if err := cmp.Or(
		checkAddresses(r.GetAddresses(), MaxAddresses),
		checkAddresses(r.GetObserved(), MaxObserved),
	); err != nil {
		return err
	}
	if r.GetEpoch() == 0 {
		return fmt.Errorf("no epoch")
	}
	if len(r.GetSealingKey()) == 0 {
		return nil
	}
	return checkLength("sealing key", r.GetSealingKey(), KeySize)
}

func checkAddresses(list []string, most int) error {
	if err := checkAtMost("addresses", len(list), most); err != nil {
		return err
	}
	for _, a := range list {
		if err := checkAtMost("address", len(a), maxAddress); err != nil {
			return err
		}
		if ap, err := netip.ParseAddrPort(a); err != nil || ap.Port() == 0 {
			return fmt.Errorf("address %q is no IP:PORT", a)
		}
	}
	return nil
}

// ParseBroadcast opens the payload of a signed broadcast and checks it. It does
// not check the signature.
func ParseBroadcast(s *Signed) (*BroadcastContent, error) {
	c := new(BroadcastContent)
	if err := unmarshal(s, c); err != nil {
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

// ParseTestimony opens the payload of a signed testimony and checks it. It does
// not check the signature.
func ParseTestimony(s *Signed) (*Testimony, error) {
	t := new(Testimony)
	if err := unmarshal(s, t); err != nil {
		return nil, fmt.Errorf("%w: testimony: %v", ErrMalformed, err)
	}
	if err := cmp.Or(
		checkLength("subject", t.GetSubject(), KeySize),
		checkLength("key", t.GetKey(), KeySize),
		CheckID(t.GetWitness()),
	); err != nil {
		return nil, fmt.Errorf("%w: testimony: %v", ErrMalformed, err)
	}
	return t, nil
}

// ParseLetter opens the payload of a signed letter and checks it. It does not check
// the signature.
func ParseLetter(s *Signed) (*Letter, error) {
	l := new(Letter)
	if err := unmarshal(s, l); err != nil {
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
		checkLength("sealing key", l.GetSealingKey(), KeySize),
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
	if err := unmarshal(s, c); err != nil {
		return nil, fmt.Errorf("%w: collected: %v", ErrMalformed, err)
	}
	err := cmp.Or(checkLength("key", c.GetKey(), KeySize), checkAtMost("deposits", len(c.GetDeposits()), MaxLetter))
	for _, d := range c.GetDeposits() {
		err = cmp.Or(err, checkLength("deposit", d, DepositIDSize))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: collected: %v", ErrMalformed, err)
	}
	return c, nil
}

func unmarshal(s *Signed, m proto.Message) error {
	return proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(s.GetPayload(), m)
}
