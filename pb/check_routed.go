package pb

import (
	"cmp"
	"fmt"
)

func checkRouted(r *Routed) error {
	for i, parent := range r.GetParents() {
		if int(parent) > i {
			return fmt.Errorf("a way that is none")
		}
	}
	if err := cmp.Or(
		CheckID(r.GetFrom()),
		CheckID(r.GetTo()),
		checkIDs("passed", r.GetPassed(), MaxPassed),
		checkLength("parents", r.GetParents(), len(r.GetPassed())),
	); err != nil {
		return err
	}
	switch c := r.GetContent().(type) {
	case *Routed_Question:
		return cmp.Or(checkLength("key", c.Question.GetSubject(), KeySize), CheckID(c.Question.GetId()))
	case *Routed_Answer:
		if err := checkLength("key", c.Answer.GetSubject(), KeySize); err != nil || c.Answer.GetFresh() {
			return err
		}
		return checkSigned(c.Answer.GetTestimony(), maxTestimony)
	case *Routed_Accusation:
		return checkAnnouncements([]*Announcement{c.Accusation})
	case *Routed_Ping:
		return checkLength("key", c.Ping.GetKey(), KeySize)
	case *Routed_Pong:
		return checkLength("key", c.Pong.GetKey(), KeySize)
	case *Routed_Envelope:
		return checkEnvelope(c.Envelope)
	case *Routed_Refusal:
		return checkAtMost("reason", len(c.Refusal.GetReason()), MaxReason)
	case *Routed_Collected:
		return cmp.Or(
			checkSigned(c.Collected.GetContent(), maxCollected),
			checkAtMost("receipts", len(c.Collected.GetReceipts()), MaxDeposit))
	case *Routed_Call:
		return checkName(c.Call.GetId(), c.Call.GetKey())
	case *Routed_Called:
		return checkName(c.Called.GetId(), c.Called.GetKey())
	case *Routed_Go:
		return checkGo(c.Go)
	}
	return fmt.Errorf("nothing that is routed")
}

func checkName(id string, key []byte) error {
	return cmp.Or(CheckID(id), checkLength("key", key, KeySize))
}

func checkGo(g *Go) error {
	return cmp.Or(checkName(g.GetId(), g.GetKey()), checkAtMost("address", len(g.GetObserved()), maxAddress))
}

// checkAddress leaves what is in the text to whoever reads it.
func checkAddress(a string) error {
	if a == "" {
		return fmt.Errorf("no address")
	}
	return checkAtMost("address", len(a), maxAddress)
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
