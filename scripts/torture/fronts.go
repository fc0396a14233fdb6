package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"sync"
	"time"

	"quicpeer/scripts/internal/harness"
)

// Front ends come and go beside the peers: a chat, a reader of the events, one of the history. None of
// them may change what is shown, delivered or failed, however they end. (Three at a time on average.)
const frontEvery = 8 * time.Second

var frontWords = []string{"attach", "events --follow --from 1", "events --follow", "history --last 100"}

// front attaches a front end to a peer, and ends it: by the end of its input, or by a kill.
func (d *driver) front(at time.Time) {
	d.again(at, frontEvery, d.front)
	p := d.peers[d.chaos.IntN(len(d.peers))]
	words := frontWords[d.chaos.IntN(len(frontWords))]
	cmd := exec.Command(d.program, append([]string{"--state-dir", p.path + ".state"}, strings.Fields(words)...)...)
	cmd.Env = harness.Environment(d.dir)
	r := &frontReader{}
	cmd.Stdout = r
	input, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		d.fault("a front end of %s can't be started: %v", p.name, err)
		return
	}
	d.done.fronts++
	d.after(d.between(0, 6*time.Second), func() {
		if d.chaos.IntN(2) == 0 {
			input.Close() // ends a chat
			time.AfterFunc(time.Second, func() { cmd.Process.Kill() })
		} else {
			cmd.Process.Kill()
		}
		d.fronts.Go(func() {
			_ = cmd.Wait() // the peer may have ended first, or not run at all
			if words != frontWords[0] && !r.rising() {
				d.fronts.fault("a reader of the events of " + p.name + " has had a position twice, or late")
			}
			_ = input.Close()
		})
	})
}

// fronts are the front ends that are being waited for, and what was wrong with those that have ended.
type fronts struct {
	sync.WaitGroup
	mu     sync.Mutex
	faults []string
}

func (f *fronts) fault(what string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = append(f.faults, what)
}

// frontReader is what a front end prints.
type frontReader struct{ bytes.Buffer }

// rising says that each position that it has read is behind the one before.
func (r *frontReader) rising() bool {
	last := uint64(0)
	for s := bufio.NewScanner(&r.Buffer); s.Scan(); {
		var line struct{ Pos uint64 }
		if json.Unmarshal(s.Bytes(), &line) != nil || line.Pos == 0 {
			continue // cut off by the kill, or not of a message
		}
		if line.Pos <= last {
			return false
		}
		last = line.Pos
	}
	return true
}
