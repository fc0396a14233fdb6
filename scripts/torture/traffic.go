package main

import (
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
)

// The longest bodies, of the contract with users.
const (
	longestMessage   = 1 << 20
	longestBroadcast = 64 << 10
)

// What is sent: one in burstShare times it is a burst, one text in twinShare is sent
// twice, and for broadcastShare direct messages there is a broadcast. All are guesses
// at what finds most.
const (
	burst          = 20
	burstShare     = 100
	twinShare      = 50
	broadcastShare = 40
)

// order is a JSON command.
type order struct {
	Cmd  string `json:"cmd"`
	To   string `json:"to,omitzero"`
	Body string `json:"body"`
	Ref  string `json:"ref"`
}

// talk sends a direct message, and plans the next. Sometimes it is a text twice,
// or many texts one after the other.
func (d *driver) talk(at time.Time) {
	// As many on average as there are to be, also with those that come in bursts
	// and twice.
	mean := float64(d.time) / float64(d.messages) * (1 + float64(burst-1)/burstShare) * (1 + 1.0/twinShare)
	if next := at.Add(time.Duration(d.traffic.ExpFloat64() * mean)); next.Before(d.end) {
		d.at(next, d.talk)
	}
	from := d.peers[d.traffic.IntN(len(d.peers))]
	to := d.peers[d.traffic.IntN(len(d.peers))]
	for !d.canSend(from) || from == to {
		if !d.canSendAny() {
			d.done.skipped++
			return
		}
		from, to = d.peers[d.traffic.IntN(len(d.peers))], d.peers[d.traffic.IntN(len(d.peers))]
	}
	if d.traffic.IntN(burstShare) == 0 {
		d.burst(from, to)
	} else {
		d.write(from, to)
	}
}

// burst sends many messages one after the other, if the peer can send.
func (d *driver) burst(from, to *peer) {
	for range burst {
		if d.canSend(from) {
			d.write(from, to)
		}
	}
}

// write sends a message, now and then the same text twice.
func (d *driver) write(from, to *peer) {
	t := d.body(from, to.name, longestMessage)
	d.say(from, t)
	if d.traffic.IntN(twinShare) == 0 {
		d.say(from, t)
	}
}

// shout sends a broadcast, and plans the next.
func (d *driver) shout(at time.Time) {
	mean := float64(d.time) / float64(d.messages) * broadcastShare
	if next := at.Add(time.Duration(d.traffic.ExpFloat64() * mean)); next.Before(d.end) {
		d.at(next, d.shout)
	}
	if from := d.peers[d.traffic.IntN(len(d.peers))]; d.canSend(from) {
		d.say(from, d.body(from, everyone, longestBroadcast))
	}
}

// canSend reports whether a peer runs, has joined, and has read most of what it was
// given.
func (d *driver) canSend(p *peer) bool {
	return p.doomed == notDoomed && d.isReady(p) && len(p.process.input) < mostInput/2
}

func (d *driver) canSendAny() bool {
	for _, p := range d.peers {
		if d.canSend(p) {
			return true
		}
	}
	return false
}

// text is a body with what it says.
type text struct {
	stamp
	body string
}

// body makes a new text from one peer to another or to everyone.
func (d *driver) body(from *peer, to string, longest int) text {
	from.bodies[to]++
	s := stamp{from.name, to, from.bodies[to]}
	return text{s, s.body(size(d.traffic, longest), d.traffic)}
}

// say gives a peer the command to send a text.
func (d *driver) say(from *peer, t text) {
	from.ordered++
	o := order{Cmd: "send", To: t.to, Body: t.body, Ref: fmt.Sprintf("%s-%06d", from.name, from.ordered)}
	if t.to == everyone {
		o.Cmd, o.To = "broadcast", ""
	}
	line, err := json.Marshal(o)
	if err != nil {
		d.faults = append(d.faults, "a command can't be encoded: "+err.Error())
		return
	}
	select {
	case from.process.input <- append(line, '\n'):
		d.history.command(&command{ref: o.Ref, stamp: t.stamp, at: time.Now(), run: from.process.run})
	default:
		d.done.skipped++
	}
}
