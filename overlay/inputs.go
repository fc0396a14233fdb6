package overlay

import "time"

// input is the next piece of work for the loop. Each kind has a named type beside the code
// that it calls; inputs that are for the core alone are in package core, see coreInput.
type input interface{ handle(l *loop) }

// mailbox carries inputs from all other goroutines to the loop.
type mailbox struct {
	inputs chan input
	ended  chan struct{} // closed when the loop has ended
}

// newMailbox makes a mailbox. When it is full, post waits for the loop, which itself never
// waits.
func newMailbox() mailbox {
	return mailbox{inputs: make(chan input, 256), ended: make(chan struct{})}
}

// post hands an input to the loop; after its end it does nothing.
func (m *mailbox) post(in input) {
	select {
	case m.inputs <- in:
	case <-m.ended:
	}
}

// question asks for something that only the loop knows.
type question[T any] interface{ answer(l *loop) T }

// asked is a question on its way.
type asked[T any] struct {
	question question[T]
	reply    chan T // it has room for the answer
}

func (a asked[T]) handle(l *loop) { a.reply <- a.question.answer(l) }

// ask puts a question to the loop and waits for the answer; ok is false once the loop has
// ended.
func ask[T any](m *mailbox, q question[T]) (answer T, ok bool) {
	reply := make(chan T, 1)
	m.post(asked[T]{q, reply})
	select {
	case answer = <-reply:
		return answer, true
	case <-m.ended:
		return answer, false
	}
}

// clock is the core's time: since the start.
type clock struct{ start time.Time }

func (c clock) now() time.Duration { return time.Since(c.start) }
