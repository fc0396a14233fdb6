package core

import (
	"encoding/binary"
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
)

// Bounds of what waits for a record (guesses): long enough for one to come by
// another way.
const (
	recentFor   = 5 * time.Second
	maxEarly    = 64
	maxArrivals = 4096
	broadcastID = 1 << 63 // the counters of broadcasts have this bit
)

// broadcasts passes on what is said to everyone, and brings it into the order of each
// author.
type broadcasts struct {
	*env
	table *table
	links *links
	doubt *doubt

	said        uint64             // by us
	runs        map[uint64]*run    // of which broadcasts are remembered, by name
	recent      []*recentBroadcast // in the order in which they came
	recentBytes int
	holding     []*run // broadcasts are held back
	caughtUp    []*run // on some of them, and the neighbours are not told
	leaves      []*run // their authors have left, and nobody is told yet
	lateRuns    []*run // of authors that have gone, and are here for what they had said
	offers      []broadcastOffer
	early       []earlyBroadcast
	arrivals    []arrival
}

// earlyBroadcast waits for its author's record.
type earlyBroadcast struct {
	at      time.Duration
	link    LinkID
	author  certs.ID
	message *pb.Broadcast
}

// arrival is when a run began, in our eyes: it gets no broadcast of before.
type arrival struct {
	entry *entry
	at    time.Duration
}

// say is Broadcast.
func (bc *broadcasts) say(body string, sentAt int64) [pb.MessageIDSize]byte {
	bc.said++
	key := bc.cfg.Identity.Key()
	prefix := certs.MessagePrefix(key, bc.cfg.Epoch, bc.cfg.Nonce)
	id := binary.BigEndian.AppendUint64(prefix[:], broadcastID|bc.said)
	content := bc.cfg.Identity.SignBroadcast(&pb.BroadcastContent{
		Id: id, Sender: string(bc.cfg.ID), Key: key[:], Network: bc.cfg.Network, Content: body, SentAt: sentAt,
	})
	r := bc.runOf(bc.table.self)
	r.next, r.heard = bc.said+1, true
	bc.remember(&recentBroadcast{run: r, number: bc.said, at: bc.now, said: bc.now, signed: content})
	bc.keepBounds(r)
	bc.spread(nil, content, 0, bc.now)
	return [pb.MessageIDSize]byte(id)
}

// spread sends a broadcast to all neighbours, and guests, but the one it came from. Who has
// no neighbour yet uses what links there are.
func (bc *broadcasts) spread(from *link, content *pb.Signed, hops uint32, said time.Duration) {
	if hops > pb.MaxHops {
		return
	}
	alone := bc.links.neighbours() == 0
	var data []byte
	for _, l := range bc.links.list {
		if l == from || l.state != linkUp || !l.neighbour && !l.isGuest() && !alone {
			continue
		}
		bc.links.flushLink(l)
		if data == nil {
			data = encode(&pb.Broadcast{Content: content, Hops: hops, Age: toAge(bc.now - said)})
		}
		bc.out.Frames = append(bc.out.Frames, Frame{Link: l.id, Data: data, Relayed: from != nil})
	}
}

// receiveBroadcast takes a broadcast. What is new is kept, passed on at once, and
// shown when it is its turn.
func (bc *broadcasts) receiveBroadcast(l *link, m *pb.Broadcast) {
	content, err := pb.ParseBroadcast(m.GetContent())
	if err != nil {
		bc.links.skip(l, err)
		return
	}
	if content.GetNetwork() != bc.cfg.Network {
		bc.links.violation(l, "a broadcast of another network")
		return
	}
	id, key := certs.ID(content.GetSender()), certs.PublicKey(content.GetKey())
	if key == bc.cfg.Identity.Key() {
		return
	}
	e := bc.table.get(id, key)
	if e == nil || [8]byte(content.GetId()[:8]) != certs.MessagePrefix(key, e.record.Epoch, e.record.Nonce) {
		// Nobody knows whether a run that we don't know is over or is about to be announced.
		if len(bc.early) < maxEarly {
			bc.early = append(bc.early, earlyBroadcast{bc.now, l.id, id, m})
		}
		return
	}
	counter := binary.BigEndian.Uint64(content.GetId()[8:])
	r := bc.runOf(e)
	number := counter &^ broadcastID
	if counter&broadcastID == 0 || !r.audible() || r.has(number) {
		return
	}
	if !bc.cfg.Verify(Claim{Broadcast: true, Key: key, Signed: m.GetContent()}) {
		bc.links.violation(l, "a broadcast that its author has not signed")
		return
	}
	hops, said := min(m.GetHops()+1, pb.MaxHops), bc.now-min(fromAge(m.GetAge()), memoryFor)
	r.await(number)
	bc.remember(&recentBroadcast{
		run: r, number: number, at: bc.now, said: said, signed: m.GetContent(), hops: hops, content: content, direct: l.key == key,
	})
	if !bc.answered(l, r, number) {
		bc.spread(l, m.GetContent(), m.GetHops()+1, said)
	}
	bc.showBroadcasts(r)
	bc.keepBounds(r)
}

// releaseEarly is called when the user has been shown that the author is here: its
// broadcasts follow, those that came before its record and those that were held back.
func (bc *broadcasts) releaseEarly(author certs.ID) {
	waiting := bc.early
	bc.early = nil
	for _, b := range waiting {
		if b.author != author {
			bc.early = append(bc.early, b)
		} else if l := bc.links.link(b.link); l != nil && l.state == linkUp {
			bc.receiveBroadcast(l, b.message)
		}
	}
	if e := bc.table.shown(author); e != nil && e.our().run != nil {
		r := e.our().run
		r.advanced = bc.now
		bc.showBroadcasts(r)
	}
}

// repeatBroadcasts sends what we have just said to a link that is no neighbour's, so
// that our goodbye overtakes nothing.
func (bc *broadcasts) repeatBroadcasts(l *link) {
	since := bc.arrivedAt(l)
	for _, b := range bc.recent {
		if b.run.entry == bc.table.self && b.said >= since && bc.now <= b.at+recentFor {
			bc.links.send(l, &pb.Broadcast{Content: b.signed, Age: toAge(bc.now - b.said)})
		}
	}
}

// arrivedAt is when the run at the other end of a link came; 0 if that is long ago.
func (bc *broadcasts) arrivedAt(l *link) (since time.Duration) {
	for _, a := range bc.arrivals {
		if a.entry.record.Key == l.key {
			since = a.at
		}
	}
	return since
}

// expireBroadcasts forgets what was kept long enough, and goes on with catching up.
func (bc *broadcasts) expireBroadcasts() {
	for len(bc.recent) > 0 && bc.now > bc.recent[0].at+memoryFor {
		bc.forgetBroadcast(bc.recent[0])
	}
	for len(bc.arrivals) > 0 && bc.now > bc.arrivals[0].at+memoryFor {
		bc.arrivals = bc.arrivals[1:]
	}
	bc.early = slices.DeleteFunc(bc.early, func(b earlyBroadcast) bool { return bc.now > b.at+recentFor })
	bc.showHeld()
	bc.dismissLate()
	bc.offerCaughtUp()
	bc.askOffered()
}
