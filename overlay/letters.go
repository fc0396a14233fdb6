package overlay

import (
	"fmt"

	"quicpeer/certs"
	"quicpeer/overlay/core"
	"quicpeer/overlay/messaging/delivery"
)

// Bounds of the letters that wait to be opened (guesses); beyond them they are dropped,
// and their senders repeat them.
const (
	maxLetters     = 512
	maxLetterBytes = 16 << 20
)

// queueLetter has a letter opened, if there is room.
func (n *Node) queueLetter(e core.Envelope) {
	if n.letterBytes.Load()+int64(len(e.Sealed)) <= maxLetterBytes {
		select {
		case n.letters <- e:
			n.letterBytes.Add(int64(len(e.Sealed)))
			return
		default:
		}
	}
	n.log.Debug("too many letters wait to be opened, dropped", "over", string(e.From))
}

// openLetters opens what has come over others, one after the other, off the loop:
// it takes some 150 µs for each.
func (n *Node) openLetters() {
	select {
	case <-n.ready: // nothing is shown before
	case <-n.ctx.Done():
		return
	}
	for {
		select {
		case e := <-n.letters:
			n.letterBytes.Add(-int64(len(e.Sealed)))
			if err := n.openLetter(e); err != nil {
				n.log.Debug("a letter over others is not taken", "over", string(e.From), "why", err)
			}
		case <-n.ctx.Done():
			return
		}
	}
}

// openLetter takes the messages and receipts of a letter. Whoever passed it on, or
// has kept it, is not trusted: the author's signature says who wrote it.
func (n *Node) openLetter(e core.Envelope) error {
	l, err := n.author().Open(e.Sealed)
	if err != nil {
		return err
	}
	author := delivery.Addressee{ID: certs.ID(l.GetSender()), Key: certs.PublicKey(l.GetKey())}
	if key := l.GetSealingKey(); len(key) == len(author.Sealing) { // else nothing can be sealed to it
		author.Sealing = certs.SealingKey(key)
	}
	if key, known := n.keyOf(author.ID); known && key != author.Key {
		return fmt.Errorf("%s is the ID of another key than the author's", author.ID)
	}
	var holder certs.ID
	var deposit []byte
	if e.From != author.ID {
		id := core.DepositID(e.Sealed)
		holder, deposit = e.From, id[:]
	}
	if len(l.GetReceipts()) > 0 {
		if o := n.existingOutbox(author.ID); o != nil {
			for _, r := range l.GetReceipts() {
				o.relayedReceipt(author.Key, r)
			}
		}
	}
	if len(l.GetMessages()) > 0 {
		p := &delivery.Parcel{
			Messages: l.GetMessages(), After: delivery.Position{Epoch: l.GetAfterEpoch(), Counter: l.GetAfterCounter()},
			Answer: holder, Deposit: deposit,
		}
		if s := n.senderOf(author.Key, nil); s != nil {
			s.offer(p, author)
		}
	} else if holder != "" {
		n.due(answer{to: author, holder: holder, deposit: deposit})
	}
	return nil
}

// keyOf is the key that an ID stands for: of who has it in the table, else of who
// had it when it was met.
func (n *Node) keyOf(id certs.ID) (certs.PublicKey, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if key, ok := n.present[id]; ok {
		return key, true
	}
	k, ok := n.known[id]
	return k.key, ok
}
