package messaging

import (
	"context"
	"sync"
	"time"
)

// headStart is the most that files give way to a message: more than a receipt takes on a local network,
// and the more so in one machine. A guess.
const headStart = 5 * time.Millisecond

// Precedence lets files give way to messages. Files fill the processors, whose time no scheduler of Go shares
// out by importance, so a message would wait for its turn at each step. Instead, what moves files pauses from
// when a message is written, or arrives, until it is answered, for at most headStart and half of the time.
type Precedence struct {
	mu    sync.Mutex
	over  time.Time     // when the last head start is over, at the latest
	ended chan struct{} // closed when it has ended; nil: none has begun since
}

// begin gives a message a head start.
func (p *Precedence) begin() {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Before(p.over.Add(headStart)) {
		return
	}
	p.lift()
	p.over, p.ended = now.Add(headStart), make(chan struct{})
}

// end notes that a message is answered.
func (p *Precedence) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lift()
}

func (p *Precedence) lift() {
	if p.ended != nil {
		close(p.ended)
		p.ended = nil
	}
}

// Wait waits while a message has a head start, at most 5 ms, or until the context ends.
func (p *Precedence) Wait(ctx context.Context) {
	p.mu.Lock()
	ended, rest := p.ended, time.Until(p.over)
	p.mu.Unlock()
	if ended == nil || rest <= 0 {
		return
	}
	late := time.NewTimer(rest)
	defer late.Stop()
	select {
	case <-ended:
	case <-late.C:
	case <-ctx.Done():
	}
}
