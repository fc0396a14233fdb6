package hooks

import (
	"slices"
	"sync"
)

// maxPassed is how many positions without a message are passed before that is told (a guess): a start
// reads as many again, in about a millisecond.
const maxPassed = 256

// progress knows up to which position all commands have ended, in whatever order they do. It tells
// rising positions.
type progress struct {
	tell func(pos uint64) // called under the lock; nil: the messages have no positions

	mu     sync.Mutex
	open   []uint64 // positions of messages whose commands have not ended, in their order
	passed uint64   // the last position
	told   uint64
}

// begin notes a message whose command is to run.
func (p *progress) begin(pos uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = append(p.open, pos)
	p.passed = pos
}

// end notes that its command has ended.
func (p *progress) end(pos uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.open, pos)
	p.open = slices.Delete(p.open, i, i+1)
	p.report(1)
}

// pass notes a position without a message.
func (p *progress) pass(pos uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.passed = pos
	if len(p.open) == 0 { // else the end of a command tells it
		p.report(maxPassed)
	}
}

// finish tells the last.
func (p *progress) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.report(1)
}

// report tells how far it has come, if that is by so many positions further. p.mu is held.
func (p *progress) report(further uint64) {
	pos := p.passed
	if len(p.open) > 0 {
		pos = p.open[0] - 1
	}
	if p.tell != nil && pos >= p.told+further {
		p.told = pos
		p.tell(pos)
	}
}
