package core

import (
	"crypto/sha256"
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

// MessagePrefix is the first 8 bytes of the IDs of all messages of one run of a
// peer: a hash of its key, epoch and nonce, so that a message of another run does
// not pass as one of this. Runs of before there were nonces have 0.
func MessagePrefix(key certs.PublicKey, epoch, nonce uint64) [8]byte {
	b := binary.BigEndian.AppendUint64(append([]byte("quicpeer message\x00"), key[:]...), epoch)
	if nonce != 0 {
		b = binary.BigEndian.AppendUint64(b, nonce)
	}
	sum := sha256.Sum256(b)
	return [8]byte(sum[:8])
}

// say is Broadcast.
func (c *Core) say(body string, sentAt int64) [pb.MessageIDSize]byte {
	c.stay()
	c.broadcasts++
	key := c.cfg.Identity.Key()
	prefix := MessagePrefix(key, c.cfg.Epoch, c.cfg.Nonce)
	id := binary.BigEndian.AppendUint64(prefix[:], broadcastID|c.broadcasts)
	content := c.cfg.Identity.SignBroadcast(&pb.BroadcastContent{
		Id: id, Sender: string(c.cfg.ID), Key: key[:], Network: c.cfg.Network, Content: body, SentAt: sentAt,
	})
	r := c.runOf(c.self)
	r.next, r.heard = c.broadcasts+1, true
	c.remember(&recentBroadcast{run: r, number: c.broadcasts, at: c.now, said: c.now, signed: content})
	c.keepBounds(r)
	c.spread(nil, content, 0, c.now)
	return [pb.MessageIDSize]byte(id)
}

// spread sends a broadcast to all neighbours, and guests, but the one it came from. Who has
// no neighbour yet uses what links there are.
func (c *Core) spread(from *link, content *pb.Signed, hops uint32, said time.Duration) {
	if hops > pb.MaxHops {
		return
	}
	alone := c.neighbours() == 0
	var data []byte
	for _, l := range c.links {
		if l == from || l.state != linkUp || !l.neighbour && !l.isGuest() && !alone {
			continue
		}
		c.flushLink(l)
		if data == nil {
			data = encode(&pb.Broadcast{Content: content, Hops: hops, Age: toAge(c.now - said)})
		}
		c.out.Frames = append(c.out.Frames, Frame{Link: l.id, Data: data, Relayed: from != nil})
	}
}

// receiveBroadcast takes a broadcast. What is new is kept, passed on at once, and
// shown when it is its turn.
func (c *Core) receiveBroadcast(l *link, m *pb.Broadcast) {
	content, err := pb.ParseBroadcast(m.GetContent())
	if err != nil {
		c.skip(l, err)
		return
	}
	if content.GetNetwork() != c.cfg.Network {
		c.violation(l, "a broadcast of another network")
		return
	}
	id, key := certs.ID(content.GetSender()), certs.PublicKey(content.GetKey())
	if key == c.cfg.Identity.Key() {
		return
	}
	e := c.table.get(id, key)
	if e == nil || [8]byte(content.GetId()[:8]) != MessagePrefix(key, e.record.Epoch, e.record.Nonce) {
		// Nobody knows whether a run that we don't know is over or is about to be announced.
		if len(c.early) < maxEarly {
			c.early = append(c.early, earlyBroadcast{c.now, l.id, id, m})
		}
		return
	}
	counter := binary.BigEndian.Uint64(content.GetId()[8:])
	r := c.runOf(e)
	number := counter &^ broadcastID
	if counter&broadcastID == 0 || !r.audible() || r.has(number) {
		return
	}
	if !c.cfg.Verify(Claim{Broadcast: true, Key: key, Signed: m.GetContent()}) {
		c.violation(l, "a broadcast that its author has not signed")
		return
	}
	hops, said := min(m.GetHops()+1, pb.MaxHops), c.now-min(fromAge(m.GetAge()), memoryFor)
	r.await(number)
	c.remember(&recentBroadcast{
		run: r, number: number, at: c.now, said: said, signed: m.GetContent(), hops: hops, content: content, direct: l.key == key,
	})
	if !c.answered(l, r, number) {
		c.spread(l, m.GetContent(), m.GetHops()+1, said)
	}
	c.showBroadcasts(r)
	c.keepBounds(r)
}

// releaseEarly is called when the user has been shown that the author is here: its
// broadcasts follow, those that came before its record and those that were held back.
func (c *Core) releaseEarly(author certs.ID) {
	waiting := c.early
	c.early = nil
	for _, b := range waiting {
		if b.author != author {
			c.early = append(c.early, b)
		} else if l := c.link(b.link); l != nil && l.state == linkUp {
			c.receiveBroadcast(l, b.message)
		}
	}
	if e := c.table.shown(author); e != nil && e.our().run != nil {
		r := e.our().run
		r.advanced = c.now
		c.showBroadcasts(r)
	}
}

// repeatBroadcasts sends what we have just said to a link that is no neighbour's, so
// that our goodbye overtakes nothing.
func (c *Core) repeatBroadcasts(l *link) {
	since := c.arrivedAt(l)
	for _, b := range c.recent {
		if b.run.entry == c.self && b.said >= since && c.now <= b.at+recentFor {
			c.send(l, &pb.Broadcast{Content: b.signed, Age: toAge(c.now - b.said)})
		}
	}
}

// arrivedAt is when the run at the other end of a link came; 0 if that is long ago.
func (c *Core) arrivedAt(l *link) (since time.Duration) {
	for _, a := range c.arrivals {
		if a.entry.record.Key == l.key {
			since = a.at
		}
	}
	return since
}

// expireBroadcasts forgets what was kept long enough, and goes on with catching up.
func (c *Core) expireBroadcasts() {
	for len(c.recent) > 0 && c.now > c.recent[0].at+memoryFor {
		c.forgetBroadcast(c.recent[0])
	}
	for len(c.arrivals) > 0 && c.now > c.arrivals[0].at+memoryFor {
		c.arrivals = c.arrivals[1:]
	}
	c.early = slices.DeleteFunc(c.early, func(b earlyBroadcast) bool { return c.now > b.at+recentFor })
	c.showHeld()
	c.dismissLate()
	c.offerCaughtUp()
	c.askOffered()
	c.acceptLeaves()
}
