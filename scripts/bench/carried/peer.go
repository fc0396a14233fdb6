package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"quicpeer/certs"
	"quicpeer/pb"
	"quicpeer/transport"
)

// The texts of messages. Only small ones are answered.
const (
	smallBody = 100
	largeBody = 64 << 10
	pacedBody = 16 << 10 // of a stream that is held back
)

// identity is that of the peer of this name, which all others know.
func identity(name string) *certs.Identity {
	seed := sha256.Sum256([]byte(name))
	return certs.NewIdentity(seed[:])
}

func tag(name string) transport.Tag {
	sum := sha256.Sum256([]byte("tag " + name))
	return transport.Tag(binary.BigEndian.Uint64(sum[:]))
}

// peer is a process with an endpoint. Its exported methods are called by the bench.
type peer struct {
	name    string
	end     *transport.Endpoint
	address string
	raw     raw

	mu    sync.Mutex
	links map[LinkTo]*link
}

// LinkTo names one of a peer's links.
type LinkTo struct {
	Peer    string
	Carried bool
}

// link is a link whose peer's control frames are read, and answered.
type link struct {
	*transport.Link
	answers chan struct{}
	stream  *transport.Stream // for questions
}

// newPeer starts an endpoint.
func newPeer(name string) (*peer, error) {
	conn, err := transport.Listen("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &peer{name: name, address: conn.LocalAddr().String(), links: make(map[LinkTo]*link)}
	p.end, err = transport.NewEndpoint(transport.Config{Conn: conn, Identity: identity(name), Tag: tag(name)})
	if err != nil {
		return nil, err
	}
	go func() { // whom nobody has told of is unknown
		for w := range p.end.CarryWishes() {
			if w.Packet == nil {
				p.end.ForgetWay(w.To)
			}
		}
	}()
	go func() {
		for {
			l, err := p.end.Accept(context.Background())
			if err != nil {
				return
			}
			p.take(l)
		}
	}()
	return p, nil
}

// take serves a link.
func (p *peer) take(t *transport.Link) *link {
	others := []string{a, b, c, relay, hostile}
	i := slices.IndexFunc(others, func(name string) bool { return identity(name).Key() == t.Peer() })
	to := LinkTo{others[i], t.Carried()}
	l := &link{Link: t, answers: make(chan struct{}, 1)}
	p.mu.Lock()
	p.links[to] = l
	p.mu.Unlock()
	switch {
	case p.name == relay:
		p.end.SetWay(tag(to.Peer), t)
	case to == LinkTo{Peer: relay}:
		for _, name := range []string{a, b, c} {
			if name != p.name {
				p.end.SetWay(tag(name), t)
			}
		}
	}
	go l.receive()
	go l.serve()
	return l
}

func (p *peer) link(to LinkTo) (*link, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := p.links[to]
	if l == nil {
		return nil, fmt.Errorf("%s has no link %+v", p.name, to)
	}
	return l, nil
}

// The frames that are used. Their fields don't matter here.
var (
	question = encode(&pb.PeerMessage{Type: pb.PeerMessageType_NEIGHBOUR, Content: &pb.PeerMessage_Neighbour{Neighbour: &pb.Neighbour{Type: pb.NeighbourType_REQUEST}}})
	accepted = encode(&pb.PeerMessage{Type: pb.PeerMessageType_NEIGHBOUR, Content: &pb.PeerMessage_Neighbour{Neighbour: &pb.Neighbour{Type: pb.NeighbourType_ACCEPT}}})
	receipt  = encode(pb.Wrap(&pb.Receipt{Id: make([]byte, pb.MessageIDSize), Code: pb.ReceiptCode_DELIVERED}))
)

func message(body int) []byte {
	return encode(pb.Wrap(&pb.Message{Id: make([]byte, pb.MessageIDSize), Sender: a, Receiver: b, Content: strings.Repeat("x", body)}))
}

func encode(m *pb.PeerMessage) []byte {
	frame, err := pb.Append(nil, m)
	if err != nil {
		panic(err)
	}
	return frame
}

// receive answers questions on the control stream, and hands over answers.
func (l *link) receive() {
	for {
		m, err := l.Receive()
		switch {
		case err != nil:
			return
		case m.GetNeighbour().GetType() == pb.NeighbourType_REQUEST:
			_ = l.Send(accepted) // it fails when the link has ended
		default:
			l.answers <- struct{}{}
		}
	}
}

// exchange sends a question on the control stream and waits for the answer.
func (l *link) exchange() error {
	if err := l.Send(question); err != nil {
		return err
	}
	select {
	case <-l.answers:
		return nil
	case <-l.Done():
		return l.Err()
	}
}

// serve reads streams to their ends.
func (l *link) serve() {
	for {
		s, err := l.AcceptStream(context.Background())
		if err != nil {
			return
		}
		go func() {
			if err := answer(s); err == io.EOF {
				_ = s.CloseWrite() // it fails when the link has ended
			} else {
				s.Cancel(transport.CodeInternal)
			}
		}()
	}
}

// answer answers the small messages of a stream, together those that have come together.
func answer(s *transport.Stream) error {
	var answers []byte
	for {
		m, err := s.Read(pb.MaxMessageFrame)
		if err != nil {
			return err
		}
		if len(m.GetMessage().GetContent()) == smallBody {
			answers = append(answers, receipt...)
		}
		if len(answers) > 0 && !s.Ready() {
			if err := s.Write(answers); err != nil {
				return err
			}
			answers = answers[:0]
		}
	}
}

// Dial says whom to connect to, and where it is; over others without an address.
type Dial struct{ Peer, Address string }

// Dial connects to another peer, and waits for its first frame.
func (p *peer) Dial(d Dial, _ *int) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	key := identity(d.Peer).Key()
	var l *transport.Link
	var err error
	if d.Address == "" {
		l, err = p.end.DialCarried(ctx, tag(d.Peer), key)
	} else {
		l, err = p.end.Dial(ctx, netip.MustParseAddrPort(d.Address), key)
	}
	if err != nil {
		return err
	}
	return p.take(l).exchange()
}

// Ask says how to ask small questions.
type Ask struct {
	To       LinkTo
	InFlight int
	Length   time.Duration
}

// Asked is how many questions were answered, and the time of one if they were asked one by one.
type Asked struct {
	PerSecond float64
	P50       time.Duration
}

// Ask asks questions on one stream. Each answer is followed by a new question.
func (p *peer) Ask(ask Ask, asked *Asked) error {
	l, err := p.link(ask.To)
	if err != nil {
		return err
	}
	if l.stream == nil {
		if l.stream, err = l.OpenStream(context.Background()); err != nil {
			return err
		}
	}
	small := message(smallBody)
	var times []time.Duration
	answered, began := 0, time.Now()
	for next, missing := ask.InFlight, 0; next > 0 || missing > 0; {
		at := time.Now()
		if next > 0 {
			if err := l.stream.Write(slices.Repeat(small, next)); err != nil {
				return err
			}
		}
		missing, next = missing+next, 0
		for next == 0 || l.stream.Ready() && missing > next {
			if _, err := l.stream.Read(pb.MaxMessageFrame); err != nil {
				return err
			}
			next++
		}
		missing, answered = missing-next, answered+next
		times = append(times, time.Since(at))
		if time.Since(began) > ask.Length {
			next = 0
		}
	}
	*asked = Asked{float64(answered) / time.Since(began).Seconds(), quantile(times, 0.5)}
	return nil
}

// quantile is the time below which this part of a list is.
func quantile(list []time.Duration, q float64) time.Duration {
	slices.Sort(list)
	return list[int(q*float64(len(list)-1))]
}

// Bulk says how to send large messages.
type Bulk struct {
	To        LinkTo
	Length    time.Duration
	PerSecond int // bytes; 0: as many as possible
}

// Sent is what was sent, and in what time.
type Sent struct {
	Bytes int
	Time  time.Duration
}

// Bulk sends on one stream, and waits until all has been read.
func (p *peer) Bulk(bulk Bulk, sent *Sent) error {
	l, err := p.link(bulk.To)
	if err != nil {
		return err
	}
	s, err := l.OpenStream(context.Background())
	if err != nil {
		return err
	}
	frame := message(largeBody)
	if bulk.PerSecond > 0 {
		frame = message(pacedBody)
	}
	began := time.Now()
	for time.Since(began) < bulk.Length {
		if err := s.Write(frame); err != nil {
			return err
		}
		sent.Bytes += len(frame)
		if bulk.PerSecond > 0 {
			time.Sleep(time.Duration(float64(sent.Bytes)/float64(bulk.PerSecond)*1e9) - time.Since(began))
		}
	}
	if err := s.CloseWrite(); err != nil {
		return err
	}
	if _, err := s.Read(pb.MaxMessageFrame); err != io.EOF {
		return fmt.Errorf("at the end of the stream: %v", err)
	}
	sent.Time = time.Since(began)
	return nil
}

// Control says how to measure control frames.
type Control struct {
	Peer   string
	Length time.Duration
}

// Delays are the times from a control frame to its answer.
type Delays struct{ P50, P99 time.Duration }

// Control sends a control frame each millisecond.
func (p *peer) Control(control Control, delays *Delays) error {
	l, err := p.link(LinkTo{Peer: control.Peer})
	if err != nil {
		return err
	}
	var times []time.Duration
	for began := time.Now(); time.Since(began) < control.Length; time.Sleep(time.Millisecond) {
		sent := time.Now()
		if err := l.exchange(); err != nil {
			return err
		}
		times = append(times, time.Since(sent))
	}
	*delays = Delays{quantile(times, 0.5), quantile(times, 0.99)}
	return nil
}

// Usage is what a process has used so far.
type Usage struct {
	CPU     time.Duration
	Packets map[string]uint64 // received on carried links, by peer
}

// Usage says it of this process.
func (p *peer) Usage(_ int, u *Usage) error {
	var usage syscall.Rusage
	// It fails for wrong arguments only.
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	u.CPU, u.Packets = time.Duration(usage.Utime.Nano()+usage.Stime.Nano()), make(map[string]uint64)
	p.mu.Lock()
	defer p.mu.Unlock()
	for to, l := range p.links {
		if to.Carried {
			u.Packets[to.Peer] = l.Stats().Received
		}
	}
	return nil
}
