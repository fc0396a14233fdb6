package core

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
)

// Bounds of what is kept of broadcasts (guesses): long enough for a link to be
// made and for a record to come by another way.
const (
	recentFor   = 5 * time.Second
	maxRecent   = 256
	maxRecentB  = 4 << 20 // bytes
	maxEarly    = 64
	maxArrivals = 4096
	windowSize  = 1024
	broadcastID = 1 << 63 // the counters of broadcasts have this bit
)

// recentBroadcast is repeated to a link that becomes a neighbour's, since while
// that was being agreed the broadcast may have passed it by.
type recentBroadcast struct {
	at      time.Duration
	from    LinkID
	content *pb.Signed
	hops    uint32
}

// earlyBroadcast waits for us to be ready, or for its author's record.
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
// peer: a hash of its key and epoch, so that a message of an earlier run does
// not pass as one of this.
func MessagePrefix(key certs.PublicKey, epoch uint64) [8]byte {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(append([]byte("quicpeer message\x00"), key[:]...), epoch))
	return [8]byte(sum[:8])
}

// Broadcast sends a message to everyone. The body is at most pb.MaxBroadcast
// bytes of UTF-8, sentAt is in nanoseconds since 1970. It returns the message's ID.
func (c *Core) Broadcast(now time.Duration, body string, sentAt int64) [pb.MessageIDSize]byte {
	c.begin(now)
	c.broadcasts++
	key := c.cfg.Identity.Key()
	prefix := MessagePrefix(key, c.cfg.Epoch)
	id := binary.BigEndian.AppendUint64(prefix[:], broadcastID|c.broadcasts)
	content := c.cfg.Identity.SignBroadcast(&pb.BroadcastContent{
		Id: id, Sender: string(c.cfg.ID), Key: key[:], Network: c.cfg.Network, Content: body, SentAt: sentAt,
	})
	c.spread(nil, content, 0)
	return [pb.MessageIDSize]byte(id)
}

// spread sends a broadcast to all neighbours but the one it came from. Who has
// no neighbour yet uses what links there are.
func (c *Core) spread(from *link, content *pb.Signed, hops uint32) {
	if hops > pb.MaxHops {
		return
	}
	var source LinkID
	if from != nil {
		source = from.id
	}
	c.remember(recentBroadcast{c.now, source, content, hops})
	alone := c.neighbours() == 0
	var data []byte
	for _, l := range c.links {
		if l == from || l.state != linkUp || !l.neighbour && !alone {
			continue
		}
		c.flushLink(l)
		if data == nil {
			data = encode(&pb.Broadcast{Content: content, Hops: hops})
		}
		c.out.Frames = append(c.out.Frames, Frame{Link: l.id, Data: data, Relayed: from != nil})
	}
}

// receiveBroadcast takes a broadcast: shown and passed on if it is new.
func (c *Core) receiveBroadcast(l *link, m *pb.Broadcast) {
	content, err := pb.ParseBroadcast(m.GetContent())
	if err != nil {
		c.violation(l, err.Error())
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
	e := c.table.shown(id)
	if e == nil || e.record.Key != key || [8]byte(content.GetId()[:8]) != MessagePrefix(key, e.shown.Epoch) {
		// Nobody knows whether a run that we don't know is over or is about to be announced.
		if len(c.early) < maxEarly {
			c.early = append(c.early, earlyBroadcast{c.now, l.id, id, m})
		}
		return
	}
	counter := binary.BigEndian.Uint64(content.GetId()[8:])
	if counter&broadcastID == 0 {
		return
	}
	d := e.with()
	if d.broadcasts == nil {
		d.broadcasts = &window{}
	}
	if d.broadcasts.has(counter) {
		return
	}
	if !certs.VerifyBroadcast(key, m.GetContent()) {
		c.violation(l, "a broadcast that its author has not signed")
		return
	}
	d.broadcasts.add(counter)
	c.out.Events = append(c.out.Events, Broadcasted{content, l.key == key})
	c.spread(l, m.GetContent(), m.GetHops()+1)
}

// releaseEarly looks again at broadcasts that came before their author's record.
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
}

// repeatBroadcasts sends the recent broadcasts to a new neighbour, those that
// are older than its being here excepted.
func (c *Core) repeatBroadcasts(l *link) {
	var since time.Duration
	for _, a := range c.arrivals {
		if a.entry.record.Key == l.key {
			since = a.at
		}
	}
	for _, b := range c.recent {
		if b.from != l.id && b.at >= since {
			c.send(l, &pb.Broadcast{Content: b.content, Hops: b.hops})
		}
	}
}

// remember keeps a broadcast for new neighbours; the oldest go when there are too many.
func (c *Core) remember(b recentBroadcast) {
	c.recent = append(c.recent, b)
	c.recentBytes += len(b.content.GetPayload())
	for len(c.recent) > maxRecent || c.recentBytes > maxRecentB {
		c.forgetOldest()
	}
}

func (c *Core) forgetOldest() {
	c.recentBytes -= len(c.recent[0].content.GetPayload())
	c.recent[0].content = nil
	c.recent = c.recent[1:]
}

// expireBroadcasts forgets what was kept long enough.
func (c *Core) expireBroadcasts() {
	for len(c.recent) > 0 && c.now > c.recent[0].at+recentFor {
		c.forgetOldest()
	}
	for len(c.arrivals) > 0 && c.now > c.arrivals[0].at+recentFor {
		c.arrivals = c.arrivals[1:]
	}
	c.early = slices.DeleteFunc(c.early, func(b earlyBroadcast) bool { return c.now > b.at+recentFor })
}

// window remembers which of an author's counters have been seen: the last
// windowSize exactly, everything before as seen, so that nothing circles for ever.
type window struct {
	highest uint64
	seen    [windowSize / 64]uint64
}

func (w *window) has(n uint64) bool {
	switch {
	case n > w.highest:
		return false
	case w.highest-n >= windowSize:
		return true
	}
	return w.seen[n/64%(windowSize/64)]&(1<<(n%64)) != 0
}

func (w *window) add(n uint64) {
	if n > w.highest {
		for i := range min(n-w.highest, windowSize) {
			gone := w.highest + 1 + i
			w.seen[gone/64%(windowSize/64)] &^= 1 << (gone % 64)
		}
		w.highest = n
	}
	w.seen[n/64%(windowSize/64)] |= 1 << (n % 64)
}
