package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
)

// The longest bodies, of the contract with users.
const (
	longestMessage   = 1 << 20
	longestBroadcast = 64 << 10
)

// The mix of messages: one in burstShare times it is a burst, one text in twinShare is sent twice,
// and for broadcastShare direct messages there is a broadcast. All are guesses at what finds most.
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
	// As many on average as there are to be, also with those that come in bursts and twice.
	mean := float64(t.time) / float64(t.messages) * (1 + float64(burst-1)/burstShare) * (1 + 1.0/twinShare)
	if next := at.Add(time.Duration(t.lot.ExpFloat64() * mean)); next.Before(t.end) {
		t.agenda.plan(next, t.talk)
	}
	able := slices.DeleteFunc(slices.Clone(t.peers), func(p *peer) bool { return !t.canSend(p) })
	if len(able) == 0 {
		t.skipped++
		return
	}
	from := able[t.lot.IntN(len(able))]
	to := t.otherThan(from, t.lot)
	if t.lot.IntN(burstShare) == 0 {
		t.burst(from, to)
	} else {
		t.write(from, to)
	}
}

// otherThan draws one of the other peers.
func (t *traffic) otherThan(p *peer, lot *rand.Rand) *peer {
	return t.peers[(p.number+1+lot.IntN(len(t.peers)-1))%len(t.peers)]
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
	what, body := t.body(from, to.name, longestMessage)
	t.say(from, what, body)
	if t.lot.IntN(twinShare) == 0 {
		t.say(from, what, body)
	}
}

// shout sends a broadcast, and plans the next.
func (t *traffic) shout(at time.Time) {
	mean := float64(t.time) / float64(t.messages) * broadcastShare
	if next := at.Add(time.Duration(t.lot.ExpFloat64() * mean)); next.Before(t.end) {
		t.agenda.plan(next, t.shout)
	}
	if from := t.peers[t.lot.IntN(len(t.peers))]; t.canSend(from) {
		what, body := t.body(from, everyone, longestBroadcast)
		t.say(from, what, body)
	}
}

// canSend reports whether a peer runs, has joined, and has read most of what it was given.
func (t *traffic) canSend(p *peer) bool {
	return p.doomed == notDoomed && t.history.isReady(p) && p.process.Unread() < mostInput/2
}

// body makes a new text from one peer to another or to everyone.
func (t *traffic) body(from *peer, to string, longest int) (what stamp, body string) {
	from.bodies[to]++
	what = stamp{from.name, to, from.bodies[to]}
	return what, what.body(size(t.lot, longest), t.lot)
}

// say gives a peer the command to send a text. One that reads too slowly is spared.
func (t *traffic) say(from *peer, what stamp, body string) {
	from.ordered++
	o := order{Cmd: "send", To: what.to, Body: body, Ref: fmt.Sprintf("%s-%06d", from.name, from.ordered)}
	if what.to == everyone {
		o.Cmd, o.To = "broadcast", ""
	}
	line, err := json.Marshal(o)
	if err != nil {
		panic(err) // of strings alone
	}
	if from.process.Write(append(line, '\n')) != nil {
		t.skipped++
		return
	}
	t.history.command(&command{ref: o.Ref, stamp: what, at: time.Now(), run: from.run})
}
