package overlay

import (
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/pb"
	"quicpeer/transport"
)

// stranger is a program that speaks the protocol as it likes: a bare endpoint
// with one link.
type stranger struct {
	t        *testing.T
	w        *world
	state    *State
	endpoint *transport.Endpoint
	link     *transport.Link
	epoch    uint64
	answer   pb.NeighbourType // to one who would like to be its neighbour
	equal    bool             // it says that its table is like that of whoever asks

	mu     sync.Mutex
	frames []*pb.PeerMessage
}

func (w *world) stranger(name string) *stranger {
	w.t.Helper()
	s := &stranger{t: w.t, w: w, state: state(name, name), epoch: uint64(time.Now().UnixMilli()), answer: pb.NeighbourType_REFUSE}
	e, err := transport.NewEndpoint(transport.Config{Conn: w.Node(name), Identity: s.state.Identity})
	if err != nil {
		w.t.Fatal(err)
	}
	s.endpoint = e
	w.t.Cleanup(func() { e.Close() })
	return s
}

// dial makes the link. The node does not know of it until the first frame.
func (s *stranger) dial(to *peer) {
	s.t.Helper()
	l, err := s.endpoint.Dial(s.t.Context(), s.w.Addr(string(to.ID())), to.Key())
	if err != nil {
		s.t.Fatal(err)
	}
	s.use(l)
}

// accept waits until a node dials.
func (s *stranger) accept(limit time.Duration) {
	s.t.Helper()
	l, err := s.endpoint.Accept(within(s.t, limit))
	if err != nil {
		s.t.Fatal(err)
	}
	l.Admit()
	s.use(l)
}

// use takes the link and collects what comes over it.
func (s *stranger) use(l *transport.Link) {
	s.link = l
	go func() {
		for {
			m, err := l.Receive()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.frames = append(s.frames, m)
			s.mu.Unlock()
			if m.GetNeighbour().GetType() == pb.NeighbourType_REQUEST {
				_ = l.Send(encoded(&pb.Neighbour{Type: s.answer})) // the link may be ending
			}
			if s.equal && m.GetReconcile() != nil && !m.GetReconcile().GetAnswer() {
				_ = l.Send(encoded(&pb.Reconcile{Answer: true}))
			}
		}
	}()
}

// key is the stranger's key, as records and broadcasts carry it.
func (s *stranger) key() []byte {
	k := s.state.Identity.Key()
	return k[:]
}

// record is the stranger's signed JOIN, with changes.
func (s *stranger) record(change func(*pb.Record)) *pb.Signed {
	r := &pb.Record{
		Type: pb.AnnouncementType_JOIN, Id: string(s.state.ID), Key: s.key(), Epoch: s.epoch,
		Addresses: []string{s.w.Addr(string(s.state.ID)).String()},
	}
	if change != nil {
		change(r)
	}
	return s.state.Identity.SignRecord(r)
}

// hello returns the stranger's handshake.
func (s *stranger) hello() *pb.HandshakeStart {
	return &pb.HandshakeStart{Version: pb.Version, Id: string(s.state.ID), Record: s.record(nil)}
}

// join dials and makes a correct handshake.
func (s *stranger) join(to *peer) {
	s.t.Helper()
	s.dial(to)
	s.say(s.hello())
	if r := s.await(func(m *pb.PeerMessage) bool { return m.GetHandshakeResponse() != nil }).GetHandshakeResponse(); r.GetCode() != pb.HandshakeCode_OK {
		s.t.Fatalf("refused: %v", r)
	}
	awaitEvent(to, time.Second, func(j PeerJoined) bool { return j.ID == s.state.ID })
}

// say sends frames on the control stream.
func (s *stranger) say(contents ...proto.Message) {
	for _, c := range contents {
		s.sayBytes(encoded(c))
	}
}

func (s *stranger) sayBytes(b []byte) {
	s.t.Helper()
	if err := s.link.Send(b); err != nil {
		s.t.Fatal(err)
	}
}

func encoded(content proto.Message) []byte {
	b, err := pb.Append(nil, pb.Wrap(content))
	if err != nil {
		panic(err)
	}
	return b
}

// await waits for a frame that matches.
func (s *stranger) await(match func(*pb.PeerMessage) bool) *pb.PeerMessage {
	s.t.Helper()
	for range 1000 {
		s.mu.Lock()
		frames := slices.Clone(s.frames)
		s.mu.Unlock()
		if i := slices.IndexFunc(frames, match); i >= 0 {
			return frames[i]
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.t.Fatalf("the frame did not come; the link has ended: %v", s.link.Err())
	return nil
}

// knows waits until the stranger has heard of a peer, and returns its record.
func (s *stranger) knows(id certs.ID) *pb.Signed {
	s.t.Helper()
	s.say(&pb.Reconcile{Ranges: []*pb.TableRange{{Last: math.MaxUint64, Kind: pb.RangeKind_HELD}}})
	var found *pb.Signed
	s.await(func(m *pb.PeerMessage) bool {
		for _, a := range m.GetReconcile().GetAnnouncements() {
			if r, err := pb.ParseRecord(a.GetRecord()); err == nil && r.GetId() == string(id) {
				found = a.GetRecord()
			}
		}
		return found != nil
	})
	return found
}

// message is a direct message with the counter, with changes.
func (s *stranger) message(to *peer, counter byte, change func(*pb.Message)) *pb.Message {
	prefix := certs.MessagePrefix(s.state.Identity.Key(), s.epoch, 0)
	m := &pb.Message{
		Id: append(prefix[:], 0, 0, 0, 0, 0, 0, 0, counter), Sender: string(s.state.ID),
		Receiver: string(to.ID()), Content: "x", SentAt: int64(counter), Epoch: s.epoch, // the same when it is repeated
	}
	if change != nil {
		change(m)
	}
	return m
}

// write opens a message stream and writes on it.
func (s *stranger) write(frames []byte) *transport.Stream {
	s.t.Helper()
	stream, err := s.link.OpenStream(within(s.t, time.Second))
	if err != nil {
		s.t.Fatal(err)
	}
	_ = stream.Write(frames) // the link may be ending
	return stream
}

// expectClosed waits for the node to close the link with this code and a reason that contains
// these words, which the node's log has too.
func (s *stranger) expectClosed(limit time.Duration, code transport.Code, words string) {
	s.t.Helper()
	select {
	case <-s.link.Done():
	case <-time.After(limit):
		s.t.Fatalf("the link is still open after %v", limit)
	}
	var closed *transport.ClosedError
	if err := s.link.Err(); !errors.As(err, &closed) || !closed.Remote || closed.Code != code || !strings.Contains(closed.Reason, words) {
		s.t.Errorf("the link has ended with %v, not with %v: …%s…", err, code, words)
	}
	s.expectLogged(words)
	if code == transport.CodeProtocol {
		s.expectLogged(brokenProtocol)
	}
}

// brokenProtocol is part of the log's line about a peer that breaks the protocol. Tests that
// want no peer accused of that rely on those that want one accused.
const brokenProtocol = "breaks the protocol"

// expectLogged waits for a line of the log, at least of level INFO, with these words.
func (s *stranger) expectLogged(words string) {
	s.t.Helper()
	time.Sleep(time.Millisecond)
	for line := range strings.Lines(s.w.log.String()) {
		if !strings.Contains(line, "level=DEBUG") && strings.Contains(line, words) {
			return
		}
	}
	s.t.Errorf("the log does not say %q", words)
}

// expectOpen fails if the link has ended.
func (s *stranger) expectOpen() {
	s.t.Helper()
	if err := s.link.Err(); err != nil {
		s.t.Errorf("the link has ended: %v", err)
	}
}

// unimpressed fails unless the peers keep talking and have not lost each other.
func unimpressed(t *testing.T, peers []*peer) {
	t.Helper()
	time.Sleep(15 * time.Second) // for what a wrong table would lead to
	for i, p := range peers {
		for _, q := range peers[:i] {
			talk(p, q)
		}
		for _, l := range all[PeerLeft](p) {
			if slices.ContainsFunc(peers, func(q *peer) bool { return q.ID() == l.ID }) {
				t.Errorf("%s was told of %+v", p.ID(), l)
			}
		}
		for _, q := range peers {
			if row := slices.IndexFunc(p.Peers(), func(row Peer) bool { return row.ID == q.ID() && row.Key == q.Key() && row.State == StateAlive }); (row < 0) != (p == q) {
				t.Errorf("%s has the table %+v", p.ID(), p.Peers())
			}
		}
	}
}
