package messaging

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestRelayedLane: when letters go, and when a link over others is wanted.
func TestRelayedLane(t *testing.T) {
	large := strings.Repeat("x", relayLimits.Bytes+1)
	type action func(r *receiver)
	send := func(bodies ...string) action {
		return func(r *receiver) {
			for _, body := range bodies {
				if _, err := r.add(t.Context(), Draft{Body: body}, ""); err != nil {
					t.Error(err)
				}
			}
			r.wakeAll()
		}
	}
	receipt := func(r *receiver) { answered(r, r.box.Oldest().Position) }
	failed := func(r *receiver) { r.relayed.notCarried() }
	unused := func(r *receiver) { // a link over others is made when it is not needed any more
		e := r.engine
		e.links, e.directory.receivers["bob"] = make(map[uint64]*Link), r
		e.CarriedUp(&Link{number: 7}, "bob")
	}
	gone := func(r *receiver) { r.setPresent(Contact{Key: bobsKey}, false, hasLeft) }
	for _, test := range []struct {
		name string
		at   map[time.Duration]action
		want []string // within 8 s: letters by the number of their messages, wishes for a link
	}{
		{"a lone message", map[time.Duration]action{0: send("a"), 100 * time.Millisecond: receipt}, []string{"0s 1"}},
		{"messages far apart", map[time.Duration]action{
			0: send("a"), 100 * time.Millisecond: receipt, time.Second: send("b"), 1100 * time.Millisecond: receipt,
		}, []string{"0s 1", "1s 1"}},
		{"one soon after another", map[time.Duration]action{
			0: send("a"), 100 * time.Millisecond: receipt, 300 * time.Millisecond: send("b"), 400 * time.Millisecond: receipt,
		}, []string{"0s 1", "300ms link", "300ms 1"}},
		{"one behind another", map[time.Duration]action{
			0: send("a"), 50 * time.Millisecond: send("b"), 100 * time.Millisecond: receipt, 200 * time.Millisecond: receipt,
		}, []string{"0s 1", "50ms link", "100ms 1"}},
		{"no receipt", map[time.Duration]action{0: send("a")}, []string{"0s 1", "500ms link", "1s 1", "3s 1", "7s 1"}},
		{"the link is not made", map[time.Duration]action{0: send("a"), 600 * time.Millisecond: failed},
			[]string{"0s 1", "500ms link", "1s 1", "3s 1", "5.6s link", "7s 1"}},
		{"the link is made and not used", map[time.Duration]action{0: send(large), 600 * time.Millisecond: unused},
			[]string{"0s link", "600ms 1", "3.48s 1", "5s link"}},
		{"a large one", map[time.Duration]action{0: send(large), 100 * time.Millisecond: failed, 200 * time.Millisecond: receipt},
			[]string{"0s link", "100ms 1"}},
		{"a large one behind a small", map[time.Duration]action{0: send("a", large), 100 * time.Millisecond: receipt}, []string{"0s 1", "0s link"}},
		{"the receiver goes and comes", map[time.Duration]action{
			0: send(large), 100 * time.Millisecond: gone, 200 * time.Millisecond: func(r *receiver) {
				r.setPresent(Contact{Key: bobsKey}, true, hasLeft)
				r.mu.Lock()
				r.relayed.begin = r.engine.now()
				r.mu.Unlock()
				r.wakeAll()
			},
		}, []string{"0s link", "200ms 1", "3.08s 1", "5s link"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, _ := box(t.Context())
				r.engine.ctx = t.Context()
				time.Sleep(time.Minute)
				begin := time.Now()
				r.relayed.begin = r.engine.now()
				var got []string
				done := make(chan struct{})
				go func() {
					defer close(done)
					for time.Since(begin) < 8*time.Second {
						step, ok := r.relayed.next()
						switch at := time.Since(begin); {
						case at >= 8*time.Second:
						case !ok:
							time.Sleep(time.Millisecond) // it is started again when there is something to send
						case step.batch == nil:
							got = append(got, fmt.Sprint(at.Round(10*time.Millisecond), " link"))
						default:
							got = append(got, fmt.Sprint(at.Round(10*time.Millisecond), " ", len(step.batch)))
						}
					}
				}()
				for at := time.Duration(0); at < 8*time.Second; at += 50 * time.Millisecond {
					if do := test.at[at]; do != nil {
						do(r)
					}
					time.Sleep(50 * time.Millisecond)
				}
				r.mu.Lock()
				r.closed = true
				r.notify()
				r.mu.Unlock()
				<-done
				if !slices.Equal(got, test.want) {
					t.Errorf("got %v, not %v", got, test.want)
				}
			})
		})
	}
}
