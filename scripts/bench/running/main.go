// Command running measures what it costs to ask a running peer: how long a whole process of quicpeer
// send takes; and how fast a receiver takes messages while clients of its socket follow its events,
// against the same without clients. Each client must be told every message once and in order. It also
// prints the memory of the receiver, idle and with the clients.
//
//	make bench-running
//	make bench-running FLAGS='-clients 50 -rate 5000 -time 10s'
//
// The exit status is 1 if a bar is missed: 30 ms for send (median), 0.8 of the rate without clients, and no
// message lost or doubled.
package main

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"quicpeer/scripts/bench/command"
	"quicpeer/scripts/internal/harness"
)

// options are the flags.
type options struct {
	command.Dir
	sends, clients, rate int
	length               time.Duration
}

// Bars.
const (
	sendBar = 30 * time.Millisecond
	rateBar = 0.8
)

func main() {
	var o options
	flag.IntVar(&o.sends, "sends", 100, "how often quicpeer send is run")
	flag.IntVar(&o.clients, "clients", 50, "how many follow the events")
	flag.IntVar(&o.rate, "rate", 5000, "messages a second")
	flag.DurationVar(&o.length, "time", 10*time.Second, "how long they come")
	o.Flag()
	command.Main("bench-running", func() error { return o.Run(o.bench) })
}

func (o options) bench(dir string) error {
	path, err := harness.Build(dir, false)
	if err != nil {
		return err
	}
	sockets, err := os.MkdirTemp("", "qp") // a short name: the paths of sockets are bounded
	if err != nil {
		return err
	}
	defer os.RemoveAll(sockets)
	os.Setenv("XDG_RUNTIME_DIR", sockets) // fails only for malformed names
	nothing := func(*harness.Process, []byte) {}
	to, err := harness.StartPeer(path, dir, "receiver", "", nothing)
	if err != nil {
		return err
	}
	defer to.Kill()
	delivered := make(chan struct{}, 1<<20)
	from, err := harness.StartPeer(path, dir, "sender", to.Address, func(_ *harness.Process, line []byte) {
		if harness.EventOf(line) == "delivered" {
			delivered <- struct{}{}
		}
	})
	if err != nil {
		return err
	}
	defer from.Kill()
	median, start, err := o.send(path, filepath.Join(dir, "sender"))
	if err != nil {
		return err
	}
	for range o.sends {
		<-delivered
	}
	fmt.Printf("%s\nquicpeer send: %v (median of %d); quicpeer --version: %v\n", command.Machine(), median.Round(100*time.Microsecond), o.sends, start.Round(100*time.Microsecond))
	pid := fmt.Sprint(to.Pid())
	fmt.Printf("the receiver idle, most memory so far: %.1f MiB\n", float64(harness.PeakMemory(pid))/(1<<20))
	alone := o.pour(from, delivered)
	var following sync.WaitGroup
	problems := make(chan error, o.clients)
	begun := make(chan struct{}, o.clients)
	socket, err := os.ReadFile(filepath.Join(dir, "receiver", "control"))
	if err != nil {
		return err
	}
	for range o.clients {
		following.Go(func() { problems <- follow(strings.TrimSpace(string(socket)), o.rate*int(o.length.Seconds()), begun) })
	}
	for range o.clients {
		<-begun
	}
	watched := o.pour(from, delivered)
	following.Wait()
	fmt.Printf("messages a second: %.0f without clients, %.0f with %d: %.2f; most memory %.1f MiB\n", alone, watched, o.clients, watched/alone, float64(harness.PeakMemory(pid))/(1<<20))
	for range o.clients {
		if err := <-problems; err != nil {
			return err
		}
	}
	if median > sendBar || watched < rateBar*alone {
		return command.ErrMissed
	}
	return nil
}

// send runs quicpeer send again and again, and in turn a command that asks nobody. It returns the medians of
// the times.
func (o options) send(path, dir string) (send, start time.Duration, err error) {
	var times [2][]time.Duration
	for range o.sends {
		for i, words := range [][]string{{"send", "--state-dir", dir, "receiver", "hello"}, {"--version"}} {
			cmd := exec.Command(path, words...)
			cmd.Stderr = os.Stderr // which nobody reads here: that would be measured too
			began := time.Now()
			if err := cmd.Run(); err != nil {
				return 0, 0, fmt.Errorf("quicpeer %s: %w", words[0], err)
			}
			times[i] = append(times[i], time.Since(began))
		}
	}
	for _, list := range times {
		slices.Sort(list)
	}
	return times[0][o.sends/2], times[1][o.sends/2], nil
}

// pour sends messages at the rate, and returns the rate at which they were delivered.
func (o options) pour(from *harness.Peer, delivered <-chan struct{}) float64 {
	n := o.rate * int(o.length.Seconds())
	began := time.Now()
	go func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		w := bufio.NewWriter(from.Input)
		for sent := 0; sent < n; w.Flush() {
			<-tick.C
			for due := min(n, int(time.Since(began).Seconds()*float64(o.rate))); sent < due; sent++ {
				fmt.Fprintf(w, `{"cmd":"send","to":"receiver","body":"m %08d"}`+"\n", sent)
			}
		}
	}()
	for range n {
		<-delivered
	}
	return float64(n) / time.Since(began).Seconds()
}

// follower is a client that follows the events.
type follower struct {
	socket string
	next   int    // message
	last   uint64 // position
}

// follow follows the events until n messages have come, and checks that each comes once and in order, at
// rising positions. On the way it goes away twice, and goes on from the position behind its last.
func follow(socket string, n int, begun chan<- struct{}) error {
	f := follower{socket: socket}
	for _, until := range []int{n / 3, 2 * n / 3, n} {
		if err := f.read(until, begun); err != nil {
			return fmt.Errorf("a client was told %d of %d messages: %w", f.next, n, err)
		}
		begun = nil
	}
	return nil
}

// read reads on until a message. begun, if it isn't nil, is told that it has begun.
func (f *follower) read(until int, begun chan<- struct{}) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", f.socket)
	}}}
	path := "http://x/v1/events"
	if f.last > 0 {
		path += fmt.Sprintf("?from=%d", f.last+1)
	}
	resp, err := client.Get(path)
	if err != nil {
		if begun != nil {
			begun <- struct{}{}
		}
		return err
	}
	defer resp.Body.Close()
	r := bufio.NewReaderSize(resp.Body, 256<<10)
	for f.next < until {
		line, err := r.ReadSlice('\n')
		if begun != nil {
			begun <- struct{}{}
			begun = nil
		}
		if err != nil {
			return err
		}
		if !bytes.HasPrefix(line, []byte(`{"event":"message"`)) {
			if bytes.HasPrefix(line, []byte(`{"event":"error"`)) {
				return fmt.Errorf("it was cut off: %s", line)
			}
			continue
		}
		_, body, _ := bytes.Cut(line, []byte(`"body":"m `))
		got, err := strconv.Atoi(string(body[:min(len(body), 8)]))
		if err != nil || got != f.next {
			return fmt.Errorf("message %d came instead of %d", got, f.next)
		}
		_, number, _ := bytes.Cut(line, []byte(`"pos":`))
		pos, err := strconv.ParseUint(string(number[:max(0, bytes.IndexAny(number, ",}"))]), 10, 64)
		if err != nil || pos <= f.last {
			return fmt.Errorf("message %d is at position %d, behind %d", got, pos, f.last)
		}
		f.next, f.last = f.next+1, pos
	}
	return nil
}
