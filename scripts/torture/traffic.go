package main

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/go-json-experiment/json"
)

// The longest bodies, of the contract with users.
const (
	longestMessage   = 1 << 20
	longestBroadcast = 64 << 10
)

// The mix of messages: one in burstShare times it is a burst, one text in twinShare is
// sent twice, and for broadcastShare direct messages there is a broadcast. All are guesses
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

// traffic has the peers send messages.
type traffic struct {
	settings
	peers   []*peer
	history *history
	agenda  *agenda
	lot     *rand.Rand
	end     time.Time // nothing is sent later
	skipped int       // sends that no peer could take
}

// talk sends a direct message, and plans the next. Sometimes it is a text twice,
// or many texts one after the other.
func (t *traffic) talk(at time.Time) {
	// As many on average as there are to be, also with those that come in bursts
	// and twice.
	mean := float64(t.time) / float64(t.messages) * (1 + float64(burst-1)/burstShare) * (1 + 1.0/twinShare)
	if next := at.Add(time.Duration(t.lot.ExpFloat64() * mean)); next.Before(t.end) {
		t.agenda.plan(next, t.talk)
	}
	from := t.peers[t.lot.IntN(len(t.peers))]
	to := t.peers[t.lot.IntN(len(t.peers))]
	for !t.canSend(from) || from == to {
		if !t.canSendAny() {
			t.skipped++
			return
		}
		from, to = t.peers[t.lot.IntN(len(t.peers))], t.peers[t.lot.IntN(len(t.peers))]
	}
	if t.lot.IntN(burstShare) == 0 {
		t.burst(from, to)
	} else {
		t.write(from, to)
	}
}

// burst sends many messages one after the other, if the peer can send.
func (t *traffic) burst(from, to *peer) {
	for range burst {
		if t.canSend(from) {
			t.write(from, to)
		}
	}
}

// write sends a message, now and then the same text twice.
func (t *traffic) write(from, to *peer) {
	message := t.body(from, to.name, longestMessage)
	t.say(from, message)
	if t.lot.IntN(twinShare) == 0 {
		t.say(from, message)
	}
}

// shout sends a broadcast, and plans the next.
func (t *traffic) shout(at time.Time) {
	mean := float64(t.time) / float64(t.messages) * broadcastShare
	if next := at.Add(time.Duration(t.lot.ExpFloat64() * mean)); next.Before(t.end) {
		t.agenda.plan(next, t.shout)
	}
	if from := t.peers[t.lot.IntN(len(t.peers))]; t.canSend(from) {
		t.say(from, t.body(from, everyone, longestBroadcast))
	}
}

// canSend reports whether a peer runs, has joined, and has read most of what it was
// given.
func (t *traffic) canSend(p *peer) bool {
	return p.doomed == notDoomed && t.history.isReady(p) && p.process.Unread() < mostInput/2
}

func (t *traffic) canSendAny() bool {
	for _, p := range t.peers {
		if t.canSend(p) {
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
func (t *traffic) body(from *peer, to string, longest int) text {
	from.bodies[to]++
	s := stamp{from.name, to, from.bodies[to]}
	return text{s, s.body(size(t.lot, longest), t.lot)}
}

// say gives a peer the command to send a text. One that reads too slowly is spared.
func (t *traffic) say(from *peer, what text) {
	from.ordered++
	o := order{Cmd: "send", To: what.to, Body: what.body, Ref: fmt.Sprintf("%s-%06d", from.name, from.ordered)}
	if what.to == everyone {
		o.Cmd, o.To = "broadcast", ""
	}
	line, err := json.Marshal(o)
	if err == nil {
		err = from.process.Write(append(line, '\n'))
	}
	if err != nil {
		t.skipped++
		return
	}
	t.history.command(&command{ref: o.Ref, stamp: what.stamp, at: time.Now(), run: from.run})
}
