// Package core decides everything that a peer of the network decides: who is in
// the table, whom it links to, what it passes on, who is gone. It is a state
// machine without I/O, clock, goroutines, locks or randomness of its own:
//
//   - What happens comes in as an [Input], by [Core.Step] with the time.
//   - What the core wants comes out as data, by [Core.Drain] after each step.
//   - It asks for the next [Tick] by [Core.Next].
//
// So the binary and the simulator run the very same code, and the same seed
// gives the same trace. Time is a duration since an arbitrary start and never
// runs backwards. A Core is not safe for concurrent use.
//
// # The machines
//
// Core itself decides little: it hands each input to the machine responsible for it, and the
// outcome to the others. Each machine has its own state, in a file or a few:
//
//	env              shared by all: the configuration, the time, the effects so far
//	table            who is known: records, versions, tombstones, fingerprints
//	links            the connections, and how far others are over each (RIP's distance vectors)
//	routes           frames for peers that have no link
//	where            the addresses at which we are reached, and those at which others may be
//	doubt            whether the fault may be ours (Lifeguard's local health awareness)
//	gossip           announcements: which are news, and where they go
//	reach            dials, simultaneous opens through NATs (as DCUtR), the choice between links
//	relay            sealed batches for peers that can't be dialled
//	custody          mailboxes: what we keep for others, and what others keep for us
//	broadcasts       messages to everyone, in the order of each author
//	probes           direct and indirect probes (SWIM): does anybody still hear a peer?
//	detect           which links are silent, and whom to probe
//	sync             taking a table, and comparing two
//	join             doors, acquaintances, coming home
//	neighbourhood    whom to exchange announcements with (as HyParView's active view)
//	own              what we say of ourselves; refutations
//	roll             merging news into the table, and forgetting
//	view             what the user has been shown
//	visit            visitors and guests
//	door             who may come in
//
// A machine calls only those above it in this list. It reports downwards in one of two ways:
// roll.merge returns an update of the table, which Core.inform tells each machine once, in a
// fixed order; anything else is a happening (changes.go), which Core passes on when the machine
// has returned.
//
// # The protocol in short
//
//	newcomer                 door                    everyone else
//	   | HandshakeStart ------->|                           |
//	   |<------ HandshakeResponse (OK, or a refusal)        |
//	   |                        | JOIN of the newcomer ---->| flooded, once over each link
//	   | Reconcile ------------>| what it has: next to nothing
//	   |<------ Reconcile(answer) ... with all else: ready  |
//	   | Neighbour(REQUEST) --->|                           |
//	   |<------ Neighbour(ACCEPT): both flood to each other from now on
//	   | Reconcile ------------>| the fingerprint of its table
//	   |<------ Reconcile(answer): the tables are equal; else they find out what differs
//
// A [link] is a connection whose handshake is done. Links over which
// announcements flow are neighbours: each peer asks for neighbourhood until it
// has 7, and grants it until it has 10. All other links are for direct
// messages. A newcomer takes a whole table; neighbours find out where theirs differ
// when they have become neighbours and about once a minute. Both are the same exchange (sync.go).
//
// The table holds an entry for each (ID, key). Entries merge by the greater
// (epoch, seq, JOIN < LOST < LEAVE), so the order in which announcements arrive
// does not matter, and a flood ends where nothing is new. JOIN and LEAVE are
// signed by their subject. LOST carries the signed JOIN that it buries and names
// its accuser; the subject refutes it with a JOIN of a higher seq, and users see
// nothing if that comes in time (suspicion.go).
//
// Failures are detected as in SWIM (Das, Gupta, Motivala 2002), with links instead of periodic
// pings. A peer whose link falls silent asks the silent peer's other neighbours, which that peer
// has listed itself (NeighbourList), when they last heard it:
//
//	accuser                  witnesses               everyone else
//	   | Question ------------->|                           |
//	   |<------------- Answer(not heard), of three          |
//	   | LOST --------------------------------------------->| flooded
//	   |                        | LOST, by another accuser->| flooded: sooner shown
//
// One Answer(fresh) keeps the peer. Questions and answers are Routed over peers in between, by
// the distances that neighbours tell each other (Routes).
//
// A sealed batch for a peer that can't be dialled goes over others too, as an Envelope in parts,
// by [Core.Route]; a peer that passes it on limits it by bytes and says so (Refusal). For a peer
// that is away it is left with up to three others for a day (Deposit). The core never opens it;
// the driver seals and opens, confirms, and sends again until it is confirmed:
//
//	depositor              holder                  receiver, later
//	   | Deposit ------------>|                           |
//	   |<------ DepositAnswer(kept)                       |
//	   |                      | Envelope ---------------->| when it is here, until
//	   |                      |<----- Collected(receipts) | it has signed for it
//	   |<----------- Envelope | when the depositor is here
//
// A broadcast is flooded like an announcement, numbered by its author and shown in that order,
// once. Each peer remembers those of the last minutes. Neighbours tell each other how far they
// have come in each run, and the one that is behind pulls what it has missed:
//
//	neighbour                peer that was cut off       its other neighbours
//	   | BroadcastsHeld ------->|                           |
//	   |<----- BroadcastsWanted |                           |
//	   | Broadcast ... -------->| BroadcastsHeld ---------->|
//
// The owner of an ID is the smallest (epoch, key) among the living entries, in
// every table alike. The others stop.
package core

import (
	"quicpeer/pb"
	"time"
)

// tickEvery is the pace of everything that is not due at a time of its own.
const tickEvery = 250 * time.Millisecond

// Core is the state machine. It owns the machines that decide, each about one subject: it gives
// each input to those concerned, and tells the others the outcome (changes.go).
type Core struct {
	*env
	table         *table
	links         *links
	routes        *routes
	where         *whereabouts
	doubt         *doubt
	gossip        *gossip
	reach         *reach
	relay         *relay
	custody       *custody
	broadcasts    *broadcasts
	probes        *probes
	detect        *detector
	sync          *syncer
	join          *joiner
	neighbourhood *neighbourhood
	own           *own
	view          *view
	roll          *roll
	visit         *visit
	door          *door
}

// New returns the core of a peer that begins now. Drain it at once: it may want
// to dial, and without addresses to join it is ready.
func New(cfg Config, now time.Duration) *Core {
	if cfg.Open == nil {
		cfg.Open = OpenRecord
	}
	if cfg.Verify == nil {
		cfg.Verify = Claim.Valid
	}
	c := assemble(&env{cfg: cfg, now: now, nextTick: now})
	c.doubt.lastHeard = now
	c.detect.nextProbe, c.neighbourhood.nextHeal, c.sync.nextCompare = now+c.jitter(probeEvery), now+c.jitter(healEvery), now+c.jitter(compareEvery)
	c.own.renewAt = now + renewEvery - c.jitter(time.Hour)
	c.where.own, c.where.near = cfg.Addresses, cfg.Near
	c.table.load(cfg.Members, now)
	c.custody.loadCustody()
	c.visiting = cfg.Visitor && (len(cfg.Join) > 0 || cfg.Discover)
	c.own.setOwnRecord(pb.AnnouncementType_JOIN, 0)
	if len(cfg.Join) == 0 && cfg.Discover {
		c.join.discoverBy = now + discoverFor
		c.wake(c.join.discoverBy)
	} else if len(cfg.Join) == 0 {
		c.accepted = true
		c.becomeReady()
		c.cfg.Members = nil
		c.untried = len(cfg.Met) > 0
		c.join.meetAgain(cfg.Met)
		c.join.dialTargets()
		return c
	}
	if cfg.JoinTimeout > 0 {
		c.joinBy = now + cfg.JoinTimeout
	}
	for _, address := range cfg.Join {
		c.join.targets = append(c.join.targets, &target{address: address, addresses: []string{address}, given: true})
	}
	c.join.meetAgain(cfg.Met)
	c.join.dialTargets()
	return c
}

// assemble makes the machines of a core and connects each to those that it calls.
func assemble(en *env) *Core {
	t := &table{env: en}
	ls := &links{env: en, table: t}
	rt := &routes{env: en, table: t, links: ls}
	wh := &whereabouts{env: en, table: t, links: ls}
	db := &doubt{env: en}
	g := &gossip{env: en, table: t, links: ls, routes: rt, doubt: db}
	re := &reach{env: en, table: t, links: ls, routes: rt, where: wh, doubt: db, dials: make(map[DialID]*dial)}
	rl := &relay{env: en, table: t, links: ls, routes: rt}
	cu := &custody{env: en, table: t, links: ls, routes: rt, relay: rl}
	bc := &broadcasts{env: en, table: t, links: ls, doubt: db, runs: make(map[uint64]*run)}
	pr := &probes{env: en, table: t, links: ls, routes: rt, doubt: db, gossip: g, reach: re}
	dt := &detector{env: en, table: t, links: ls, doubt: db, reach: re, probes: pr}
	sy := &syncer{env: en, table: t, links: ls, gossip: g, batches: make(map[VerifyID]*batch), judged: make(map[uint64]*Record)}
	jn := &joiner{env: en, table: t, links: ls, where: wh, reach: re, sync: sy}
	nb := &neighbourhood{env: en, table: t, links: ls, routes: rt, gossip: g, reach: re, broadcasts: bc, sync: sy}
	ow := &own{env: en, table: t, links: ls, routes: rt, where: wh, gossip: g}
	v := &view{env: en, table: t, links: ls, custody: cu, broadcasts: bc}
	ro := &roll{env: en, table: t}
	vs := &visit{env: en, table: t, links: ls, doubt: db, gossip: g, neighbourhood: nb, own: ow, roll: ro}
	return &Core{
		env: en, table: t, links: ls, routes: rt, where: wh, doubt: db, gossip: g, reach: re, relay: rl, custody: cu, broadcasts: bc, probes: pr,
		detect: dt, sync: sy, join: jn, neighbourhood: nb, own: ow, view: v, roll: ro, visit: vs, door: &door{env: en, table: t, links: ls},
	}
}

// Next is when Tick wants to be called.
func (c *Core) Next() time.Duration { return c.nextTick }

// tick does what is due.
func (c *Core) tick() {
	late := c.now - c.nextTick
	c.nextTick = c.now + tickEvery
	if c.ended {
		return
	}
	c.doubt.recover()
	if late > stoppedAfter {
		c.detect.cameLate(late)
		c.settle()
	}
	c.join.checkJoining()
	c.settle()
	c.links.checkHandshakes()
	c.detect.checkLinks()
	c.settle()
	c.visit.checkVisits()
	c.view.showLost()
	c.own.refute()
	c.own.renew()
	c.forget()
	c.view.becomeSure()
	c.broadcasts.expireBroadcasts()
	c.relay.expirePartials()
	c.reach.keepMeetings()
	if c.where.pending {
		c.own.renewAddresses()
	}
	if c.ready && !c.leaving {
		c.probes.pursue()
		c.settle()
		if !c.visiting {
			c.neighbourhood.seekNeighbours()
		}
		c.reach.dialWanted()
		c.detect.probe()
		c.join.dialTargets()
		c.neighbourhood.heal()
		c.sync.compareNow()
		c.custody.handOver()
		c.custody.leaveDeposits()
	}
	c.neighbourhood.tellNeighbours()
	c.routes.tellRoutes()
	c.gossip.floodHeldBack()
}
