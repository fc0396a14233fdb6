package overlay

import (
	"math/rand/v2"

	"quicpeer/certs"
	"quicpeer/overlay/core"
	"quicpeer/overlay/messaging"
)

// wished: the messages want something of the network.
type wished struct{ messaging.Wish }

func (w wished) handle(l *loop) {
	switch w := w.Wish.(type) {
	case messaging.LinkWish:
		l.match(w.To)
	case messaging.LetterWish:
		over := l.step(core.Route{To: w.To, Number: rand.Uint64(), Sealed: w.Sealed}).Over
		l.settle() // which queues it
		if nl := l.links.all[over]; nl != nil {
			w.Departs(nl.Link)
		} else {
			w.Departs(nil)
		}
	case messaging.AnswerWish:
		l.step(core.Route{To: w.To, Number: rand.Uint64(), Sealed: w.Sealed})
	case messaging.CollectWish:
		l.step(core.Collect{Holder: w.Holder, Collected: w.Word})
	case messaging.DepositWish:
		w.Taken(!w.Withdrawn() && l.step(core.Deposit{Deposit: w.Deposit}).OK)
	case messaging.WithdrawWish:
		l.step(core.Withdraw{Receiver: w.To, Rest: l.node.messages.LeaveLater(w.To)})
	}
}

// match has messages use the newest link to a peer, and wishes for one if there is none.
func (l *loop) match(id certs.ID) {
	if l.node.messages.Match(id) {
		l.node.messages.Dialling(id, l.step(core.Want{To: id}).OK)
	}
}
