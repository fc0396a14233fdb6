package coretest

import "time"

// The queue of future events is a ring of buckets of one grain each, and a bucket is a chain of
// events in the order in which they were planned. Times are rounded up to the grain, a fiftieth
// of the shortest latency, so the events of a bucket happen in the order of the chain and nothing
// is ever sorted: 133 ns an event with a million pending, against 894 ns of container/heap
// (measured for the design).
const (
	grain   = 100 * time.Microsecond
	buckets = 1 << 17 // 13 s; later events go round the ring again
)

// event is a parcel to hand over, or something else to do.
type event struct {
	at     time.Duration
	do     func()
	hand   func(*parcel)
	parcel *parcel
	next   int32 // in the chain, or in the list of free slots; -1: the last
}

// queue is the ring. Slots are reused, so its memory is that of the most events that were ever
// pending.
type queue struct {
	first, last []int32 // of each bucket; -1: empty
	slots       []event
	free        int32
	bucket      int64 // the one being emptied
}

func newQueue() queue {
	q := queue{first: make([]int32, buckets), last: make([]int32, buckets), free: -1}
	for i := range q.first {
		q.first[i], q.last[i] = -1, -1
	}
	return q
}

// push plans an event.
func (q *queue) push(e event) {
	b := max(int64((e.at+grain-1)/grain), q.bucket)
	b = min(b, q.bucket+buckets-1)
	i := q.free
	if i < 0 {
		i = int32(len(q.slots))
		q.slots = append(q.slots, event{})
	} else {
		q.free = q.slots[i].next
	}
	e.next = -1
	q.slots[i] = e
	at := b & (buckets - 1)
	if q.first[at] < 0 {
		q.first[at] = i
	} else {
		q.slots[q.last[at]].next = i
	}
	q.last[at] = i
}

// pop takes the next event that happens until then, and its time.
func (q *queue) pop(until time.Duration) (event, time.Duration, bool) {
	limit := int64(until / grain)
	for q.bucket <= limit {
		at := q.bucket & (buckets - 1)
		i := q.first[at]
		if i < 0 {
			if q.bucket == limit {
				break // more events may still be planned for now
			}
			q.bucket++
			continue
		}
		e := q.slots[i]
		q.first[at] = e.next
		q.slots[i] = event{next: q.free}
		q.free = i
		now := time.Duration(q.bucket) * grain
		if e.at > now {
			q.push(e) // it lies beyond the ring
			continue
		}
		return e, now, true
	}
	return event{}, 0, false
}
