package core

import (
	"net/netip"
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
)

// Broadcast sends a message to everyone. The body is at most pb.MaxBroadcast
// bytes of UTF-8, sentAt is in nanoseconds since 1970. It returns the message's ID.
func (c *Core) Broadcast(now time.Duration, body string, sentAt int64) [pb.MessageIDSize]byte {
	c.begin(now)
	return c.say(body, sentAt)
}

// Collect sends a holder of deposits the word of this peer that it has them, or will
// never take them. It may get lost: then they come again.
func (c *Core) Collect(now time.Duration, holder certs.ID, collected *pb.Collected) {
	c.begin(now)
	c.collect(holder, collected)
}

// Deposit leaves something sealed with up to three peers that have a link, after what
// was left for the same receiver before. It is forgotten when the receiver is here, when
// this peer ends, and after 23 h, see Effects.Releave. d is kept.
//
// False says that it is not taken: the receiver is here, nothing is left any more or at
// all, or there is no room. Then nothing that follows it may be left either, since the
// receiver would wait for this one, and nothing is taken for that receiver until all that
// was left for it before is forgotten. The caller then begins with the first again.
func (c *Core) Deposit(now time.Duration, d *pb.Deposit) bool {
	c.begin(now)
	return c.deposit(d)
}

// Withdraw is called when a message that may be in what was left for a peer is not to be
// sent any more: nothing of that is offered to anybody from now on. Who keeps something
// already goes on to keep it. If there are other messages for that peer (rest),
// Effects.Withdrawn says soon that they are to be left anew; until then nothing is taken
// for it.
func (c *Core) Withdraw(now time.Duration, receiver certs.ID, rest bool) {
	c.begin(now)
	c.withdraw(receiver, rest)
}

// DepositsPending says that somebody is still to be asked to keep something, or to
// answer that. Who leaves waits for it, but not for ever: links may be slow.
func (c *Core) DepositsPending() bool {
	return c.depositsPending()
}

// DialFailed is the news that a dial has reached nobody. self says that we
// answer there ourselves; why is for people.
func (c *Core) DialFailed(now time.Duration, id DialID, self bool, why string) {
	c.begin(now)
	c.dialFailed(id, self, why)
}

// Want says that messages wait for the peer: it is dialled until there is a
// link, or it is gone. It returns false if that will take a while, since the peer has to
// be met, or was not reached: then messages had better go over others at once.
func (c *Core) Want(now time.Duration, id certs.ID) (soon bool) {
	c.begin(now)
	return c.want(id)
}

// Found is the news of a peer on the LAN, by what it says of itself: its ID, the
// fingerprint of its key, and addresses IP:PORT.
func (c *Core) Found(now time.Duration, id certs.ID, fingerprint string, addresses []string) {
	c.begin(now)
	c.foundOnLAN(id, fingerprint, addresses)
}

// Join dials one more address HOST:PORT. What comes of it is told by Effects.Joined, once;
// who has let us in is looked for from then on as if the address had been given at the
// start.
func (c *Core) Join(now time.Duration, address string) {
	c.begin(now)
	c.joinAddress(address)
}

// Route sends something sealed to a peer of the table, or one that has a link, over
// others; the number, a random one, names it in what comes back. It returns the link that
// it goes out on, 0 if there is nowhere to send it now, and if it has not 1 to
// pb.MaxPart·pb.MaxParts bytes. A link promises nothing.
func (c *Core) Route(now time.Duration, to certs.ID, number uint64, sealed []byte) (over LinkID) {
	c.begin(now)
	return c.route(to, number, sealed)
}

// Moved is the news that the addresses of our interfaces have changed; see Config.
func (c *Core) Moved(now time.Duration, own []netip.AddrPort, near []netip.Prefix) {
	c.begin(now)
	c.moved(own, near)
}

// Mapped is the news of the address that a router leads to us; the zero address says that
// none does any more.
func (c *Core) Mapped(now time.Duration, addr netip.AddrPort) {
	c.begin(now)
	c.mappedTo(addr)
}

// Seen is the news that a link's peer sends from another address than before.
func (c *Core) Seen(now time.Duration, id LinkID, address string) {
	c.begin(now)
	c.seenAt(id, address)
}

// Hindered is the news of what a dial came upon, before DialFailed.
func (c *Core) Hindered(id DialID, by Obstacle) {
	c.hindered(id, by)
}
