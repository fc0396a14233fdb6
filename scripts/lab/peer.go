package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"quicpeer/scripts/internal/harness"
	"quicpeer/scripts/netlab"
)

// lab starts peers of a quicpeer that was built for it.
type lab struct {
	program string
	dir     string // state directories and logs
	debug   bool   // show what the peers log
	pace    *harness.Pace
}

// newLab builds the program, with the race detector if the lab has it; dir is for what the
// lab writes.
func newLab(dir string) (*lab, error) {
	program, err := harness.Build(dir, harness.HasRaceDetector())
	return &lab{program: program, dir: dir, pace: harness.NewPace()}, err
}

// peer is a quicpeer process on a host of an internet.
type peer struct {
	*harness.Process
	lab    *lab
	id     string
	events []harness.Event // guarded by Look and Change
	asked  int
}

// patience is how long anything is waited for.
const patience = 20 * time.Second

// start starts a peer on a host.
func (l *lab) start(net *netlab.Internet, host, id string, flags ...string) (*peer, error) {
	place, err := net.Host(host)
	if err != nil {
		return nil, err
	}
	p := &peer{lab: l, id: id}
	cmd := place.Command(append([]string{l.program, "--json", "--id", id,
		"--state-dir", filepath.Join(l.dir, "state-"+id), "--log-level", "debug"}, flags...)...)
	cmd.Env = harness.Environment(l.dir)
	log, err := os.Create(filepath.Join(l.dir, id+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own
	cmd.Stderr = log
	started := make(chan struct{})
	defer close(started)
	p.Process, err = harness.Start(harness.Spec{Cmd: cmd, Line: func(raw []byte) {
		<-started
		e := harness.ParseEvent(string(raw))
		p.Change(func() { p.events = append(p.events, e) })
	}})
	return p, err
}

// end ends the process without a goodbye.
func (p *peer) end() {
	p.Kill()
	<-p.Gone()
}

// await waits for an event.
func (p *peer) await(what string, wanted func(*harness.Event) bool) (e harness.Event, err error) {
	seen := 0
	err = p.Wait(p.lab.pace.In(patience), func(harness.State) (bool, error) {
		for ; seen < len(p.events); seen++ {
			if wanted(&p.events[seen]) {
				e = p.events[seen]
				return true, nil
			}
		}
		return false, nil
	})
	if err != nil {
		err = fmt.Errorf("%s: %s did not come", p.id, what)
	}
	return e, err
}

// happened lists the events so far that are wanted.
func (p *peer) happened(wanted func(*harness.Event) bool) (list []harness.Event) {
	p.Look(func() {
		for i := range p.events {
			if wanted(&p.events[i]) {
				list = append(list, p.events[i])
			}
		}
	})
	return list
}

// say writes a command.
func (p *peer) say(command map[string]any) error {
	line, err := json.Marshal(command)
	if err == nil {
		_, err = p.Input.Write(append(line, '\n'))
	}
	return err
}

func (p *peer) send(to *peer, body string) error {
	return p.say(map[string]any{"cmd": "send", "to": to.id, "body": body, "ref": body})
}

// delivered waits for the receipt of what was sent with the body.
func (p *peer) delivered(body string) (harness.Event, error) {
	return p.await("the receipt of "+body, func(e *harness.Event) bool { return e.Name == "delivered" && e.Field("ref") == body })
}

// since is when its connection to another came up, by its own net; zero: it has none.
func (p *peer) since(other *peer) (time.Time, error) {
	p.asked++
	ref := fmt.Sprint("ask ", p.asked)
	if err := p.say(map[string]any{"cmd": "net", "ref": ref}); err != nil {
		return time.Time{}, err
	}
	e, err := p.await("an answer", func(e *harness.Event) bool { return e.Name == "net" && e.Field("ref") == ref })
	if err != nil {
		return time.Time{}, err
	}
	var net struct {
		Peers []struct {
			ID    string
			Since time.Time
		}
	}
	err = json.Unmarshal([]byte(e.Raw), &net)
	for _, row := range net.Peers {
		if row.ID == other.id {
			return row.Since, err
		}
	}
	return time.Time{}, err
}

// shown are the bodies that the peer has shown of another, in their order.
func (p *peer) shown(from *peer) (bodies []string) {
	for _, e := range p.happened(func(e *harness.Event) bool { return e.Name == "message" && e.Field("from") == from.id }) {
		bodies = append(bodies, e.Field("body"))
	}
	return bodies
}
