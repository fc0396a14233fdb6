package messaging

import (
	"slices"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
	"quicpeer/pb"
)

// Wish is a request of an engine to the network: one of the types below. They are granted on
// the owner's loop, in the order in which they come.
type Wish interface{ isWish() }

// LinkWish: messages wait for a peer without a link, or its link has ended: the owner
// calls [Engine.Match].
type LinkWish struct{ To certs.ID }

// LetterWish: a sealed letter of messages or receipts is to be routed to a peer.
type LetterWish struct {
	To     certs.ID
	Sealed []byte
	Tries  int    // how many letters to the peer had no answer, since the last that had; of answers, how many ever
	Over   uint64 // the connection over which came what it answers; 0: it answers nothing
}

// AnsweredWish: letters to a peer had no answer, and now one has, over that connection. So the ways that
// the others have taken lead nowhere.
type AnsweredWish struct {
	By   certs.ID
	Over uint64
}

// CarryWish: a link over others is wanted for the messages to a peer. The owner brings one up, or
// calls Failed.
type CarryWish struct {
	To certs.ID

	from *receiver
}

// Failed says that there will be no such link now.
func (w CarryWish) Failed() {
	if w.from != nil { // else no message waits for it
		w.from.relayed.notCarried()
	}
}

// CollectWish: the holder that has handed over deposits for us must learn that they have come.
type CollectWish struct {
	Holder certs.ID
	Over   uint64 // the connection over which they have come
	Word   *pb.Collected
}

// DepositWish: a sealed letter is to be kept by others, unless it is Withdrawn. The owner
// then calls Taken.
type DepositWish struct {
	Deposit *pb.Deposit

	from  *receiver
	batch []*delivery.Outgoing
	taken chan bool // has room for the answer
}

// WithdrawWish: holders must drop all deposits for a peer. The remaining messages for it are
// left anew before, if [Engine.LeaveLater] says that there are any; or, if the message is in Past
// deposits alone, they are left already.
type WithdrawWish struct {
	To   certs.ID
	Past bool
}

func (LinkWish) isWish()     {}
func (LetterWish) isWish()   {}
func (AnsweredWish) isWish() {}
func (CarryWish) isWish()    {}
func (CollectWish) isWish()  {}
func (DepositWish) isWish()  {}
func (WithdrawWish) isWish() {}

// Withdrawn says that one of its messages was cancelled while they were sealed.
func (w DepositWish) Withdrawn() bool {
	r := w.from
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(w.batch, func(m *delivery.Outgoing) bool { return m.Cancelled })
}

// Taken says whether it is going to be kept by others.
func (w DepositWish) Taken(ok bool) { w.taken <- ok }
