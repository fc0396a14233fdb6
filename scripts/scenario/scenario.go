package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"quicpeer/scripts/internal/harness"
	"quicpeer/scripts/netlab"
)

// scenario is one that is being played.
type scenario struct {
	engine  *engine
	ts      *testscript.TestScript
	usage   string   // of the verb of the line that is being done
	args    []string // of that line
	t       testscript.T
	work    string
	sockets string // where the peers' local sockets lie: a short name, since their paths are bounded
	peers   []*peer
	runs    []*process // of all peers, the old ones too
	cuts    map[pair]bool

	tickets map[string]string // the last that was issued in this scenario, by ID

	lan   *netlab.LAN   // where the peers live; nil: on this machine's loopback
	pace  *harness.Pace // by which deadlines are
	acted time.Duration // when the last line that is not an expectation was done, by pace
}

// do does a line of the scenario.
func (s *scenario) do(v verb, neg bool, args []string) {
	var by harness.Deadline
	if v.waits() {
		var err error
		args, by, err = s.within(args)
		s.must(err)
	}
	s.require(len(args) >= v.least && len(args) <= v.most)
	if v.do != nil {
		v.do(s, args)
		return
	}
	p := s.named(args[0])
	switch {
	case p == nil || p.process == nil:
		s.fail("no peer %s has been started", args[0])
	case neg:
		v.not(s, p.process, args[1:], by)
	default:
		v.on(s, p.process, args[1:], by)
	}
}

func (s *scenario) named(name string) *peer {
	for _, p := range s.peers {
		if p.name == name {
			return p
		}
	}
	return nil
}

// place is the peer of a name, made when first named.
func (s *scenario) place(name string) *peer {
	if p := s.named(name); p != nil {
		return p
	}
	p := &peer{name: name, dir: filepath.Join(s.work, name), cutFile: filepath.Join(s.work, name+".cut")}
	s.peers = append(s.peers, p)
	return p
}

// end kills what still runs and fails the scenario if a peer has done what none
// may do, whatever the scenario looked at.
func (s *scenario) end() {
	var complaints []string
	for _, r := range s.runs {
		if c := r.unexpectedEnd(); c != "" {
			complaints = append(complaints, fmt.Sprintf("%s %s\n%s", r.name, c, r.describe(25)))
		}
	}
	for _, r := range s.runs {
		r.kill()
	}
	for _, r := range s.runs {
		select {
		case <-r.Gone():
		case <-time.After(patience):
			complaints = append(complaints, fmt.Sprintf("%s (process %d) doesn't go away", r.name, r.Pid()))
		}
		s.engine.running.Delete(r)
		for _, b := range append(r.breaches(), leaks(s.tickets, r)...) {
			complaints = append(complaints, r.name+": "+b)
		}
	}
	if s.lan != nil {
		s.lan.Close()
	}
	if err := os.RemoveAll(s.sockets); err != nil {
		complaints = append(complaints, err.Error())
	}
	if len(complaints) > 0 {
		s.t.Fatal("FAIL: " + strings.Join(complaints, "\nFAIL: "))
	}
}
