package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"quicpeer/scripts/internal/harness"
)

// messageEvery is the time between two messages.
const messageEvery = 20 * time.Millisecond

// chat is part d.
func (o options) chat(r *results) error {
	for _, carried := range []bool{false, true} {
		for _, back := range []bool{false, true} {
			if err := o.chatOver(r, carried, back); err != nil {
				return err
			}
		}
	}
	return nil
}

// chatOver measures the round trips of messages from the sender of a file to its receiver, or back: idle, while the file is sent the same way,
// and, for comparison, while it goes between processes of the bare stream, which use the same processors and disk.
func (o options) chatOver(r *results, carried, back bool) error {
	n, err := o.start(carried, 1)
	if err != nil {
		return err
	}
	defer n.close()
	way, bare := "directly", o.bare
	if carried {
		way, bare = "over one other peer", o.bareCarried
	}
	from, to := sender, receiverName(0)
	if back {
		from, to = to, from
		way += ", from the receiver of the file"
	}
	var idle, during, beside []float64 // ms
	length := time.Second
	for round := range o.rounds + 1 {
		for _, m := range []struct {
			into *[]float64
			run  func() (time.Duration, error)
		}{
			{&during, func() (took time.Duration, err error) {
				took, err = n.transfer(o.large)
				length = took
				return took, err
			}},
			{&beside, bare},
			{&idle, func() (time.Duration, error) { time.Sleep(length); return length, nil }},
		} {
			settle()
			times, err := n.talk(from, to, m.run)
			if err = errors.Join(err, n.check()); err != nil {
				return err
			}
			if round > 0 {
				*m.into = append(*m.into, times...)
			}
		}
	}
	show := func(what string, times []float64) {
		r.row(fmt.Sprintf("messages %s, %s: p50 and p99 of %d", way, what, len(times)), "%.2f ms, %.2f ms", quantile(times, 0.5), quantile(times, 0.99))
	}
	show("idle", idle)
	show("beside a bare stream", beside)
	show("during a transfer", during)
	r.row(fmt.Sprintf("messages %s: p99 beside a bare stream to idle", way), "%.2f", quantile(beside, 0.99)/quantile(idle, 0.99))
	r.bar(fmt.Sprintf("messages %s: p99 during a transfer to idle", way), quantile(during, 0.99)/quantile(idle, 0.99), 3, true)
	return nil
}

// quantile is the value below which this part of a list is.
func quantile(list []float64, q float64) float64 {
	slices.Sort(list)
	return list[int(q*float64(len(list)-1))]
}

// talk sends messages from one peer to another while run runs, and returns their round trips in ms.
func (n *network) talk(from, to string, run func() (time.Duration, error)) (times []float64, err error) {
	ended := make(chan error, 1)
	go func() {
		_, err := run()
		ended <- err
	}()
	wanted := map[string]bool{} // refs
	var failed error
	tick := time.NewTicker(messageEvery)
	defer tick.Stop()
	for running := true; running; {
		select {
		case err = <-ended:
			running = false
		case <-tick.C:
			ref, err := n.command(from, map[string]any{"cmd": "send", "to": to, "body": fmt.Sprintf("message %d", len(wanted))})
			failed = errors.Join(failed, err)
			wanted[ref] = true
		}
	}
	if err = errors.Join(err, failed); err != nil {
		return nil, err
	}
	found, err := n.peers[from].Await(harness.NewPace().In(patience), len(wanted), func(e *harness.Event) bool {
		return e.Name == "delivered" && wanted[e.Field("ref")]
	})
	if err != nil {
		return nil, fmt.Errorf("%d of %d messages were delivered: %w", len(found), len(wanted), err)
	}
	for _, e := range found {
		ms, err := strconv.ParseFloat(e.Field("rtt_ms"), 64)
		if err != nil {
			return nil, fmt.Errorf("a message had to wait: %s", e.Raw)
		}
		times = append(times, ms)
	}
	return times, nil
}
