package transport

import (
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A carried link is a connection whose packets go over other peers: the QUIC packets of both ends
// travel, each in a frame of a few bytes, on one unidirectional stream of every link on the way,
// the hop stream (hop.go). The peers on the way see who speaks with whom, and how much; TLS hides
// the rest from them, as from any router. A hop stream is reliable, so each hop repairs its own
// losses in its own round trip. (DATAGRAM frames, RFC 9221, were tried first: 600 ms against 250 at
// the 99th percentile with 5 % loss on each of two hops, and twice the CPU.)
//
// On the hop stream a packet is, in big-endian numbers:
//
//	length 2 | hops left 1 | to 8 | from 8 | QUIC packet
//
// The highest bit of the hops left says that the packet is of a connection for files, which takes
// turns with all else that comes the same way.
//
// The owner of the endpoint decides where packets go: see [Endpoint.CarryWishes].

// Tag names a peer to those who carry its packets.
type Tag uint64

// Bounds of carrying. Those that are not derived are guesses.
const (
	packetHeader = 1 + 8 + 8
	// maxPacket is the largest packet with its header; those of carried links are smaller, see
	// packetSize.
	maxPacket = 1500
	// maxHops is how many links a packet may cross, as pb.MaxPassed for frames.
	maxHops = 16
	// maxWays is how many destinations are known at once; the one that was used longest ago
	// gives way.
	maxWays = 4096
	// wayUnused is when a destination is forgotten.
	wayUnused = time.Minute
	// maxWishes is how many wishes wait for the owner; further ones are dropped, and come
	// again with QUIC's next packet.
	maxWishes = 256
	// maxAsked is how many packets wait until their receiver, or the sender of one to us, is known;
	// askedOfOne for one such peer: the first flight of a handshake has two.
	maxAsked   = 256
	askedOfOne = 4
	// maxArrived is how many packets for us wait for QUIC, which takes them at once.
	maxArrived = 1024

	// The slow way, a search for each packet, is taken as well when an answer is late: by twice
	// the time that answers take, within these bounds; the first while none has come. A packet
	// whose answer is late by as much again is sent once more, as long as QUIC has sent something
	// within slowPause.
	slowAfter = 700 * time.Millisecond
	slowLeast = 150 * time.Millisecond
	slowMost  = 2 * time.Second
	slowPause = 3 * time.Second
	// A peer is deaf to another one when packets of that have come by a search, and none over hop
	// streams for deafAfter. It then answers by a search too and says so in each packet, and the
	// other goes on with the slow way for slowFor after it was told.
	deafAfter = 200 * time.Millisecond
	slowFor   = 2 * time.Second
	// tryFor is how long a link is used for a peer that does not answer, or says that it is deaf, before
	// another one is tried: within the 5 s of a handshake there is time for two.
	tryFor = 2 * time.Second
	// Links that were in vain are passed over for vainFor, the last maxVain of them; the owner names
	// four of those it has.
	vainFor = 5 * time.Minute
	maxVain = 8
	// ackSize is more than a QUIC packet has that nothing answers: an acknowledgement.
	ackSize = 40
	// repeatAfter is when the last packet is sent again over a new way: what is younger is still
	// on its way, as a rule.
	repeatAfter = 100 * time.Millisecond
)

// CarryWish is something that the carrier wants of the owner of the endpoint.
type CarryWish struct {
	To Tag
	// Packet, if there is one, is to be brought to that peer by a search, and handed there to
	// [Endpoint.TakeCarried]: a byte, 1 if the sender is deaf to that peer, and a QUIC packet. Else
	// the owner is asked for a way to it, see [Endpoint.SetWay].
	Packet []byte
}

// way is what is known of another peer: over which link packets go to it.
type way struct {
	tag  Tag
	text string
	next atomic.Pointer[Link] // nil: there is none
	used atomic.Int64         // when it was last looked up, in nanoseconds since 1970

	mu       sync.Mutex
	waits    time.Time     // since then an answer is due; zero: none is
	sent     time.Time     // when the last packet was that wants one
	last     []byte        // that packet
	repeated time.Time     // when it was sent again
	answers  time.Duration // how long they take, or somewhat less; 0: none has come
	slowTill time.Time     // the slow way is taken, since the other side is deaf
	deafened time.Time     // since when it says so
	led      time.Time     // since when packets go over the next link
	vain     []vain        // those over which they went in vain
	tries    int           // how often they did
	carried  time.Time     // when the last packet came over a link
	came     *Link         // that one
	dialled  bool          // we have dialled it
	searched time.Time     // when the last came by a search
}

// vain is a link over which packets went in vain, and when that was noticed.
type vain struct {
	link *Link
	at   time.Time
}

// carriedAddr is a peer's address in the eyes of QUIC, and the link that a packet has come over;
// nil: by a search. QUIC answers to the address that a connection's first packet has come from.
type carriedAddr struct {
	*way
	over *Link
	bulk bool // of a bulk connection, as far as the packet says so
}

func (a carriedAddr) Network() string { return "carried" }
func (a carriedAddr) String() string  { return a.text }

// writes notes a packet that is sent. It returns what is to go the slow way too, nil if nothing is.
func (w *way) writes(b []byte, now time.Time) (slow []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(b) > ackSize {
		if w.waits.IsZero() || now.Sub(w.sent) > slowPause {
			w.waits = now
		}
		w.sent, w.last = now, append(w.last[:0], b...)
	}
	if w.next.Load() == nil || w.late(now) || now.Before(w.slowTill) || w.isDeaf(now) {
		slow = w.searching(b, now)
	}
	return slow
}

func (w *way) isDeaf(now time.Time) bool {
	return w.searched.After(w.carried) && now.Sub(w.searched) < slowFor && now.Sub(w.carried) > deafAfter
}

// searching is a packet for the slow way.
func (w *way) searching(b []byte, now time.Time) []byte {
	deaf := byte(0)
	if w.isDeaf(now) {
		deaf = 1
	}
	return append([]byte{deaf}, b...)
}

// patience is how long an answer may take.
func (w *way) patience() time.Duration {
	if w.answers == 0 {
		return slowAfter
	}
	return min(max(2*w.answers, slowLeast), slowMost)
}

func (w *way) late(now time.Time) bool { return !w.waits.IsZero() && now.Sub(w.waits) > w.patience() }

// heard notes that a packet has come over a link.
func (w *way) heard(over *Link, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answered(now)
	w.carried, w.came = now, over
}

// found notes that one has come by a search, and whether its sender is deaf to us.
func (w *way) found(deaf bool, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answered(now)
	w.searched = now
	if deaf {
		if now.After(w.slowTill) {
			w.deafened = now
		}
		w.slowTill = now.Add(slowFor)
	}
}

// judge notes when packets go over the next link in vain: for tryFor no answer has come, or the peer has
// said that it is deaf.
func (w *way) judge(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	next := w.next.Load()
	var since, till time.Time
	switch {
	case next == nil:
		return
	case w.late(now) && now.Sub(w.sent) <= slowPause:
		since, till = w.waits, now
	case now.Before(w.slowTill):
		since, till = w.deafened, w.slowTill.Add(-slowFor)
	}
	if till.Sub(since) > tryFor && till.Sub(w.led) > tryFor {
		w.vain = append(w.vain[max(0, len(w.vain)+1-maxVain):], vain{next, now})
		w.tries++
		w.led = now
	}
}

// choose returns the first of some links over which packets do not go in vain. When all do, that is
// forgotten: the fault must lie elsewhere. To a peer that we have not dialled ourselves they rather go over
// the link by which its own come. It notices what is swallowed on the way here; what we lose on the way
// back looks to us like its repeats.
func (w *way) choose(over []*Link, now time.Time) *Link {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.vain = slices.DeleteFunc(w.vain, func(v vain) bool { return now.Sub(v.at) > vainFor })
	if !w.dialled && now.Sub(w.carried) < tryFor && slices.Contains(over, w.came) {
		over = append([]*Link{w.came}, over...)
	}
	for _, l := range over {
		if !slices.ContainsFunc(w.vain, func(v vain) bool { return v.link == l }) {
			return l
		}
	}
	w.vain = nil
	if len(over) == 0 {
		return nil
	}
	return over[0]
}

// dials notes that we dial it.
func (w *way) dials() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dialled = true
}

// inVain is how often packets went in vain over a link.
func (w *way) inVain() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tries
}

// answered notes that what was due may have come. Times that are longer count less, since what is
// lost and sent again takes longer.
func (w *way) answered(now time.Time) {
	if w.waits.IsZero() {
		return
	}
	took := max(now.Sub(w.waits), 1)
	switch {
	case w.answers == 0:
		w.answers = took
	case took < w.answers:
		w.answers -= (w.answers - took) / 2
	default:
		w.answers += (took - w.answers) / 16
	}
	w.waits = time.Time{}
}

// change sets the next link, which may be the same. It returns the last packet if that is to be sent
// again, since the answer is late and QUIC's probe timeout may have doubled a few times by now: over
// the link if that is new, or on the slow way.
func (w *way) change(next *Link, now time.Time) (again, slow []byte) {
	news := w.next.Swap(next) != next && next != nil
	w.mu.Lock()
	defer w.mu.Unlock()
	if news {
		w.led = now
	}
	switch {
	case w.waits.IsZero() || now.Sub(w.sent) > slowPause:
	case news && now.Sub(w.waits) >= repeatAfter:
		again = append(again, w.last...)
	case w.late(now) && now.Sub(w.repeated) > w.patience() && now.Sub(w.sent) > w.patience():
		w.repeated = now
		slow = w.searching(w.last, now)
	}
	return again, slow
}

// carrier is the socket of an endpoint's carried links, and carries the packets of others.
type carrier struct {
	sized
	own     Tag
	wishes  chan CarryWish
	arrived chan *packet
	rate    carryRate    // of all links
	held    atomic.Int64 // bytes in the queues of all links
	passed  atomic.Int64 // bytes of packets of other peers that were passed on

	ways  sync.Map // of Tag: *way
	known atomic.Int64

	mu       sync.Mutex
	asked    map[Tag][]asked // packets that wait for an answer of the owner
	waiting  int             // how many these are
	closed   bool
	deadline time.Time     // of ReadFrom
	changed  chan struct{} // closed when one of the two has
}

// asked is a packet that has come over a link, and concerns a peer that is not known.
type asked struct {
	from *Link
	p    *packet
}

func newCarrier(own Tag) *carrier {
	return &carrier{
		own: own, wishes: make(chan CarryWish, maxWishes), arrived: make(chan *packet, maxArrived), rate: newCarryRate(carryAll),
		asked: make(map[Tag][]asked), changed: make(chan struct{}),
	}
}

func (c *carrier) find(tag Tag) *way {
	if w, ok := c.ways.Load(tag); ok {
		return w.(*way)
	}
	return nil
}

// wayTo looks a peer up for a packet.
func (c *carrier) wayTo(tag Tag) *way {
	w := c.find(tag)
	if w != nil {
		w.used.Store(time.Now().UnixNano())
	}
	return w
}

// ask asks the owner for a peer, and keeps the packet until the answer; false says that it can't.
func (c *carrier) ask(tag Tag, from *Link, p *packet) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := c.asked[tag]
	if c.waiting == maxAsked || len(list) == askedOfOne || len(list) == 0 && !(from.hop.mayAsk() && c.wish(CarryWish{To: tag})) {
		return false
	}
	c.asked[tag] = append(list, asked{from, p})
	c.waiting++
	return true
}

// answered takes the packets that waited for a peer to be known, or drops them.
func (c *carrier) answered(tag Tag, known bool) {
	c.mu.Lock()
	list := c.asked[tag]
	delete(c.asked, tag)
	c.waiting -= len(list)
	c.mu.Unlock()
	for _, a := range list {
		if known {
			c.take(a.from, a.p)
		} else {
			a.p.free()
		}
	}
}

func (c *carrier) wish(w CarryWish) bool {
	select {
	case c.wishes <- w:
		return true
	default:
		return false
	}
}

// learn returns the way to a peer that is there.
func (c *carrier) learn(tag Tag) *way {
	if w := c.find(tag); w != nil {
		return w
	}
	w := &way{tag: tag, text: fmt.Sprintf("carried:%016x", uint64(tag))}
	w.used.Store(time.Now().UnixNano())
	if other, there := c.ways.LoadOrStore(tag, w); there {
		return other.(*way) // somebody else has learnt of it just now
	}
	if c.known.Add(1) > maxWays {
		c.forgetOldest()
	}
	return w
}

func (c *carrier) forget(tag Tag) {
	if _, ok := c.ways.LoadAndDelete(tag); ok {
		c.known.Add(-1)
	}
	c.answered(tag, false)
}

func (c *carrier) forgetOldest() {
	var oldest *way
	for _, w := range c.all() {
		if oldest == nil || w.used.Load() < oldest.used.Load() {
			oldest = w
		}
	}
	c.forget(oldest.tag)
}

func (c *carrier) all() (list []*way) {
	if c.known.Load() == 0 {
		return nil
	}
	c.ways.Range(func(_, w any) bool {
		list = append(list, w.(*way))
		return true
	})
	return list
}

// take takes a packet that has come over a link: it is for us, is passed on, or dropped.
func (c *carrier) take(from *Link, p *packet) {
	to := p.to()
	other := to
	if to == c.own {
		other = p.from()
	}
	w := c.wayTo(other)
	switch {
	case w == nil && other != c.own && c.ask(other, from, p): // which keeps it
	case w != nil && to == c.own:
		w.heard(from, time.Now())
		c.arrives(from, p)
	case w == nil || !c.pass(from, w, p):
		p.free()
	}
}

// pass passes a packet on.
func (c *carrier) pass(from *Link, w *way, p *packet) bool {
	if p.hops() <= 1 {
		return false
	}
	next := w.next.Load()
	if next == nil || next == from || !c.rate.allow(p.size+rateCost) {
		return false
	}
	p.b[0] = p.b[0]&bulky | (p.hops() - 1)
	size := int64(p.size) // p is not ours any more then
	taken := next.hop.put(from, p)
	if taken {
		c.passed.Add(size)
	}
	return taken
}

// arrives hands a packet of a peer that is there to QUIC. It has come over a link, or by a search
// (nil).
func (c *carrier) arrives(over *Link, p *packet) {
	p.over = over
	select {
	case c.arrived <- p:
	default:
		p.free()
	}
}

// The methods of net.PacketConn, for QUIC.

// ReadFrom waits for the next packet.
func (c *carrier) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		deadline, changed, err := c.state()
		if err != nil {
			return 0, nil, err
		}
		var late <-chan time.Time
		if !deadline.IsZero() {
			late = time.After(time.Until(deadline))
		}
		select {
		case p := <-c.arrived:
			n, from := copy(b, p.b[packetHeader:p.size]), carriedAddr{c.find(p.from()), p.over, p.isBulky()}
			p.free()
			if from.way != nil { // else it was forgotten just now
				return n, from, nil
			}
		case <-late:
		case <-changed:
		}
	}
}

func (c *carrier) state() (deadline time.Time, changed <-chan struct{}, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		err = net.ErrClosed
	case !c.deadline.IsZero() && !time.Now().Before(c.deadline):
		err = os.ErrDeadlineExceeded
	}
	return c.deadline, c.changed, err
}

// WriteTo sends a packet of ours. It reports no error, since one ends a connection.
func (c *carrier) WriteTo(b []byte, addr net.Addr) (int, error) {
	to := addr.(carriedAddr)
	w := c.wayTo(to.tag)
	if w == nil { // it was forgotten, since it is not here any more or was not used for long
		c.wish(CarryWish{To: to.tag})
	}
	if w == nil || len(b) > maxPacket-packetHeader {
		return len(b), nil
	}
	p := newPacket()
	p.address(w.tag, c.own)
	p.size = packetHeader + copy(p.b[packetHeader:], b)
	if to.bulk {
		p.b[0] |= bulky
	}
	if slow := w.writes(b, time.Now()); slow != nil && !to.bulk { // files can wait for a way
		c.wish(CarryWish{To: w.tag, Packet: slow})
	}
	if next := w.next.Load(); next == nil || !next.hop.putOwn(p) {
		p.free()
	}
	return len(b), nil
}

// set sets the links to a peer.
func (c *carrier) set(tag Tag, over ...*Link) {
	w, now := c.learn(tag), time.Now()
	next := w.choose(over, now)
	again, slow := w.change(next, now)
	if slow != nil {
		c.wish(CarryWish{To: tag, Packet: slow})
	}
	if again != nil {
		p := newPacket()
		p.address(tag, c.own)
		p.size = packetHeader + copy(p.b[packetHeader:], again)
		if !next.hop.put(nil, p) {
			p.free()
		}
	}
	c.answered(tag, true)
}

// Close makes ReadFrom return.
func (c *carrier) Close() error {
	c.change(func() { c.closed = true })
	return nil
}

// SetReadDeadline makes ReadFrom return from then on; QUIC uses it to end its reader.
func (c *carrier) SetReadDeadline(t time.Time) error {
	c.change(func() { c.deadline = t })
	return nil
}

func (c *carrier) change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *carrier) LocalAddr() net.Addr                { return carriedAddr{way: &way{tag: c.own, text: "carried"}} }
func (c *carrier) SetDeadline(t time.Time) error      { return c.SetReadDeadline(t) }
func (c *carrier) SetWriteDeadline(_ time.Time) error { return nil }
