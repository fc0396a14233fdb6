package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/pb"
	"quicpeer/transport"
)

// The environment of an attacker's process: which attack it plays, and the address of its host.
const (
	playing   = "QUICPEER_ATTACK"
	playingAt = "QUICPEER_ATTACK_AT"
)

// play is main for an attacker's process; false: this is none.
func play() (played bool, err error) {
	name := os.Getenv(playing)
	if name == "" {
		return false, nil
	}
	i := slices.IndexFunc(attacks, func(a *attack) bool { return a.name == name })
	if i < 0 {
		return true, fmt.Errorf("no attack is called %q", name)
	}
	at, err := netip.ParseAddr(os.Getenv(playingAt))
	if err != nil {
		return true, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() { // until the process ends
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	err = attacks[i].play(&player{ctx: ctx, at: at, words: os.Args[1:]})
	if err == nil {
		<-ctx.Done() // its links stand until then
	}
	return true, err
}

// player is an attacker's process.
type player struct {
	ctx   context.Context // ends when the attack is over
	at    netip.Addr      // of its host
	words []string        // from stage.player: as a rule addresses of honest peers

	mu sync.Mutex
}

// say tells the stage something, with figures.
func (p *player) say(name string, figures map[string]any) {
	line := map[string]any{"event": name}
	for k, v := range figures {
		line[k] = v
	}
	data, err := json.Marshal(line)
	if err != nil {
		panic(err) // of a number or a text
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Println(string(data))
}

// target is the address that a word names.
func (p *player) target(i int) (netip.AddrPort, error) {
	if i >= len(p.words) {
		return netip.AddrPort{}, fmt.Errorf("word %d is missing", i)
	}
	return netip.ParseAddrPort(p.words[i])
}

// liar is a peer that says whatever it likes: an identity, and an endpoint if it is to have links.
type liar struct {
	identity *certs.Identity
	endpoint *transport.Endpoint
	id       certs.ID
	epoch    uint64
	nonce    uint64
	extra    func(*pb.Record) // changes its records before they are signed
}

// newLiar makes up a peer. Without an endpoint it is only somebody to speak of.
func newLiar(id string) *liar {
	seed := make([]byte, 32)
	for i := range seed {
		seed[i] = byte(rand.Uint32())
	}
	return &liar{identity: certs.NewIdentity(seed), id: certs.ID(id), epoch: uint64(time.Now().UnixMilli()), nonce: rand.Uint64()}
}

// open gives the liar an endpoint on a free port of its host.
func (p *player) open(l *liar) error {
	conn, err := transport.Listen(netip.AddrPortFrom(p.at, 0).String())
	if err != nil {
		return err
	}
	l.endpoint, err = transport.NewEndpoint(transport.Config{Conn: conn, Identity: l.identity, Tag: transport.Tag(base.TagOf(l.id))})
	return err
}

// record is a statement of the liar about itself.
func (l *liar) record(state pb.AnnouncementType, seq uint32, addresses ...string) *pb.Signed {
	key, sealing := l.identity.Key(), l.identity.SealingKey()
	r := &pb.Record{Type: state, Id: string(l.id), Key: key[:], Epoch: l.epoch, Nonce: l.nonce, Seq: seq}
	if state == pb.AnnouncementType_JOIN {
		r.Addresses, r.SealingKey = addresses, sealing[:]
	}
	if l.extra != nil {
		l.extra(r)
	}
	return l.identity.SignRecord(r)
}

// announcement is a liar's JOIN, as if it had come from somebody so many links away.
func (l *liar) announcement(hops uint32, addresses ...string) *pb.Announcement {
	return &pb.Announcement{Type: pb.AnnouncementType_JOIN, Record: l.record(pb.AnnouncementType_JOIN, 0, addresses...), Hops: hops}
}

// dial makes a link, on which nothing is said yet.
func (l *liar) dial(ctx context.Context, to netip.AddrPort) (*transport.Link, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return l.endpoint.Dial(ctx, to, certs.PublicKey{})
}

// knock makes a link and says who the liar is; the answer is still to be received.
func (l *liar) knock(ctx context.Context, to netip.AddrPort) (*transport.Link, error) {
	link, err := l.dial(ctx, to)
	if err != nil {
		return nil, err
	}
	return link, send(link, &pb.HandshakeStart{
		Version: pb.Version, Id: string(l.id), Features: pb.Features(), Software: "attack",
		Record: l.record(pb.AnnouncementType_JOIN, 0, l.address()), Observed: to.String(),
	})
}

// join makes a link by which a door lets the liar in. Its frames are handed to each from then on, on a
// goroutine of their own; nil: they are read and thrown away.
func (l *liar) join(ctx context.Context, to netip.AddrPort, each func(*pb.PeerMessage)) (*transport.Link, error) {
	link, err := l.knock(ctx, to)
	if err != nil {
		return nil, err
	}
	m, err := link.Receive()
	if err != nil {
		return nil, err
	}
	if r := m.GetHandshakeResponse(); r.GetCode() != pb.HandshakeCode_OK {
		link.Abort(transport.CodeBye, "")
		return nil, &refusedError{r}
	}
	go func() {
		for {
			m, err := link.Receive()
			if err != nil {
				return
			}
			if each != nil {
				each(m)
			}
		}
	}()
	return link, nil
}

// refusedError: a door has not let a liar in.
type refusedError struct{ response *pb.HandshakeResponse }

func (e *refusedError) Error() string {
	return fmt.Sprintf("refused: %v: %s", e.response.GetCode(), e.response.GetReason())
}

// address is where the liar's endpoint is; empty without one.
func (l *liar) address() string {
	if l.endpoint == nil {
		return ""
	}
	return l.endpoint.Addr().String()
}

// send writes a frame on a link.
func send(link *transport.Link, content proto.Message) error { return link.Send(base.Encode(content)) }

// announce says something about others, in as many frames as it takes. It waits for the link to be
// read.
func announce(ctx context.Context, link *transport.Link, list []*pb.Announcement) error {
	for len(list) > 0 {
		select {
		case <-link.Drained(1 << 20):
		case <-link.Done():
			return cmp.Or(link.Err(), io.EOF)
		case <-ctx.Done():
			return ctx.Err()
		}
		n := base.TakeBatch(list)
		if err := send(link, &pb.PropagationMessage{Announcements: list[:n]}); err != nil {
			return err
		}
		list = list[n:]
	}
	return nil
}

// pong answers a ping in the name of its receiver, as if the answer had come over others; nil: it is none.
func pong(m *pb.PeerMessage, over ...string) *pb.Routed {
	asked := m.GetRouted()
	if asked.GetPing() == nil {
		return nil
	}
	passed := append([]string{asked.GetTo()}, over...)
	return &pb.Routed{
		From: asked.GetTo(), To: asked.GetFrom(), Passed: passed, Parents: make([]byte, len(passed)), Content: &pb.Routed_Pong{Pong: asked.GetPing()},
	}
}

// told is the newest records of peers that a liar has heard.
type told struct {
	mu     sync.Mutex
	latest map[string]*pb.Announcement // JOINs, by ID
}

func newTold() *told { return &told{latest: make(map[string]*pb.Announcement)} }

// hear takes in a frame.
func (t *told) hear(m *pb.PeerMessage) {
	for _, a := range slices.Concat(m.GetPropagation().GetAnnouncements(), m.GetReconcile().GetAnnouncements()) {
		r, err := pb.ParseRecord(a.GetRecord())
		if err != nil || r.GetType() != pb.AnnouncementType_JOIN {
			continue
		}
		t.mu.Lock()
		if was, err := pb.ParseRecord(t.latest[r.GetId()].GetRecord()); err != nil || r.GetSeq() >= was.GetSeq() {
			t.latest[r.GetId()] = a
		}
		t.mu.Unlock()
	}
}

// record is that of a peer, nil: none was heard.
func (t *told) record(id string) *pb.Signed {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.latest[id].GetRecord()
}

// joins are those of all.
func (t *told) joins() []*pb.Announcement {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Collect(maps.Values(t.latest))
}
