package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"
)

// event is a line that a peer has written.
type event struct {
	at   time.Time
	name string
	data map[string]any
}

func (e event) text(field string) string {
	s, _ := e.data[field].(string)
	return s
}

// peer is a quicpeer process on a host of the lab.
type peer struct {
	id      string
	cmd     *exec.Cmd
	input   io.WriteCloser
	logPath string

	mu      sync.Mutex
	changed sync.Cond
	events  []event
	ended   bool
	asked   int
}

// patience is how long anything is waited for.
const patience = 20 * time.Second

// start starts a peer on a host.
func (l *lab) start(host, id string, flags ...string) (*peer, error) {
	p := &peer{id: id, logPath: filepath.Join(l.dir, id+".log")}
	p.changed.L = &p.mu
	words := append([]string{"netns", "exec", l.prefix + "-" + host, l.program, "--json", "--id", id,
		"--state-dir", filepath.Join(l.dir, "state-"+id), "--log-level", "debug"}, flags...)
	p.cmd = exec.Command("ip", words...)
	log, err := os.Create(p.logPath)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd.Stderr = log
	if p.input, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	output, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go p.read(output)
	return p, nil
}

// read takes the events until the process ends.
func (p *peer) read(output io.Reader) {
	lines := bufio.NewScanner(output)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		e := event{at: time.Now()}
		if json.Unmarshal(lines.Bytes(), &e.data) != nil {
			continue
		}
		e.name = e.text("event")
		p.mu.Lock()
		p.events = append(p.events, e)
		p.changed.Broadcast()
		p.mu.Unlock()
	}
	p.mu.Lock()
	p.ended = true
	p.changed.Broadcast()
	p.mu.Unlock()
}

// kill ends the process without a goodbye.
func (p *peer) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	_ = p.cmd.Wait()
}

// await waits for an event.
func (p *peer) await(what string, wanted func(event) bool) (event, error) {
	late := time.AfterFunc(patience, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.changed.Broadcast()
	})
	defer late.Stop()
	deadline := time.Now().Add(patience)
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := 0; ; {
		for ; i < len(p.events); i++ {
			if wanted(p.events[i]) {
				return p.events[i], nil
			}
		}
		if p.ended || !time.Now().Before(deadline) {
			return event{}, fmt.Errorf("%s: %s did not come", p.id, what)
		}
		p.changed.Wait()
	}
}

// happened lists the events so far that are wanted.
func (p *peer) happened(wanted func(event) bool) (list []event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.events {
		if wanted(e) {
			list = append(list, e)
		}
	}
	return list
}

// say writes a command.
func (p *peer) say(command map[string]any) error {
	line, err := json.Marshal(command)
	if err == nil {
		_, err = p.input.Write(append(line, '\n'))
	}
	return err
}

func (p *peer) send(to *peer, body string) error {
	return p.say(map[string]any{"cmd": "send", "to": to.id, "body": body, "ref": body})
}

// delivered waits for the receipt of what was sent with the body.
func (p *peer) delivered(body string) (event, error) {
	return p.await("the receipt of "+body, func(e event) bool { return e.name == "delivered" && e.text("ref") == body })
}

// way is what the peer says of how it reaches another.
func (p *peer) way(to *peer) (map[string]any, error) {
	p.asked++
	ref := fmt.Sprint("ask ", p.asked)
	if err := p.say(map[string]any{"cmd": "net", "ref": ref}); err != nil {
		return nil, err
	}
	e, err := p.await("an answer", func(e event) bool { return e.name == "net" && e.text("ref") == ref })
	if err != nil {
		return nil, err
	}
	rows, _ := e.data["peers"].([]any)
	for _, row := range rows {
		if row, ok := row.(map[string]any); ok && row["id"] == to.id {
			return row, nil
		}
	}
	return nil, nil
}

// since is when its connection to another came up; zero: it has none.
func (p *peer) since(other *peer) (time.Time, error) {
	way, err := p.way(other)
	text, ok := way["since"].(string)
	if err != nil || !ok {
		return time.Time{}, err
	}
	return time.Parse(time.RFC3339Nano, text)
}

// shown are the bodies that the peer has shown of another, in their order.
func (p *peer) shown(from *peer) (bodies []string) {
	for _, e := range p.happened(func(e event) bool { return e.name == "message" && e.text("from") == from.id }) {
		bodies = append(bodies, e.text("body"))
	}
	return bodies
}
