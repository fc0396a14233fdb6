package main

import (
	"cmp"
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
	*harness.Process // nil if it could not be started
	trial            *trial
	id               string
	asked            int
}

// patience is how long anything is waited for.
const patience = 20 * time.Second

// start starts a peer on a host.
func (t *trial) start(host, id string, flags ...string) *peer {
	p := &peer{trial: t, id: id}
	if t.err == nil {
		p.Process, t.err = t.lab.start(t.net, host, id, flags)
	}
	return p
}

func (l *lab) start(net *netlab.Internet, host, id string, flags []string) (*harness.Process, error) {
	place, err := net.Host(host)
	if err != nil {
		return nil, err
	}
	cmd := place.Command(append([]string{l.program, "--json", "--id", id,
		"--state-dir", l.state(id), "--log-level", "debug"}, flags...)...)
	cmd.Env = harness.Environment(l.dir)
	log, err := os.Create(filepath.Join(l.dir, id+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close() // the process has its own
	cmd.Stderr = log
	return harness.Start(harness.Spec{Cmd: cmd})
}

func (l *lab) state(id string) string { return filepath.Join(l.dir, "state-"+id) }

// end ends the process without a goodbye.
func (p *peer) end() {
	if p.Process != nil {
		p.Kill()
		<-p.Gone()
	}
}

// await waits for an event with this value in a field, and returns an empty one if the trial
// has failed.
func (p *peer) await(name, field, value string) *harness.Event {
	if p.trial.err != nil {
		return &harness.Event{}
	}
	found, err := p.Await(p.trial.lab.pace.In(patience), 1, is(name, field, value))
	if err != nil {
		p.trial.err = fmt.Errorf("%s: %s of %s did not come", p.id, name, value)
		return &harness.Event{}
	}
	return found[0]
}

func is(name, field, value string) func(*harness.Event) bool {
	return func(e *harness.Event) bool { return e.Name == name && e.Field(field) == value }
}

// say writes a command.
func (p *peer) say(command map[string]string) {
	line, err := json.Marshal(command)
	if p.trial.err == nil && err == nil {
		_, err = p.Input.Write(append(line, '\n'))
	}
	p.trial.err = cmp.Or(p.trial.err, err)
}

func (p *peer) send(to *peer, body string) {
	p.say(map[string]string{"cmd": "send", "to": to.id, "body": body, "ref": body})
}

// since is when its connection to another came up, by its own net; zero: it has none.
func (p *peer) since(other *peer) (came time.Time) {
	p.asked++
	ref := fmt.Sprint("ask ", p.asked)
	p.say(map[string]string{"cmd": "net", "ref": ref})
	e := p.await("net", "ref", ref)
	var net struct {
		Peers []struct {
			ID    string
			Since time.Time
		}
	}
	if p.trial.err == nil {
		p.trial.err = json.Unmarshal([]byte(e.Raw), &net)
	}
	for _, row := range net.Peers {
		if row.ID == other.id {
			came = row.Since
		}
	}
	return came
}

// shown are the messages of another that the peer has shown so far, in their order.
func (p *peer) shown(from *peer) []*harness.Event {
	if p.Process == nil {
		return nil
	}
	messages, _ := p.Await(p.trial.lab.pace.In(0), 0, is("message", "from", from.id)) // it doesn't wait
	return messages
}
