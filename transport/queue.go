package transport

import (
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// maxQueued bounds the bytes queued for a peer that reads too slowly: the table of a network
// of 10,000 peers, or 60 of the largest broadcasts. A guess.
const maxQueued = 4 << 20

// maxQueuedAll bounds the bytes queued for all peers together (a guess: the full queues of six, and
// a fair share of 96 KiB for each of 256). Beyond it the worst reader is cut off, see shed.
const maxQueuedAll = 24 << 20

// maxSpare is the largest buffer that an idle link keeps.
const maxSpare = 64 << 10

// lastPart is how many bytes of last frames are taken at once, a whole frame at least: frames
// of Send that come meanwhile wait for them. A guess.
const lastPart = 16 << 10

// queue holds what a link has still to write, and how it is to end. Any goroutine puts, the
// link's goroutine takes.
type queue struct {
	wake chan struct{} // holds a token when there may be something to take
	all  *atomic.Int64 // the bytes of the queues of all links

	mu     sync.Mutex
	frames []byte
	last   [][]byte // frames that go after those
	behind int      // bytes in these
	size   int      // bytes in both and in the frames that were taken and are not yet written
	ending *ending
	drains []drain
}

// ending says how a link is to end.
type ending struct {
	code     Code
	reason   string
	goodbye  bool      // after the queued frames, and with a goodbye
	deadline time.Time // of the goodbye
}

// drain is a wait for the queue to become short enough.
type drain struct {
	limit int           // bytes
	done  chan struct{} // closed then
}

func (q *queue) init(all *atomic.Int64) { q.wake, q.all = make(chan struct{}, 1), all }

// grow counts bytes that come, or go. q.mu is held.
func (q *queue) grow(bytes int) {
	q.size += bytes
	q.all.Add(int64(bytes))
}

// put adds a frame, unless the link is ending (net.ErrClosed) or the queue is full
// (ErrQueueFull). It copies the frame.
func (q *queue) put(frame []byte) error {
	return q.admit(frame, func() { q.frames = append(q.frames, frame...) })
}

// putLast is put for a frame that goes behind all others. It keeps the frame itself.
func (q *queue) putLast(frame []byte) error {
	return q.admit(frame, func() {
		q.last = append(q.last, frame)
		q.behind += len(frame)
	})
}

func (q *queue) admit(frame []byte, f func()) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ending != nil {
		return net.ErrClosed
	}
	if q.size+len(frame) > maxQueued {
		return ErrQueueFull
	}
	f()
	q.grow(len(frame))
	signal(q.wake)
	return nil
}

// end sets how the link is to end, and reports whether that changes anything: the first call
// counts, but a link that is saying goodbye can still be ended at once.
func (q *queue) end(how ending) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ending != nil && (how.goodbye || !q.ending.goodbye) {
		return false
	}
	q.ending = &how
	signal(q.wake)
	return true
}

// signal puts a token into a channel that has room for one, unless it holds one.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// take takes all frames, or some of the last ones if the others are gone, and gives the queue
// the previous buffer for the next frames. It says how the link is to end; nil if it isn't.
func (q *queue) take(written []byte) ([]byte, *ending) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.grow(-len(written))
	q.tellDrained()
	taken := q.frames
	if cap(written) > maxSpare {
		written = nil
	}
	q.frames = written[:0]
	if len(taken) == 0 {
		taken = q.takeLast(taken)
	}
	return taken, q.ending
}

func (q *queue) takeLast(taken []byte) []byte {
	n := 0
	for n < len(q.last) && (n == 0 || len(taken)+len(q.last[n]) <= lastPart) {
		taken = append(taken, q.last[n]...)
		q.behind -= len(q.last[n])
		n++
	}
	clear(q.last[:n]) // the slice goes on to hold its beginning
	if q.last = q.last[n:]; len(q.last) == 0 {
		q.last = nil
	}
	return taken
}

// drained is closed as soon as at most limit bytes wait.
func (q *queue) drained(limit int) <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, d := range q.drains {
		if d.limit == limit {
			return d.done // shared: waits that were given up take no room
		}
	}
	d := drain{limit, make(chan struct{})}
	q.drains = append(q.drains, d)
	q.tellDrained()
	return d.done
}

// tellDrained ends the waits whose limit is reached. q.mu is held.
func (q *queue) tellDrained() {
	q.drains = slices.DeleteFunc(q.drains, func(d drain) bool {
		if q.size > d.limit {
			return false
		}
		close(d.done)
		return true
	})
}

// finish ends the queue: nothing is written any more, so nothing waits.
func (q *queue) finish(how ending) {
	q.end(how) // counts if the connection has ended by itself: put fails from now on
	q.mu.Lock()
	defer q.mu.Unlock()
	q.frames, q.last, q.behind = nil, nil, 0
	q.grow(-q.size)
	q.tellDrained()
}

// how returns how the link is to end, nil if it isn't.
func (q *queue) how() *ending {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.ending
}

// unlessEnding calls f unless the link is ending. f must not wait.
func (q *queue) unlessEnding(f func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ending == nil {
		f()
	}
}

// living is length for a queue that is still written, and 0 for one that is ending.
func (q *queue) living() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ending != nil {
		return 0
	}
	return q.size
}

// first returns how many bytes are not written yet of frames that give way to no others, or are being
// written.
func (q *queue) first() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.size - q.behind
}

// length returns how many bytes are not written yet.
func (q *queue) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.size
}
