package files

import "quicpeer/overlay"

// maxEvents is how many events wait for the program; then a Progress is dropped, and others wait (a guess).
const maxEvents = 256

// teller tells the program what happens, one event after the other.
type teller struct {
	to     func(overlay.Event) // nil: nobody wants to know
	events chan overlay.Event
	end    chan struct{} // closed when no more is told
	told   chan struct{} // closed when all was told
}

func newTeller(to func(overlay.Event)) teller {
	return teller{to: to, events: make(chan overlay.Event, maxEvents), end: make(chan struct{}), told: make(chan struct{})}
}

// run tells the events until the end.
func (t *teller) run() {
	defer close(t.told)
	for {
		select {
		case e := <-t.events:
			t.pass(e)
		case <-t.end:
			for {
				select {
				case e := <-t.events:
					t.pass(e)
				default:
					return
				}
			}
		}
	}
}

func (t *teller) pass(e overlay.Event) {
	if t.to != nil {
		t.to(e)
	}
}

// tell has an event told; after the end none is, and the next run shows how things stand.
func (t *teller) tell(e overlay.Event) {
	if _, ok := e.(Progress); ok {
		select {
		case t.events <- e:
		default:
		}
		return
	}
	select {
	case t.events <- e:
	case <-t.end:
	}
}
