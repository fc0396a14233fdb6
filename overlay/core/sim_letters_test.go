package core

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
)

// What the pretend driver does with envelopes and custody: it seals nothing, so that a
// letter is its heading and padding, keeps what is to be kept on the machine's disk, and
// confirms each letter by a receipt.

// disk is what outlives the processes of a machine.
type disk struct {
	kept     []onDisk
	letters  map[string]time.Duration // that have come, and when first
	receipts map[string]bool
}

type onDisk struct {
	id    [pb.DepositIDSize]byte
	kept  Kept
	since time.Duration
}

// pretend is a letter, or the receipt for one, of a size.
func pretend(kind string, from, to certs.ID, n, size int) []byte {
	b := fmt.Appendf(nil, "%s %s %s %d\n", kind, from, to, n)
	return append(b, make([]byte, max(0, size-len(b)))...)
}

// heading is what it says.
func heading(sealed []byte) (kind string, from, to certs.ID, n int) {
	line, _, _ := bytes.Cut(sealed, []byte("\n"))
	fmt.Sscanf(string(line), "%s %s %s %d", &kind, &from, &to, &n)
	return kind, from, to, n
}

// keeps is what the last run of the machine has kept for others.
func (n *node) keeps() []Kept {
	var list []Kept
	for _, d := range n.disk.kept {
		d.kept.Age = n.world.now - d.since
		list = append(list, d.kept)
	}
	return list
}

// store writes what the core wants kept.
func (n *node) store(writes []CustodyWrite) {
	for _, write := range writes {
		n.world.hash(n.index, "custody", write.ID, write.Kept != nil)
		had := len(n.disk.kept)
		n.disk.kept = slices.DeleteFunc(n.disk.kept, func(d onDisk) bool { return d.id == write.ID })
		switch {
		case write.Kept != nil && len(n.disk.kept) < had:
			n.world.fatal("%s keeps something twice", n.id)
		case write.Kept != nil:
			n.disk.kept = append(n.disk.kept, onDisk{write.ID, *write.Kept, n.world.now})
		case len(n.disk.kept) == had:
			n.world.fatal("%s drops what it does not keep", n.id)
		}
	}
}

// takeLetters stores what is to be kept and answers what has come.
func (p *process) takeLetters(out Effects) {
	w, n := p.node.world, p.node
	n.store(out.Custody)
	for _, r := range out.Refused {
		w.hash(n.index, r)
		w.note(n.id, "refused", r)
	}
	for _, e := range out.Envelopes {
		w.hash(n.index, e.From, e.Number, len(e.Sealed))
		kind, from, to, number := heading(e.Sealed)
		id := DepositID(e.Sealed)
		deposited := EnvelopeNumber(id) == e.Number
		w.note(n.id, "envelope", kind, from, number, "by", e.From, deposited)
		if to != n.id {
			w.fatal("%s gets a letter for %s", n.id, to)
		}
		var receipt []byte
		if name := fmt.Sprint(from, number); kind == "letter" {
			if _, ok := n.disk.letters[name]; !ok {
				if n.disk.letters == nil {
					n.disk.letters = make(map[string]time.Duration)
				}
				n.disk.letters[name] = w.now
			}
			receipt = pretend("receipt", n.id, from, number, 0)
		} else {
			if n.disk.receipts == nil {
				n.disk.receipts = make(map[string]bool)
			}
			n.disk.receipts[name] = true
		}
		switch key := n.identity.Key(); {
		case deposited:
			content := n.identity.SignCollected(&pb.CollectedContent{Deposits: [][]byte{id[:]}, Key: key[:]})
			p.core.Step(w.now, Collect{Holder: e.From, Collected: &pb.Collected{Content: content, Receipts: receipt}})
		case receipt != nil:
			p.core.Step(w.now, Route{To: e.From, Number: w.rng.Uint64(), Sealed: receipt})
		}
	}
	if len(out.Envelopes) > 0 {
		p.drain()
	}
}

// write sends a letter over others, at most so many times, one each two seconds until
// its receipt has come.
func (p *process) write(to *node, number, size, times int) {
	w := p.node.world
	var try func()
	try = func() {
		if p.dead || times == 0 || p.node.disk.receipts[fmt.Sprint(to.id, number)] {
			return
		}
		times--
		w.note(p.node.id, "write", number, "to", to.id)
		p.core.Step(w.now, Route{To: to.id, Number: w.rng.Uint64(), Sealed: pretend("letter", p.node.id, to.id, number, size)})
		p.drain()
		w.at(w.now+2*time.Second, try)
	}
	try()
}

// leaveWithOthers deposits a letter.
func (p *process) leaveWithOthers(to *node, number, size int) {
	key := to.identity.Key()
	p.core.Step(p.node.world.now, Deposit{Deposit: &pb.Deposit{
		Receiver: string(to.id), ReceiverKey: key[:], Sealed: pretend("letter", p.node.id, to.id, number, size),
	}})
	p.drain()
}

// has says that letters 0 to n-1 of somebody have come.
func (n *node) hasLetters(from *node, count int) bool {
	for i := range count {
		if _, ok := n.disk.letters[fmt.Sprint(from.id, i)]; !ok {
			return false
		}
	}
	return true
}

// hasReceipts says that all of somebody's receipts have come.
func (n *node) hasReceipts(of *node, count int) bool {
	for i := range count {
		if !n.disk.receipts[fmt.Sprint(of.id, i)] {
			return false
		}
	}
	return true
}

// checkKept looks whether what the living keep for a peer has no hole: 0, 1, 2, ...
func (w *world) checkKept(from, to *node) (holders int) {
	for _, n := range w.nodes {
		next := 0
		for _, d := range n.disk.kept {
			kind, author, receiver, number := heading(d.kept.Deposit.GetSealed())
			if kind != "letter" || author != from.id || receiver != to.id {
				continue
			}
			if number != next {
				w.fatal("%s keeps number %d behind %d", n.id, number, next-1)
			}
			next++
		}
		if next > 0 {
			holders++
		}
	}
	return holders
}
