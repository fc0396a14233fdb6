package messaging

import (
	"fmt"
	"sync/atomic"

	"quicpeer/certs"
	"quicpeer/overlay/messaging/delivery"
	"quicpeer/pb"
)

// Bounds of the letters that wait to be opened (guesses); beyond them they are dropped,
// and their senders repeat them.
const (
	maxLetters     = 512
	maxLetterBytes = 16 << 20
)

// Letter is a sealed letter that has come over others.
type Letter struct {
	From   certs.ID // the peer that has sent it: its author, or a holder
	Over   uint64   // the connection over which it has come, for the owner; 0: not known
	Sealed []byte
}

// letters holds the letters that wait to be opened.
type letters struct {
	engine  *Engine
	waiting chan Letter
	bytes   atomic.Int64
}

// TakeLetter has a letter opened, if there is room.
func (e *Engine) TakeLetter(l Letter) {
	size := int64(len(l.Sealed))
	if e.letters.bytes.Load()+size <= maxLetterBytes {
		select {
		case e.letters.waiting <- l:
			e.letters.bytes.Add(size)
			return
		default:
		}
	}
	e.log.Debug("too many letters wait to be opened, dropped", "over", string(l.From))
}

// run opens the letters that have come over others, one after the other, off the loop: each
// takes some 150 µs.
func (list *letters) run() {
	e := list.engine
	select {
	case <-e.begun: // nothing is shown before
	case <-e.ctx.Done():
		return
	}
	for {
		select {
		case l := <-list.waiting:
			list.bytes.Add(-int64(len(l.Sealed)))
			if err := e.OpenLetter(l); err != nil {
				e.log.Debug("a letter over others is not taken", "over", string(l.From), "why", err)
			}
		case <-e.ctx.Done():
			return
		}
	}
}

// OpenLetter takes the messages and receipts of a letter. Neither relays nor holders are
// trusted: the author's signature proves who wrote it.
func (e *Engine) OpenLetter(letter Letter) error {
	l, err := e.author().Open(letter.Sealed)
	if err != nil {
		return err
	}
	author := delivery.Addressee{ID: certs.ID(l.GetSender()), Key: certs.PublicKey(l.GetKey())}
	if key := l.GetSealingKey(); len(key) == len(author.Sealing) { // else nothing can be sealed to it
		author.Sealing = certs.SealingKey(key)
	}
	if m := e.cfg.Members; m != nil {
		if err := m.Admit(author.ID, author.Key, l.GetPass()); err != nil {
			return err
		}
	}
	if !e.directory.mayBe(author.ID, author.Key) {
		return fmt.Errorf("%s is the ID of another key than the author's", author.ID)
	}
	var holder certs.ID
	var deposit []byte
	if letter.From != author.ID {
		id := pb.DepositID(letter.Sealed)
		holder, deposit = letter.From, id[:]
	}
	if len(l.GetReceipts()) > 0 {
		if r := e.directory.existing(author.ID); r != nil {
			for _, word := range l.GetReceipts() {
				r.relayedReceipt(author.Key, word, letter.Over)
			}
		}
	}
	if len(l.GetMessages()) > 0 {
		p := &delivery.Parcel{
			Messages: l.GetMessages(), After: delivery.Position{Epoch: l.GetAfterEpoch(), Counter: l.GetAfterCounter()},
			Answer: holder, Deposit: deposit, Over: letter.Over,
		}
		if s := e.senders.of(author.Key, nil); s != nil {
			s.offer(p, author)
		}
	} else if holder != "" {
		e.answers.due(answer{to: author, holder: holder, deposit: deposit, over: letter.Over})
	}
	return nil
}
