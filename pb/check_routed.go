package pb

import (
	"cmp"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// checkRouted checks the parts of the frame that every relay must be able to read.
func checkRouted(r *Routed) error {
	for i, parent := range r.GetParents() {
		if int(parent) > i {
			return fmt.Errorf("the path is not valid")
		}
	}
	return cmp.Or(
		CheckID(r.GetFrom()),
		CheckID(r.GetTo()),
		checkIDs("passed", r.GetPassed(), MaxPassed),
		checkIDs("back", r.GetBack(), MaxPassed),
		checkLength("parents", r.GetParents(), len(r.GetPassed())),
	)
}

// OpenRouted opens a routed frame for its receiver: it returns r without the fields that this
// version does not know. The error says why the content can't be read.
func OpenRouted(r *Routed) (*Routed, error) {
	if hasUnknown(r.ProtoReflect()) {
		b, err := proto.Marshal(r)
		r = new(Routed)
		if err == nil {
			err = proto.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(b, r)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %v", ErrMalformed, err)
		}
	}
	if err := checkContent(r); err != nil {
		return nil, fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	return r, nil
}

// hasUnknown says whether m has fields, at any depth, that this version does not know.
func hasUnknown(m protoreflect.Message) bool {
	found := len(m.GetUnknown()) > 0
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.Message() == nil: // not a field of messages
		case field.IsList():
			for i := range value.List().Len() {
				found = found || hasUnknown(value.List().Get(i).Message())
			}
		default:
			found = found || hasUnknown(value.Message())
		}
		return !found
	})
	return found
}

func checkContent(r *Routed) error {
	switch c := r.GetContent().(type) {
	case *Routed_Question:
		return cmp.Or(checkLength("key", c.Question.GetSubject(), KeySize), CheckID(c.Question.GetId()))
	case *Routed_Answer:
		return checkLength("key", c.Answer.GetSubject(), KeySize)
	case *Routed_Ping:
		return checkLength("key", c.Ping.GetKey(), KeySize)
	case *Routed_Pong:
		return checkLength("key", c.Pong.GetKey(), KeySize)
	case *Routed_Envelope:
		return checkEnvelope(c.Envelope)
	case *Routed_Collected:
		return cmp.Or(
			checkSigned(c.Collected.GetContent(), maxCollected),
			checkAtMost("receipts", len(c.Collected.GetReceipts()), MaxDeposit))
	case *Routed_Connect:
		return cmp.Or(checkLength("key", c.Connect.GetKey(), KeySize), checkAtMost("addresses", len(c.Connect.GetObserved()), MaxObserved))
	case *Routed_Sync:
		return checkSync(c.Sync)
	case *Routed_Carried:
		return checkAtMost("carried bytes", len(c.Carried), MaxCarried)
	case *Routed_Redeem:
		return checkSigned(c.Redeem, maxRedemption)
	case *Routed_Withdraw:
		return checkSigned(c.Withdraw.GetContent(), maxCollected)
	case *Routed_Withdrawn:
		return nil
	case *Routed_Redeemed:
		return checkRedeemed(c.Redeemed)
	}
	return fmt.Errorf("a content that is not known")
}

func checkSync(s *Sync) error {
	return cmp.Or(
		CheckID(s.GetId()),
		checkLength("key", s.GetKey(), KeySize),
		checkAtMost("addresses", len(s.GetObserved()), MaxObserved),
		checkAtMost("milliseconds", int(s.GetAfter()), MaxAfter))
}

func checkEnvelope(e *Envelope) error {
	if e.GetPart() >= e.GetParts() || e.GetParts() > MaxParts || len(e.GetSealed()) == 0 {
		return fmt.Errorf("part %d of %d with %d bytes", e.GetPart(), e.GetParts(), len(e.GetSealed()))
	}
	return checkAtMost("sealed bytes", len(e.GetSealed()), MaxPart)
}

func checkDeposit(d *Deposit) error {
	if len(d.GetSealed()) == 0 {
		return fmt.Errorf("nothing is deposited")
	}
	return cmp.Or(
		CheckID(d.GetReceiver()),
		checkLength("key", d.GetReceiverKey(), KeySize),
		checkAtMost("sealed bytes", len(d.GetSealed()), MaxDeposit),
	)
}
