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
// outcome to the others. Each machine has its own state. Most are in packages of their own:
//
//	base             shared by all: the configuration, the time, the effects so far, records
//	table            who is known: entries, versions, tombstones, suspects, fingerprints
//	link             Links: the connections, and how far others are over each (RIP's distance
//	                 vectors); Doubt: whether the fault may be ours (Lifeguard)
//	route            Routes: frames for peers that have no link; Relay: sealed batches for them
//	gossip           announcements: which are news, and where they go
//	reach            Whereabouts: where we and others are reached; Reach: dials, simultaneous
//	                 opens through NATs (as DCUtR), the choice between links
//	custody          mailboxes: what we keep for others, and what others keep for us
//	past             rooms, and what was said before we came
//	broadcast        messages to everyone, in the order of each author
//	detect           Probes: does anybody still hear a peer (SWIM)? Detector: whom to probe
//	hearsay          how far others are believed about peers that we have not met
//	reconcile        making two tables equal
//	join             doors, acquaintances, coming home
//	neighbours       whom to exchange announcements with (as HyParView's active view)
//
// The last ones, which know most of the others, are files of this package:
//
//	own              what we say of ourselves; refutations
//	roll             merging news into the table, and forgetting
//	view             what the user has been shown
//	visit            visitors and guests
//	carried          links over others
//	door             who may come in
//	tickets          passes for those who have a ticket of a private network
//	members          what follows when a member is removed
//	pings            round trips by the way that messages take
//
// A machine calls only those above it in these lists. It reports downwards in one of two ways:
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
// when they have become neighbours and about once a minute. Both are the same exchange (overlay/core/reconcile/reconcile.go).
//
// The table holds an entry for each (ID, key). Entries merge by the greater
// (epoch, seq, JOIN < LOST < LEAVE), so the order in which announcements arrive
// does not matter, and a flood ends where nothing is new. JOIN and LEAVE are
// signed by their subject. LOST carries the signed JOIN that it buries and names
// its accuser; the subject refutes it with a JOIN of a higher seq, and users see
// nothing if that comes in time (overlay/core/table/suspicion.go).
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
// by [Core.Route]; a peer that passes it on limits it by bytes. For a peer
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
// An ID belongs, for each peer, to the key that it met first, as long as that is here or was not lost
// for long; others that claim it are known by a longer name (overlay/core/table/owner.go). Of two that
// start at the same time at two doors the younger stops.
package core

import (
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/broadcast"
	"quicpeer/overlay/core/custody"
	"quicpeer/overlay/core/detect"
	"quicpeer/overlay/core/gossip"
	"quicpeer/overlay/core/hearsay"
	"quicpeer/overlay/core/join"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/neighbours"
	"quicpeer/overlay/core/past"
	"quicpeer/overlay/core/reach"
	"quicpeer/overlay/core/reconcile"
	"quicpeer/overlay/core/route"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// tickEvery is the pace of everything that is not due at a time of its own.
const tickEvery = 250 * time.Millisecond

// Core is the state machine. It owns the machines that decide, each about one subject: it gives
// each input to those concerned, and tells the others the outcome (changes.go).
type Core struct {
	env           *base.Env
	table         *table.Table
	links         *link.Links
	routes        *route.Routes
	where         *reach.Whereabouts
	doubt         *link.Doubt
	reach         *reach.Reach
	relay         *route.Relay
	custody       *custody.Custody
	past          *past.Past
	broadcasts    *broadcast.Broadcasts
	probes        *detect.Probes
	detect        *detect.Detector
	join          *join.Joiner
	neighbourhood *neighbours.Neighbourhood
	own           *own
	view          *view
	roll          *roll
	visit         *visit
	door          *door
	carried       *carried
	pings         *pings
	learning
	admission
}

// learning is how we hear of others.
type learning struct {
	gossip  *gossip.Gossip
	hearsay *hearsay.Hearsay
	sync    *reconcile.Syncer
}

// admission is what a private network has more.
type admission struct {
	tickets *tickets
	members *members
}

// New returns the core of a peer that begins now. Drain it at once: it may want
// to dial, and without addresses to join it is ready.
func New(cfg base.Config, now time.Duration) *Core {
	switch private := cfg.Key != (certs.PublicKey{}); {
	case cfg.Open != nil:
	case private:
		cfg.Open = base.OpenMember
	default:
		cfg.Open = base.OpenRecord
	}
	if cfg.Verify == nil {
		cfg.Verify = base.Claim.Valid
	}
	c := assemble(&base.Env{Cfg: cfg, Now: now, NextTick: now, Passes: base.NewPasses(cfg.Key, cfg.Verify)})
	c.detect.NextProbe, c.neighbourhood.NextHeal, c.sync.NextCompare = now+c.env.Jitter(detect.ProbeEvery), now+c.env.Jitter(neighbours.HealEvery), now+c.env.Jitter(reconcile.CompareEvery)
	c.own.renewAt = now + renewEvery - c.env.Jitter(time.Hour)
	c.own.measureAt = now + measureFirst
	c.table.Load(cfg.Members, now)
	c.env.Visiting = cfg.Visitor && (len(cfg.Join) > 0 || cfg.Discover)
	c.own.setOwnRecord(pb.AnnouncementType_JOIN, 0)
	c.members.loadRemovals()
	if len(cfg.Join) == 0 && !cfg.Discover {
		c.becomeReady()
		c.env.Cfg.Members = nil
		c.env.Untried = len(cfg.Met) > 0
	}
	c.join.Begin()
	return c
}

// assemble makes the machines of a core and connects each to those that it calls.
func assemble(en *base.Env) *Core {
	t := &table.Table{Env: en}
	ls := link.NewLinks(en, t)
	rt := route.NewRoutes(en, t, ls)
	wh := reach.NewWhereabouts(en, t, ls)
	db := link.NewDoubt(en, ls)
	g := gossip.New(en, t, ls, rt, db)
	re := reach.New(en, t, ls, rt, wh, db)
	rl := route.NewRelay(en, t, ls, rt)
	cu := custody.New(en, t, ls, rt, rl)
	pa := past.New(en, t, ls)
	bc := broadcast.New(en, t, ls, db, pa)
	pr := detect.NewProbes(en, t, ls, rt, db, re)
	dt := detect.NewDetector(en, t, ls, db, re, pr)
	hs := hearsay.New(en, t, ls, rt, db, pr)
	sy := reconcile.New(en, t, ls, g, hs)
	jn := join.New(en, t, ls, wh, re, sy)
	nb := neighbours.New(en, t, ls, rt, db, g, re, bc, sy)
	ow := &own{Env: en, table: t, links: ls, routes: rt, where: wh, gossip: g}
	v := &view{Env: en, table: t, links: ls, custody: cu, broadcasts: bc}
	ro := &roll{Env: en, table: t}
	vs := &visit{Env: en, table: t, links: ls, doubt: db, gossip: g, neighbourhood: nb, own: ow, roll: ro}
	ca := &carried{Env: en, table: t, links: ls, routes: rt}
	return &Core{
		env: en, table: t, links: ls, routes: rt, where: wh, doubt: db, reach: re, relay: rl, custody: cu, past: pa, broadcasts: bc, probes: pr,
		detect: dt, join: jn, neighbourhood: nb, own: ow, view: v, roll: ro, visit: vs, door: &door{Env: en, table: t, links: ls},
		carried: ca, pings: &pings{Env: en, table: t, links: ls, routes: rt, reach: re, carried: ca},
		learning: learning{gossip: g, hearsay: hs, sync: sy},
		admission: admission{
			tickets: &tickets{Env: en, table: t, links: ls, routes: rt, own: ow},
			members: &members{Env: en, table: t, links: ls, gossip: g, custody: cu, join: jn, roll: ro},
		},
	}
}

// Next is when Tick wants to be called.
func (c *Core) Next() time.Duration { return c.env.NextTick }

// tick does what is due.
func (c *Core) tick() {
	late := c.env.Now - c.env.NextTick
	c.env.NextTick = c.env.Now + tickEvery
	if c.env.Ended {
		return
	}
	c.doubt.Recover()
	if late > detect.StoppedAfter {
		c.detect.CameLate(late)
		c.settle()
	}
	c.join.CheckJoining()
	c.settle()
	c.links.CheckHandshakes()
	c.detect.CheckLinks()
	c.settle()
	c.carried.check()
	c.visit.checkVisits()
	c.view.showLost()
	c.own.refute()
	c.own.renew()
	c.own.measure()
	c.forget()
	c.view.becomeSure()
	c.view.checkClaimants()
	c.broadcasts.ExpireBroadcasts()
	c.past.Pursue()
	c.relay.ExpirePartials()
	c.reach.KeepMeetings()
	if c.own.pending {
		c.own.renewChanged()
	}
	if c.env.Ready && !c.env.Leaving {
		c.probes.Pursue()
		c.hearsay.Pursue()
		c.settle()
		if !c.env.Visiting {
			c.neighbourhood.CheckNeighbours()
			c.neighbourhood.SeekNeighbours()
		}
		c.reach.DialWanted()
		c.pings.checkPings()
		c.detect.Probe()
		c.join.DialTargets()
		c.neighbourhood.Heal()
		c.sync.CompareNow()
		c.custody.HandOver()
		c.custody.LeaveDeposits()
	}
	c.neighbourhood.TellNeighbours()
	c.routes.TellRoutes()
	c.gossip.FloodHeldBack()
}
