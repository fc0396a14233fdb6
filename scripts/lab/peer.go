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
	id    string
	pace  *harness.Pace
	asked int
}

// patience is how long anything is waited for.
const patience = 20 * time.Second

// start starts a peer on a host.
func (l *lab) start(net *netlab.Internet, host, id string, flags ...string) (*peer, error) {
	place, err := net.Host(host)
	if err != nil {
		return nil, err
	}
	p := &peer{id: id, pace: l.pace}
	cmd := place.Command(append([]string{l.program, "--json", "--id", id,
		"--state-dir", filepath.Join(l.dir, "state-"+id), "--log-level", "debug"}, flags...)...)
	cmd.Env = harness.Environment(l.dir)
	log, err := os.Create(filepath.Join(l.dir, id+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own
	cmd.Stderr = log
	p.Process, err = harness.Start(harness.Spec{Cmd: cmd})
	return p, err
}

// end ends the process without a goodbye.
func (p *peer) end() {
	p.Kill()
	<-p.Gone()
}

// await waits for an event with this value in a field.
func (p *peer) await(name, field, value string) (*harness.Event, error) {
	found, err := p.Await(p.pace.In(patience), 1, is(name, field, value))
	if err != nil {
		return nil, fmt.Errorf("%s: %s of %s did not come", p.id, name, value)
	}
	return found[0], nil
}

func is(name, field, value string) func(*harness.Event) bool {
	return func(e *harness.Event) bool { return e.Name == name && e.Field(field) == value }
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

// since is when its connection to another came up, by its own net; zero: it has none.
func (p *peer) since(other *peer) (time.Time, error) {
	p.asked++
	ref := fmt.Sprint("ask ", p.asked)
	if err := p.say(map[string]any{"cmd": "net", "ref": ref}); err != nil {
		return time.Time{}, err
	}
	e, err := p.await("net", "ref", ref)
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

// shown are the messages of another that the peer has shown so far, in their order.
func (p *peer) shown(from *peer) []*harness.Event {
	messages, _ := p.Await(p.pace.In(0), 0, is("message", "from", from.id)) // it doesn't wait
	return messages
}
