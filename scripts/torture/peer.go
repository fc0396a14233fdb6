package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"quicpeer/scripts/internal/harness"
)

// mostInput is how many lines wait for a process that doesn't read: one that is
// frozen, or held up by its receivers. Then nothing is sent by it.
const mostInput = 128

// peer is one name, with the runs that it has. Only the driver touches it.
type peer struct {
	name    string
	number  int
	address string // fixed, so that cuts know it
	path    string // of its files, but for their endings
	process *harness.Process
	run     *run // of the process
	running bool
	doomed  *doom            // what is to end the process
	deaf    harness.Deadline // until when its process may not hear signals yet
	leaving harness.Deadline // until when it may take to stop
	busy    bool             // something is being done to it
	frozen  bool

	ordered int            // commands so far
	bodies  map[string]int // of these, different bodies to each receiver
}

// doom is the way in which a process was ordered to end, and the statuses that account for it.
type doom struct {
	how      string
	statuses []string
}

var (
	notDoomed  = &doom{"nobody has ended it", nil}
	toBeKilled = &doom{"it was killed", []string{"killed"}}
	toStop     = &doom{"it was told to stop", []string{"0", "5"}}
)

// accounts reports whether the process ended as ordered.
func (d *doom) accounts(status string) bool { return slices.Contains(d.statuses, status) }

// newPeers makes n peers with addresses that are free, and files in dir.
func newPeers(n int, dir string) (peers []*peer, err error) {
	addresses, err := harness.FreeAddresses(n)
	for i, address := range addresses {
		name := fmt.Sprintf("p%02d", i)
		peers = append(peers, &peer{name: name, number: i, address: address, path: filepath.Join(dir, name), bodies: map[string]int{}})
	}
	return peers, err
}

// start starts the peer's next run, and has the history see what it prints. join are addresses.
func (p *peer) start(s settings, h *history, join []string) error {
	r := h.begin(p.name)
	err := p.launch(s, r.number, join, func(_ *harness.Process, line []byte) { h.see(r, line) })
	if err == nil {
		p.run = r
	}
	return err
}

// launch starts a process of the peer, and hands over each whole line that it prints.
func (p *peer) launch(s settings, number int, join []string, see func(*harness.Process, []byte)) error {
	words := []string{
		"--json", "--id", p.name, "--state-dir", p.path + ".state", "--listen", p.address,
		"--cut-file", p.path + ".cuts", "--log-level", "warn", "--join-timeout", "0",
	}
	for _, address := range join {
		words = append(words, "--join", address)
	}
	cmd := exec.Command(s.program, words...)
	cmd.Env = harness.Environment(s.dir)
	log, err := p.open(".log")
	if err != nil {
		return err
	}
	defer log.Close() // the process has its own
	cmd.Stderr = log
	events, err := p.open(".events")
	if err != nil {
		return err
	}
	fmt.Fprintf(log, "---- %s run %d\n", clock(time.Now()), number)
	process, err := harness.Start(harness.Spec{Cmd: cmd, Queue: mostInput, Line: func(running *harness.Process, line []byte) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			return // the process was killed in the middle of it
		}
		see(running, line)
		fmt.Fprintf(events, "%s %d %s\n", time.Now().Format("15:04:05.000000"), number, beginning(line))
	}})
	if err != nil {
		events.Close()
		return err
	}
	go func() {
		<-process.Gone()
		events.Close()
	}()
	p.process, p.running, p.doomed, p.frozen = process, true, notDoomed, false
	return nil
}

// open opens one of the peer's files, to write at its end.
func (p *peer) open(ending string) (*os.File, error) {
	return os.OpenFile(p.path+ending, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
}

// lastLines are the last lines of what the peer has logged, for a report.
func (p *peer) lastLines(n int) string {
	log, err := p.log()
	if err != nil {
		return err.Error()
	}
	return harness.Tail(log, n)
}

// log is all that the peer has logged.
func (p *peer) log() (string, error) {
	b, err := os.ReadFile(p.path + ".log")
	return string(b), err
}
