// Package core decides everything that a peer of the network decides: who is in
// the table, whom it links to, what it passes on, who is gone. It is a state
// machine without I/O, clock, goroutines, locks or randomness of its own:
//
//   - What happens comes in as method calls (Connected, Receive, Disconnected,
//     DialFailed, Heard, Want, Broadcast, Leave, Tick), each with the time.
//   - What the core wants comes out as data, by [Core.Drain] after each call.
//   - It asks to be woken by [Core.Next].
//
// So the binary and the simulator run the very same code, and the same seed
// gives the same trace. Time is a duration since an arbitrary start and never
// runs backwards. A Core is not safe for concurrent use.
//
// # The protocol in short
//
//	newcomer                 door                    everyone else
//	   | HandshakeStart ------->|                           |
//	   |<------ HandshakeResponse (OK, or a refusal)        |
//	   |                        | JOIN of the newcomer ---->| flooded, once over each link
//	   | SyncRequest ---------->|                           |
//	   |<------ SyncReply ... SyncReply(done): ready        |
//	   | Neighbour(REQUEST) --->|                           |
//	   |<------ Neighbour(ACCEPT): both sync and flood from now on
//
// A [link] is a connection whose handshake is done. Links over which
// announcements flow are neighbours: each peer asks for neighbourhood until it
// has 5 and grants it until it has 12. All other links are for direct messages.
//
// The table holds an entry for each (ID, key). Entries merge by the greater
// (epoch, seq, JOIN < LOST < LEAVE), so the order in which announcements arrive
// does not matter, and a flood ends where nothing is new. JOIN and LEAVE are
// signed by their subject. LOST is said by somebody who can't reach the subject
// and carries the signed JOIN that it buries; the subject refutes it with a JOIN
// of a higher seq, and users see nothing if that comes within a second.
//
// The owner of an ID is the smallest (epoch, key) among the living entries, in
// every table alike. The others stop.
package core

import (
	"fmt"
	"math/rand/v2"
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
)

// ProtocolVersion is HandshakeStart.version.
const ProtocolVersion = 1

// Timing and sizes. The membership study of the design (its figures are quoted
// in docs/design.md) is the source of degrees; the rest are guesses that meet
// "a crash is known within 10 s" with a margin: 3 s + 3 s + 1 s.
const (
	tickEvery        = 250 * time.Millisecond
	handshakeTimeout = 5 * time.Second        // then the connection is closed
	quietAfter       = 3 * time.Second        // without a packet: the link's peer is dialled anew
	syncTimeout      = 10 * time.Second       // for each piece of the table
	askTimeout       = 10 * time.Second       // for the answer to a request for neighbourhood
	dialTimeout      = 3 * time.Second        // of one dial
	suspectFor       = 1 * time.Second        // between LOST and its being shown: time to refute
	refuteEvery      = 200 * time.Millisecond // well below suspectFor
	lateAfter        = 2 * time.Second        // between two ticks: it was us who slept
	probeEvery       = 10 * time.Second       // one random entry without a link is dialled
	alarmFor         = 10 * time.Second       // after a link fell silent, one each probeAlarmed
	probeAlarmed     = 1 * time.Second
	healEvery        = 5 * time.Second  // one lost entry is redialled
	shortLived       = 10 * time.Second // a link that ends before; see Disconnected
	idleAfter        = 60 * time.Second // a link that serves nothing is closed
	refusedFor       = 30 * time.Second // no second request for neighbourhood
	accuseAgainAfter = 10 * time.Minute // somebody who has refuted us
	wantNeighbours   = 5                // asked for
	maxNeighbours    = 12               // granted
	maxLinks         = 256              // then newcomers are told FULL
	maxKeysPerID     = 4
	maxEntries       = 100_000        // above, the full table itself is the wrong design
	maxTombstones    = 16_384         // buried entries taken from others
	forgetAfter      = 24 * time.Hour // buried entries
	maxDials         = 64             // at once, when messages wait for very many
	maxEvicted       = 1024           // buried entries taken out and remembered
)

// LinkID names a connection. The driver gives out rising numbers and never uses
// one again, so that a late word of a dead link can't touch its successor.
type LinkID uint64

// DialID names a wish to dial.
type DialID uint64

// Config is who the peer is and what it starts from.
type Config struct {
	ID        certs.ID
	Identity  *certs.Identity
	Network   string
	Software  string
	Addresses []string // IP:PORT, for the record
	Epoch     uint64   // see pb.Record
	Join      []string // addresses to join, opaque to the core; none: a new network
	// JoinTimeout is how long to try them; 0 or less: for ever.
	JoinTimeout time.Duration
	Rand        *rand.Rand
	// VerifyRecord judges the signature of a record; nil: certs.VerifyRecord. The
	// simulator remembers its verdicts here.
	VerifyRecord func(certs.PublicKey, *pb.Signed) bool
}

// Core is the state machine.
type Core struct {
	cfg         Config
	self        *entry
	table       table
	links       []*link // in the order of their numbers
	dials       map[DialID]*dial
	shown       map[certs.ID]shownPeer // what events have said is there
	recent      []recentBroadcast
	recentBytes int
	early       []earlyBroadcast

	targets  []*target
	joinBy   time.Duration // when to give up joining; 0: never
	accepted bool          // a door has let us in, or we are the network
	ready    bool
	leaving  bool
	ended    bool

	lastDial DialID
	seeking  int // dials under way that seek a neighbour

	refuteTo    LinkID // who said last that we are lost, and was not answered; 0: nobody
	refuteAbove uint32 // the seq of which that was said
	nextRefute  time.Duration

	broadcasts uint64 // counter of our own
	now        time.Duration
	nextTick   time.Duration
	nextProbe  time.Duration
	nextHeal   time.Duration
	nextForget time.Duration
	alarmTill  time.Duration // see suspectEnd

	out Effects
}

// New returns the core of a peer that begins now. Drain it at once: it may want
// to dial, and without addresses to join it is ready.
func New(cfg Config, now time.Duration) *Core {
	if cfg.VerifyRecord == nil {
		cfg.VerifyRecord = certs.VerifyRecord
	}
	c := &Core{
		cfg:   cfg,
		dials: make(map[DialID]*dial),
		shown: make(map[certs.ID]shownPeer),
	}
	c.begin(now)
	c.nextTick, c.nextProbe, c.nextHeal = now, now+probeEvery, now+healEvery
	c.setOwnRecord(pb.AnnouncementType_JOIN, 0)
	if len(cfg.Join) == 0 {
		c.accepted = true
		c.becomeReady()
		return c
	}
	if cfg.JoinTimeout > 0 {
		c.joinBy = now + cfg.JoinTimeout
	}
	for _, address := range cfg.Join {
		c.targets = append(c.targets, &target{address: address, addresses: []string{address}})
	}
	c.dialTargets()
	return c
}

// setOwnRecord signs a new statement about ourselves and puts it into the table.
func (c *Core) setOwnRecord(state pb.AnnouncementType, seq uint32) {
	key := c.cfg.Identity.Key()
	record := &pb.Record{
		Type: state, Id: string(c.cfg.ID), Key: key[:], Network: c.cfg.Network,
		Epoch: c.cfg.Epoch, Seq: seq,
	}
	if state == pb.AnnouncementType_JOIN {
		record.Addresses = c.cfg.Addresses
	}
	if c.self == nil {
		c.self = &entry{id: c.cfg.ID, key: c.cfg.Identity.Key()}
		c.table.insert(c.self)
	}
	c.self.record, c.self.signed, c.self.state = record, c.cfg.Identity.SignRecord(record), state
	c.self.buried = c.now // of use with LEAVE
	c.table.changed()
}

// begin notes the time of an input.
func (c *Core) begin(now time.Duration) {
	if now > c.now {
		c.now = now
	}
}

// Next is when Tick wants to be called.
func (c *Core) Next() time.Duration { return c.nextTick }

// Tick does what is due: timeouts, detection, neighbours, redials.
func (c *Core) Tick(now time.Duration) {
	c.begin(now)
	if now < c.nextTick {
		return
	}
	late := now-c.nextTick > lateAfter
	c.nextTick = now + tickEvery
	if c.ended {
		return
	}
	if late {
		c.forgiveSilence()
	}
	c.checkJoining()
	c.checkHandshakes()
	c.checkLinks()
	c.showLost()
	c.refute()
	c.forget()
	c.expireBroadcasts()
	if c.ready && !c.leaving {
		c.seekNeighbours()
		c.dialWanted()
		c.probe()
		c.heal()
	}
}

// Leave says goodbye: LEAVE goes out on every link, behind what was broadcast last
// so that it overtakes none of that, then each is closed. The driver may stop once
// they are.
func (c *Core) Leave(now time.Duration) {
	c.begin(now)
	if c.leaving || c.ended {
		return
	}
	c.leaving = true
	c.setOwnRecord(pb.AnnouncementType_LEAVE, c.self.record.GetSeq()+1)
	for _, l := range c.links {
		if l.state == linkUp {
			if !l.neighbour {
				c.repeatBroadcasts(l)
			}
			c.announceTo(l, c.self, 0)
		}
		c.close(l, CloseBye, "leaving")
	}
}

// fail ends the core: the driver sends what is queued, closes and reports err.
func (c *Core) fail(err error) {
	if c.ended {
		return
	}
	if c.accepted {
		c.Leave(c.now)
	}
	c.ended = true
	c.out.Err = err
}

// StartedElsewhereError: a newer run of this very identity is in the network.
type StartedElsewhereError struct{}

func (*StartedElsewhereError) Error() string { return "this identity has been started elsewhere" }

// DuplicateIDError: another key holds our ID.
type DuplicateIDError struct{ Holder certs.PublicKey }

func (e *DuplicateIDError) Error() string {
	return fmt.Sprintf("the ID is in use by the peer with key %v", e.Holder)
}
