package overlay

import (
	"context"
	"math/rand/v2"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core"
	"quicpeer/overlay/messaging/delivery"
	"quicpeer/pb"
)

// answer is a batch of receipts that is due to the sender of what came over others,
// or to who has handed it over.
type answer struct {
	to       delivery.Addressee // the sender
	holder   certs.ID           // who has handed it over; empty: the sender itself
	deposit  []byte             // what was handed over
	receipts []*pb.Receipt      // none: the deposit was receipts itself
}

// maxAnswers bounds the answers that wait to be sealed; beyond it they are dropped, and
// due again when the message is repeated.
const maxAnswers = 1024

// due queues an answer.
func (n *Node) due(a answer) {
	n.owing.Add(1)
	select {
	case n.answers <- a:
	default:
		n.owing.Add(-1)
		n.log.Debug("too many receipts wait, dropped", "peer", string(a.to.ID))
	}
}

// answerAll seals and sends the answers, those to one sender together.
func (n *Node) answerAll() {
	var next *answer
	for {
		var a answer
		if next != nil {
			a, next = *next, nil
		} else {
			select {
			case a = <-n.answers:
			case <-n.ctx.Done():
				return
			}
		}
		deposits, answers := [][]byte{a.deposit}, 1
		for more := true; more; {
			select {
			case b := <-n.answers:
				if b.to == a.to && b.holder == a.holder && len(a.receipts)+len(b.receipts) <= pb.MaxLetter && len(deposits) < pb.MaxLetter {
					a.receipts, deposits = append(a.receipts, b.receipts...), append(deposits, b.deposit)
					answers++
					continue
				}
				next, more = &b, false
			default:
				more = false
			}
		}
		n.sendAnswer(a, deposits)
		n.owing.Add(int64(-answers))
	}
}

// answerPatience is how long who leaves waits for the receipts over others of what it
// has shown to be on their way (a guess: they take some milliseconds).
const answerPatience = time.Second

// awaitAnswers waits until what the program has handled is noted, and the receipts for
// what came over others have been sent.
func (n *Node) awaitAnswers() {
	ctx, cancel := context.WithTimeout(n.ctx, answerPatience)
	defer cancel()
	for n.noting.Load() > 0 || n.owing.Load() > 0 {
		if !pause(ctx) {
			return
		}
	}
}

func (n *Node) sendAnswer(a answer, deposits [][]byte) {
	var sealed []byte
	if len(a.receipts) > 0 && a.to.Sealing != (certs.SealingKey{}) {
		var err error
		if sealed, err = n.author().SealReceipts(a.to, a.receipts); err != nil {
			n.log.Debug("a receipt can't be sealed", "peer", string(a.to.ID), "error", err)
			return
		}
	}
	if a.holder == "" && sealed == nil {
		return // the author repeats the message when there is a connection
	}
	if a.holder == "" {
		n.post(told{core.Route{To: a.to.ID, Number: rand.Uint64(), Sealed: sealed}})
		return
	}
	key := n.Key()
	word := n.cfg.State.Identity.SignCollected(&pb.CollectedContent{Deposits: deposits, Key: key[:]})
	n.post(told{core.Collect{Holder: a.holder, Collected: &pb.Collected{Content: word, Receipts: sealed}}})
}
