package main

import (
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"quicpeer/scripts/internal/harness"
)

// history records the orders to the peers, the troubles done to them, and their output.
type history struct {
	mu       sync.Mutex
	commands []*command         // in the order in which they were given
	runs     map[string][]*run  // by peer, one after the other
	troubles map[string][]*span // by peer; of the whole network by ""
	over     time.Time          // the end of the chaos
}

// command is an order to a peer to send a message.
type command struct {
	ref string // unique
	stamp
	at  time.Time
	run *run // of the sender
}

// run is one process of a peer.
type run struct {
	peer   string
	number int // of the peer's runs, from 1
	killed bool
	ready  time.Time
	ended  time.Time
	facts  []*fact
}

// fact is one event that a peer has printed, as far as it matters here.
type fact struct {
	event
	run   *run
	at    time.Time // when it was read
	stamp           // of the body
	whole bool      // the body is as it was
}

// event is a JSON line.
type event struct {
	Event   string `json:"event"`
	ID      string `json:"id"`
	Message string `json:"message"`
	From    string `json:"from"`
	To      string `json:"to"`
	Ref     string `json:"ref"`
	Path    string `json:"path"`
	Body    string `json:"body"`
	Error   string `json:"error"`
	Reason  string `json:"reason"`
	Before  bool   `json:"before"` // from before the peer came: of the past, in no order with what is new
}

// span is a time in which something was the matter; without an end it still is.
type span struct{ from, to time.Time }

func (s *span) touches(from, to time.Time) bool {
	return s.from.Before(to) && (s.to.IsZero() || from.Before(s.to))
}

func newHistory() *history {
	return &history{runs: map[string][]*run{}, troubles: map[string][]*span{}}
}

func (h *history) begin(peer string) *run {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := &run{peer: peer, number: len(h.runs[peer]) + 1}
	h.runs[peer] = append(h.runs[peer], r)
	return r
}

func (h *history) end(r *run, killed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r.killed, r.ended = killed, time.Now()
}

// isReady reports whether a peer runs and has joined.
func (h *history) isReady(p *peer) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return p.running && !p.run.ready.IsZero()
}

func (h *history) command(c *command) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.commands = append(h.commands, c)
}

// trouble notes that something begins to be the matter with peers; the caller says when it is over.
func (h *history) trouble(peers ...string) (over func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &span{from: time.Now()}
	for _, name := range peers {
		h.troubles[name] = append(h.troubles[name], s)
	}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		s.to = time.Now()
	}
}

// see takes a line of a run.
func (h *history) see(r *run, line []byte) {
	f := &fact{at: time.Now(), run: r}
	if err := json.Unmarshal(line, &f.event); err != nil {
		f.event = event{Event: "garbage", Error: beginning(line)}
	}
	if f.Event == "message" {
		f.stamp, f.whole = parseBody(f.Body)
	}
	f.Body = "" // it may be long, and is not needed any more
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.Event == "ready" {
		r.ready = f.at
	}
	r.facts = append(r.facts, f)
}

// knows counts the peers that are there for a run.
func (h *history) knows(r *run) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, f := range r.facts {
		switch f.Event {
		case "peer_joined":
			n++
		case "peer_left":
			n--
		}
	}
	return n
}

// beginning is that of a line, which has what it is about.
func beginning(line []byte) string {
	return harness.Shorten(strings.TrimRight(string(line), "\n"), 300)
}

// clock is a time as reports show it.
func clock(t time.Time) string { return t.Format("15:04:05.000") }
