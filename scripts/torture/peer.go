package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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
	process *harness.Process
	run     *run // of the process
	running bool
	doomed  doom             // what is to end the process
	deaf    harness.Deadline // until when its process may not hear signals yet
	leaving harness.Deadline // until when it may take to stop
	busy    bool             // something is being done to it
	frozen  bool

	ordered int            // commands so far
	bodies  map[string]int // of these, different bodies to each receiver
}

// doom is the way in which a process was ordered to end.
type doom int

const (
	notDoomed doom = iota
	toBeKilled
	toStop
)

// accounts reports whether the process ended as ordered.
func (d doom) accounts(status string) bool {
	switch d {
	case toBeKilled:
		return status == "killed"
	case toStop:
		return status == "0" || status == "5"
	default:
		return false
	}
}

// newPeers makes n peers with addresses that are free.
func newPeers(n int) (peers []*peer, err error) {
	addresses, err := harness.FreeAddresses(n)
	for i, address := range addresses {
		peers = append(peers, &peer{name: fmt.Sprintf("p%02d", i), number: i, address: address, bodies: map[string]int{}})
	}
	return peers, err
}

func (p *peer) file(dir, ending string) string { return filepath.Join(dir, p.name+ending) }

// start starts the peer's next run. join are addresses.
func (p *peer) start(s settings, h *history, join []string) error {
	words := []string{
		"--json", "--id", p.name, "--state-dir", p.file(s.dir, ".state"), "--listen", p.address,
		"--cut-file", p.file(s.dir, ".cuts"), "--log-level", "warn", "--join-timeout", "0",
	}
	for _, address := range join {
		words = append(words, "--join", address)
	}
	cmd := exec.Command(s.program, words...)
	cmd.Env = harness.Environment(s.dir)
	log, err := os.OpenFile(p.file(s.dir, ".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close() // the process has its own
	cmd.Stderr = log
	events, err := os.OpenFile(p.file(s.dir, ".events"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	r := h.begin(p.name)
	fmt.Fprintf(log, "---- %s run %d\n", time.Now().Format("15:04:05.000"), r.number)
	process, err := harness.Start(harness.Spec{Cmd: cmd, Queue: mostInput, Line: func(_ *harness.Process, line []byte) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			return // the process was killed in the middle of it
		}
		h.see(r, line)
		fmt.Fprintf(events, "%s %d %s\n", time.Now().Format("15:04:05.000000"), r.number, beginning(line))
	}})
	if err != nil {
		events.Close()
		return err
	}
	go func() {
		<-process.Gone()
		events.Close()
	}()
	p.process, p.run, p.running, p.doomed, p.frozen = process, r, true, notDoomed, false
	return nil
}

// log is all that the peer has logged.
func (p *peer) log(dir string) string {
	b, err := os.ReadFile(p.file(dir, ".log"))
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// logEnd is the last lines of the peer's log.
func (p *peer) logEnd(dir string, most int) string { return harness.Tail(p.log(dir), most) }
