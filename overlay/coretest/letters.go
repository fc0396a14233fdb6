package coretest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/custody"
	"quicpeer/pb"
)

// The pretend driver's part for messages. It seals nothing, so a letter is its heading and
// padding; it stores on the machine's disk; and it answers each letter by a receipt, the way that
// the letter has come.

// disk outlives the processes of a machine.
type disk struct {
	kept     []onDisk
	outbox   []*letter // letters without a receipt
	letters  map[string]bool
	receipts map[string]bool
	packets  map[string]bool  // of links over others, by a search
	repeats  map[certs.ID]int // the turn of receipts, drawn anew for a letter that came before

	withdrawals uint64
}

type onDisk struct {
	id    [pb.DepositIDSize]byte
	kept  base.Kept
	since time.Duration
}

// letter is a letter that a machine has written.
type letter struct {
	to           *Machine
	number, size int
	way          way
	tries        int // in vain
}

// way is how a letter goes.
type way int

const (
	direct  way = iota // over a link; over others when a dial has not reached its receiver
	relayed            // over others
	left               // with others, for a receiver that is not here
)

// sealed returns a letter, or its receipt, of a size.
func sealed(kind string, from, to certs.ID, n, size int) []byte {
	b := fmt.Appendf(nil, "%s %s %s %d\n", kind, from, to, n)
	return append(b, make([]byte, max(0, size-len(b)))...)
}

// heading parses the heading.
func heading(sealed []byte) (kind string, from, to certs.ID, n int) {
	line, _, _ := bytes.Cut(sealed, []byte("\n"))
	fmt.Sscanf(string(line), "%s %s %s %d", &kind, &from, &to, &n)
	return kind, from, to, n
}

// Send writes a message that goes over a link, as soon as there is one.
func (p *Process) Send(to *Machine, number, size int) {
	l := p.write(to, number, size, direct)
	if i := slices.IndexFunc(p.Ends, func(e *End) bool { return e.Up == to.ID }); i >= 0 {
		p.Ends[i].sendLetter(l)
		return
	}
	p.Core.Step(p.World.Now, core.Want{To: to.ID})
	p.Drain()
}

// Relay writes a letter that goes over others, at most so many times, once every two seconds
// until its receipt has come.
func (p *Process) Relay(to *Machine, number, size, times int) {
	w, l := p.World, p.write(to, number, size, relayed)
	tries := 0
	var try func()
	try = func() {
		if p.Dead || times == 0 || !slices.Contains(p.disk.outbox, l) {
			return
		}
		times--
		p.route(l, tries)
		tries++
		p.Drain()
		w.At(w.Now+2*time.Second, try)
	}
	try()
}

// LeaveFor writes a letter that is deposited with others.
func (p *Process) LeaveFor(to *Machine, number, size int) {
	p.deposit(p.write(to, number, size, left))
	p.Drain()
}

// Withdraw takes back a deposited letter, and says whether the core has to deposit the rest anew.
func (p *Process) Withdraw(to *Machine, number int) {
	rest := false
	p.disk.withdrawals++
	p.disk.outbox = slices.DeleteFunc(p.disk.outbox, func(l *letter) bool {
		rest = rest || l.to == to && l.way == left && l.number != number
		return l.to == to && l.number == number
	})
	p.Core.Step(p.World.Now, core.Withdraw{Receiver: to.ID, Rest: rest})
	p.Drain()
}

func (p *Process) write(to *Machine, number, size int, by way) *letter {
	l := &letter{to: to, number: number, size: size, way: by}
	p.disk.outbox = append(p.disk.outbox, l)
	p.tell("writes", number, to.ID)
	return l
}

func (p *Process) route(l *letter, tries int) {
	l.tries = tries
	p.Core.Step(p.World.Now, core.Route{
		To: l.to.ID, Number: p.World.Rand.Uint64(), Sealed: sealed("letter", p.ID, l.to.ID, l.number, l.size), Tries: tries,
	})
}

// deposit leaves a letter with others, after a withdrawal in other bytes than before: it is sealed
// anew.
func (p *Process) deposit(l *letter) {
	b := sealed("letter", p.ID, l.to.ID, l.number, l.size-8)
	b = binary.BigEndian.AppendUint64(b, p.disk.withdrawals)
	p.Core.Step(p.World.Now, core.Deposit{Deposit: &pb.Deposit{Receiver: string(l.to.ID), ReceiverKey: l.to.Key[:], Sealed: b}})
}

// again gives the core the letters to a peer that go this way and have no receipt.
func (p *Process) again(id certs.ID, by way) {
	for _, l := range p.disk.outbox {
		switch {
		case l.to.ID != id || l.way != by:
			continue
		case by == left:
			p.deposit(l)
		default:
			p.route(l, 0)
		}
		p.owesDrain = true
	}
}

// linkUp lets messages flow over a link.
func (p *Process) linkUp(up base.LinkUp) {
	e := p.End(up.Link)
	if e == nil {
		return
	}
	if q := e.Other.Process; !q.Hostile && !p.Hostile && (q.ID != up.ID.Claimed() || q.Key != up.Key) {
		p.World.Odd("%s takes the link to %s for one to %s", p.ID, q.ID, up.ID)
	}
	e.Up = up.ID
	for _, l := range p.disk.outbox {
		if l.to.ID == up.ID && l.way == direct {
			e.sendLetter(l)
		}
	}
}

func (e *End) sendLetter(l *letter) {
	e.send(&parcel{kind: carriesMessage, data: sealed("letter", e.Process.ID, l.to.ID, l.number, l.size)})
}

// takeEnvelope takes an envelope that has come over others.
func (p *Process) takeEnvelope(e base.Envelope) {
	w := p.World
	w.hash(traceLetter, e.Number, uint64(len(e.Sealed)))
	id := pb.DepositID(e.Sealed)
	deposited := custody.EnvelopeNumber(id) == e.Number
	p.tell("gets an envelope", e.From, e.Number, deposited)
	kind, from, _, number := heading(e.Sealed)
	if kind == "receipt" && slices.ContainsFunc(p.disk.outbox, func(l *letter) bool { return l.to.ID == from && l.number == number && l.tries > 0 }) {
		p.Core.Step(w.Now, core.Answered{By: from, Over: e.Over})
	}
	if kind == "letter" && p.disk.letters[fmt.Sprint(from, number)] {
		if p.disk.repeats == nil {
			p.disk.repeats = make(map[certs.ID]int)
		}
		p.disk.repeats[from] = w.Rand.IntN(16) // as package messaging
	}
	receipt := p.open(e.Sealed)
	switch {
	case deposited:
		content := p.Identity.SignCollected(&pb.CollectedContent{Deposits: [][]byte{id[:]}, Key: p.Key[:]})
		p.Core.Step(w.Now, core.Collect{Holder: e.From, Over: e.Over, Collected: &pb.Collected{Content: content, Receipts: receipt}})
	case receipt != nil:
		p.Core.Step(w.Now, core.Route{To: from, Number: w.Rand.Uint64(), Sealed: receipt, Tries: p.disk.repeats[from], Over: e.Over})
	}
	p.owesDrain = true
}

// open reads a letter or a receipt. A letter gives a receipt.
func (p *Process) open(data []byte) (receipt []byte) {
	kind, from, to, number := heading(data)
	if to != p.ID {
		p.World.Odd("%s gets a letter for %s", p.ID, to)
	}
	name := fmt.Sprint(from, number)
	if kind == "letter" {
		if p.disk.letters == nil {
			p.disk.letters = make(map[string]bool)
		}
		p.disk.letters[name] = true
		return sealed("receipt", p.ID, from, number, 0)
	}
	if p.disk.receipts == nil {
		p.disk.receipts = make(map[string]bool)
	}
	p.disk.receipts[name] = true
	p.disk.outbox = slices.DeleteFunc(p.disk.outbox, func(l *letter) bool { return l.to.ID == from && l.number == number })
	return nil
}

// kept returns the deposits that the machine's last run kept for others.
func (m *Machine) kept() []base.Kept {
	var list []base.Kept
	for _, d := range m.disk.kept {
		d.kept.Age = m.World.Now - d.since
		list = append(list, d.kept)
	}
	return list
}

// store writes a change of the deposits to the disk.
func (m *Machine) store(c base.CustodyWrite) {
	m.World.hash(traceLetter, uint64(m.Index), uint64(len(m.disk.kept)))
	had := len(m.disk.kept)
	m.disk.kept = slices.DeleteFunc(m.disk.kept, func(d onDisk) bool { return d.id == c.ID })
	switch {
	case c.Kept != nil && len(m.disk.kept) < had:
		m.World.Odd("%s keeps something twice", m.ID)
	case c.Kept != nil:
		m.disk.kept = append(m.disk.kept, onDisk{c.ID, *c.Kept, m.World.Now})
	case len(m.disk.kept) == had:
		m.World.Odd("%s drops what it does not keep", m.ID)
	}
}

// Keeps counts the deposits on the disk.
func (m *Machine) Keeps() int { return len(m.disk.kept) }

// KeptFor lists the numbers of the letters from one to another that are on the disk.
func (m *Machine) KeptFor(from, to *Machine) (numbers []int) {
	for _, d := range m.disk.kept {
		if kind, author, receiver, number := heading(d.kept.Deposit.GetSealed()); kind == "letter" && author == from.ID && receiver == to.ID {
			numbers = append(numbers, number)
		}
	}
	return numbers
}

// Letters counts the letters of a machine that have come, of its first n.
func (m *Machine) Letters(from *Machine, n int) int { return count(m.disk.letters, from.ID, n) }

// HasLetter reports whether a letter has come.
func (m *Machine) HasLetter(from *Machine, number int) bool {
	return m.disk.letters[fmt.Sprint(from.ID, number)]
}

// Receipts counts the receipts of a machine that have come, for the first n letters.
func (m *Machine) Receipts(of *Machine, n int) int { return count(m.disk.receipts, of.ID, n) }

// HasReceipt reports whether a machine has confirmed a letter.
func (m *Machine) HasReceipt(of *Machine, number int) bool {
	return m.disk.receipts[fmt.Sprint(of.ID, number)]
}

func count(have map[string]bool, who certs.ID, n int) (k int) {
	for i := range n {
		if have[fmt.Sprint(who, i)] {
			k++
		}
	}
	return k
}
