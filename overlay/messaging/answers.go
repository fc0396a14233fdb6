package messaging

import (
	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
	"quicpeer/pb"
)

// answer is a batch of receipts due to the sender of messages that came over others, or to the
// holder that has handed them over.
type answer struct {
	to       delivery.Addressee // the sender
	holder   certs.ID           // the peer that has handed them over; empty: the sender itself
	deposit  []byte             // the ID of the deposit handed over
	over     uint64             // the connection over which these have come, the last of them
	lost     int                // how many such were lost lately
	receipts []*pb.Receipt      // none: the deposit was receipts itself
}

// maxAnswers bounds the answers that wait to be sealed; beyond it they are dropped, and
// due again when the message is repeated.
const maxAnswers = 1024

// answers holds the answers that wait to be sealed.
type answers struct {
	engine  *Engine
	waiting chan answer
}

// due queues an answer.
func (list *answers) due(a answer) {
	e := list.engine
	e.unanswered.change(1)
	select {
	case list.waiting <- a:
	default:
		e.unanswered.change(-1)
		e.log.Debug("too many receipts wait, dropped", "peer", string(a.to.ID))
	}
}

// run seals and sends the answers, those to one sender together.
func (list *answers) run() {
	e := list.engine
	var next *answer
	for {
		var a answer
		if next != nil {
			a, next = *next, nil
		} else {
			select {
			case a = <-list.waiting:
			case <-e.ctx.Done():
				return
			}
		}
		deposits, answers := [][]byte{a.deposit}, 1
		for more := true; more; {
			select {
			case b := <-list.waiting:
				if b.to == a.to && b.holder == a.holder && len(a.receipts)+len(b.receipts) <= pb.MaxLetter && len(deposits) < pb.MaxLetter {
					a.receipts, deposits = append(a.receipts, b.receipts...), append(deposits, b.deposit)
					a.over, a.lost = b.over, b.lost
					answers++
					continue
				}
				next, more = &b, false
			default:
				more = false
			}
		}
		list.send(a, deposits)
		e.unanswered.change(-answers)
	}
}

// send seals and sends an answer.
func (list *answers) send(a answer, deposits [][]byte) {
	e := list.engine
	var sealed []byte
	if len(a.receipts) > 0 && a.to.Sealing != (certs.SealingKey{}) {
		var err error
		if sealed, err = e.author().SealReceipts(a.to, a.receipts); err != nil {
			e.log.Debug("a receipt can't be sealed", "peer", string(a.to.ID), "error", err)
			return
		}
	}
	if a.holder == "" && sealed == nil {
		return // the author repeats the message when there is a connection
	}
	if a.holder == "" {
		e.cfg.Wish(LetterWish{To: a.to.ID, Sealed: sealed, Tries: a.lost, Over: a.over})
		return
	}
	key := e.cfg.Identity.Key()
	word := e.cfg.Identity.SignCollected(&pb.CollectedContent{Deposits: deposits, Key: key[:]})
	e.cfg.Wish(CollectWish{a.holder, a.over, &pb.Collected{Content: word, Receipts: sealed}})
}
