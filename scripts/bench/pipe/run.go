package main

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"time"

	"quicpeer/scripts/internal/harness"
)

// result is the result of a run.
type result struct {
	time             time.Duration // from the first line to the end of the sender
	sender, receiver int64         // the most memory in bytes
}

// receiver is the ID of the peer that gets the messages.
const receiver = "receiver"

// line is the line of the n-th message: 100 bytes.
func line(n int) string {
	return fmt.Sprintf(`{"cmd":"send","to":"%s","body":"%07d and something that makes the line 100 bytes long"}`+"\n", receiver, n)
}

// run pipes so many lines from one peer to another.
func run(path, dir string, lines int, mute time.Duration) (result, error) {
	shown := arrivals{mute: mute}
	to, err := harness.StartPeer(path, dir, receiver, "", shown.take)
	if err != nil {
		return result{}, err
	}
	defer to.Kill()
	told := make(map[string]int) // events of the sender
	from, err := harness.StartPeer(path, dir, "sender", to.Address, func(_ *harness.Process, line []byte) { told[harness.EventOf(line)]++ })
	if err != nil {
		return result{}, err
	}
	defer from.Kill()
	began := time.Now()
	go write(from.Input, lines)
	ended := make(chan struct{})
	peaks := make(chan result, 1)
	go func() { peaks <- watch(from, to, ended) }()
	err = from.Ended()
	took := time.Since(began)
	close(ended)
	r := <-peaks
	r.time = took
	if err != nil {
		return r, fmt.Errorf("the sender: %w; it told of %v", err, told)
	}
	to.Input.Close()
	if err := to.Ended(); err != nil {
		return r, fmt.Errorf("the receiver: %w", err)
	}
	if shown.fault != "" || shown.next != lines {
		return r, fmt.Errorf("%d of %d messages were shown, once and in order; then %s", shown.next, lines, shown.fault)
	}
	if told["sent"] != lines || told["delivered"] != lines || told["failed"]+told["error"] > 0 {
		return r, fmt.Errorf("the sender told of %v", told)
	}
	return r, nil
}

// write is the pipe. A failure is the end of the sender.
func write(input io.WriteCloser, lines int) {
	defer input.Close()
	w := bufio.NewWriterSize(input, 64<<10)
	defer w.Flush()
	for i := range lines {
		if _, err := w.WriteString(line(i)); err != nil {
			return
		}
	}
}

// watch reads the memory of both until the end: the kernel keeps the maximum, but only as long
// as the process lives.
func watch(from, to *harness.Peer, ended <-chan struct{}) (r result) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		r.sender, r.receiver = max(r.sender, peak(from)), max(r.receiver, peak(to))
		select {
		case <-tick.C:
		case <-ended:
			return r
		}
	}
}

func peak(p *harness.Peer) int64 { return harness.PeakMemory(strconv.Itoa(p.Pid())) }

// arrivals judges the receiver's output.
type arrivals struct {
	mute  time.Duration // before the first message is looked at
	next  int           // the number of the next
	fault string        // the first line that was not the next message
}

func (a *arrivals) take(_ *harness.Process, line []byte) {
	if harness.EventOf(line) != "message" || a.fault != "" {
		return
	}
	if a.next == 0 {
		time.Sleep(a.mute)
	}
	const digits = 7
	body := harness.BodyOf(line)
	if n, err := strconv.Atoi(string(body[:min(digits, len(body))])); err != nil || n != a.next {
		a.fault = string(line)
		return
	}
	a.next++
}
