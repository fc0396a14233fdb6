package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// peer is one name, with the runs that it has. Only the driver touches it.
type peer struct {
	name    string
	number  int
	address string // fixed, so that cuts know it
	process *process
	running bool
	doomed  doom      // what is to end the process
	leaving time.Time // when it was told to stop
	busy    bool      // something is being done to it
	frozen  bool

	ordered int            // commands so far
	bodies  map[string]int // of these, different bodies to each receiver
}

// doom is how a process was told to end.
type doom int

const (
	notDoomed doom = iota
	toBeKilled
	toStop
)

// accounts reports whether the process ended as it was told to.
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

// newPeers finds n addresses that are free. They are below the ports that systems
// give to those who ask for any, or somebody might take the one of a peer that is
// down.
func newPeers(n int) ([]*peer, error) {
	const lowest, highest, tries = 10000, 32000, 1000
	var peers []*peer
	for range tries {
		if len(peers) == n {
			return peers, nil
		}
		conn, err := net.ListenPacket("udp4", fmt.Sprintf("127.0.0.1:%d", lowest+rand.IntN(highest-lowest)))
		if err != nil {
			continue // it is taken
		}
		defer conn.Close() // when all have one, so that none is given twice
		i := len(peers)
		peers = append(peers, &peer{name: fmt.Sprintf("p%02d", i), number: i, address: conn.LocalAddr().String(), bodies: map[string]int{}})
	}
	return nil, errors.New("no free UDP ports on 127.0.0.1")
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
	// A race must not go unseen in a process that lives on, nor cost a second at
	// each end.
	cmd.Env = append(environment(), "HOME="+s.dir, "GORACE=halt_on_error=1 atexit_sleep_ms=0")
	log, err := os.OpenFile(p.file(s.dir, ".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close() // the process has its own
	events, err := os.OpenFile(p.file(s.dir, ".events"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	r := h.begin(p.name)
	fmt.Fprintf(log, "---- %s run %d\n", time.Now().Format("15:04:05.000"), r.number)
	process, err := launch(cmd, h, r, events, log)
	if err != nil {
		events.Close()
		return err
	}
	go func() {
		<-process.gone
		events.Close()
	}()
	p.process, p.running, p.doomed, p.frozen = process, true, notDoomed, false
	return nil
}

// environment is the harness's own without settings for quicpeer.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(kv string) bool {
		return strings.HasPrefix(kv, "QUICPEER_") || strings.HasPrefix(kv, "XDG_") || strings.HasPrefix(kv, "HOME=")
	})
}

// logEnd is the last lines of the peer's log.
func (p *peer) logEnd(dir string, most int) string {
	b, err := os.ReadFile(p.file(dir, ".log"))
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}

// complaint is the beginning of a race report or a panic in the peer's log.
func (p *peer) complaint(dir string) string {
	b, err := os.ReadFile(p.file(dir, ".log"))
	if err != nil {
		return err.Error()
	}
	text := "\n" + string(b)
	for _, sign := range []string{"\nWARNING: DATA RACE", "\npanic: ", "\nfatal error: "} {
		if at := strings.Index(text, sign); at >= 0 {
			lines := strings.SplitN(text[at+1:], "\n", 41)
			return strings.Join(lines[:min(40, len(lines))], "\n")
		}
	}
	return ""
}
