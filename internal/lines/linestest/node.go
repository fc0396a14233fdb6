// Package linestest provides a node without a network, for tests of the front ends.
package linestest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"quicpeer/certs"
	"quicpeer/internal/lines"
	"quicpeer/overlay"
	"quicpeer/pb"
)

// Node is a node without a network: it accepts what a real node accepts, and the
// test supplies its events.
type Node struct {
	Queue       chan overlay.Event // events to come
	Table       []overlay.Peer
	Waits       []overlay.Waiting
	Out         []overlay.Outgoing    // what can be cancelled
	Hidden      []overlay.IgnoredPeer // who is ignored; only bob is known
	Report      overlay.Net
	Known       overlay.Whois // of its ID
	In          []overlay.Room
	Own         map[string]string // its tags
	Full        chan struct{}     // if set, messages wait until it is closed
	Stuck       certs.ID          // only messages to this receiver wait; empty: all do
	Undelivered int               // what Leave returns
	Ticket      string            // of the invitations; empty: the network is not private
	Sum         lines.Status
	Told        []overlay.Said // the history; a query gets its last ones
	Asked       overlay.Query  // the last one
	Shared      Files

	id     certs.ID
	mu     sync.Mutex
	sent   []string
	err    error
	closed bool
	stop   chan struct{}
}

// New returns a node that is ready.
func New(id certs.ID) *Node {
	n := &Node{id: id, Queue: make(chan overlay.Event, 100), stop: make(chan struct{}), Shared: Files{self: id}}
	n.Queue <- overlay.Ready{ID: id}
	return n
}

// Execute runs one typed line on n, as front understands it.
func Execute(t *testing.T, front lines.Frontend, n lines.Node, line string) (leave bool, err error) {
	input := &single{line: []byte(line)}
	err = lines.NewListener(n, front, input, true, slog.New(slog.DiscardHandler), nil).Listen(t.Context())
	return err == nil && input.read == 1, err
}

// single is an input of one line.
type single struct {
	line []byte
	read int
}

func (s *single) Next() ([]byte, error) {
	if s.read++; s.read > 1 {
		return nil, io.EOF
	}
	return s.line, nil
}

// Sent returns what was sent, each message as "to: body".
func (n *Node) Sent() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.sent)
}

// Closed reports whether the node has ended.
func (n *Node) Closed() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.closed
}

func (n *Node) ID() certs.ID { return n.id }

// Key is all zeros.
func (n *Node) Key() certs.PublicKey { return certs.PublicKey{} }

func (n *Node) Deliveries() iter.Seq2[overlay.Event, func()] {
	return func(yield func(overlay.Event, func()) bool) {
		for {
			select {
			case e := <-n.Queue:
				if !yield(e, func() {}) {
					return
				}
				continue
			default:
			}
			select {
			case e := <-n.Queue:
				if !yield(e, func() {}) {
					return
				}
			case <-n.stop:
				return
			}
		}
	}
}

// History is empty; see Past.
func (n *Node) History() *overlay.History { return &overlay.History{} }

func (n *Node) Status() lines.Status { return n.Sum }

func (n *Node) Past(_ context.Context, q overlay.Query) ([]overlay.Said, error) {
	n.Asked = q
	if q.Search == "damaged" {
		return nil, errors.New("the history is damaged")
	}
	if q.Last == 0 {
		return n.Told, nil
	}
	return n.Told[max(0, len(n.Told)-q.Last):], nil
}

func (n *Node) Err() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.err
}

// Fail stops the node with an error.
func (n *Node) Fail(err error) {
	n.mu.Lock()
	n.err = err
	n.mu.Unlock()
	n.Close()
}

// Post notes data, replies and kinds as what they are.
func (n *Node) Post(ctx context.Context, to certs.ID, d overlay.Draft) (overlay.MessageID, error) {
	limit := pb.MaxBody
	if to == overlay.Everyone || overlay.IsRoom(to) {
		limit = pb.MaxBroadcast
	}
	switch {
	case to == n.id:
		return overlay.MessageID{}, overlay.ErrToSelf
	case overlay.IsRoom(to) && !slices.ContainsFunc(n.In, func(r overlay.Room) bool { return r.Name == to }):
		return overlay.MessageID{}, fmt.Errorf("%w: /join %s first", overlay.ErrNotInRoom, to)
	case len(d.Body) > limit:
		return overlay.MessageID{}, overlay.ErrTooLong
	}
	noted := d.Body
	if d.Binary {
		noted = fmt.Sprintf("data %x", d.Body)
	}
	if d.ReplyTo != (overlay.MessageID{}) {
		noted += " (replies to " + d.ReplyTo.String() + ")"
	}
	if d.WantsReply {
		noted += " (wants a reply)"
	}
	if d.Kind != "" {
		noted += fmt.Sprintf(" (%s", d.Kind)
		if d.About != (overlay.MessageID{}) {
			noted += " of " + d.About.String()
		}
		noted += ")"
	}
	return n.accept(ctx, to, d, noted)
}

func (n *Node) JoinRoom(room certs.ID) error {
	if err := overlay.CheckRoom(room); err != nil {
		return err
	}
	if n.PartRoom(room); len(n.In) == 2 {
		return overlay.ErrRoomsFull
	}
	n.In = append(n.In, overlay.Room{Name: room, Members: []certs.ID{"bob", n.id}})
	return nil
}

func (n *Node) PartRoom(room certs.ID) error {
	was := len(n.In)
	if n.In = slices.DeleteFunc(n.In, func(r overlay.Room) bool { return r.Name == room }); len(n.In) == was {
		return overlay.ErrNotInRoom
	}
	return nil
}

func (n *Node) Rooms() []overlay.Room { return n.In }

func (n *Node) accept(ctx context.Context, to certs.ID, d overlay.Draft, noted string) (overlay.MessageID, error) {
	if n.Full != nil && (n.Stuck == "" || n.Stuck == to) {
		select {
		case <-n.Full:
		case <-ctx.Done():
			return overlay.MessageID{}, ctx.Err()
		}
	}
	if !utf8.ValidString(noted) {
		return overlay.MessageID{}, overlay.ErrNotUTF8
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sent = append(n.sent, string(to)+": "+noted)
	id := overlay.MessageID{15: byte(len(n.sent))}
	n.Queue <- overlay.Sent{Message: id, To: to, Ref: d.Ref, Body: d.Body, Binary: d.Binary, ReplyTo: d.ReplyTo, Kind: d.Kind, About: d.About}
	return id, nil
}

func (n *Node) Peers() []overlay.Peer        { return n.Table }
func (n *Node) Waiting() []overlay.Waiting   { return n.Waits }
func (n *Node) Outgoing() []overlay.Outgoing { return slices.Clone(n.Out) }

func (n *Node) Cancel(id overlay.MessageID) error {
	i := slices.IndexFunc(n.Out, func(m overlay.Outgoing) bool { return m.Message == id })
	if i < 0 {
		return overlay.ErrNotWaiting
	}
	n.Queue <- overlay.Failed{Message: id, To: n.Out[i].To, Ref: n.Out[i].Ref, Error: "cancelled"}
	n.Out = slices.Delete(n.Out, i, i+1)
	return nil
}

func (n *Node) Ignore(id certs.ID) error {
	if id != "bob" {
		return overlay.ErrUnknownPeer
	}
	n.Hidden = []overlay.IgnoredPeer{{ID: id, Key: certs.PublicKey{1}}}
	return nil
}

func (n *Node) Unignore(id certs.ID) error {
	if len(n.Hidden) == 0 || n.Hidden[0].ID != id {
		return overlay.ErrNotIgnored
	}
	n.Hidden = nil
	return nil
}

func (n *Node) Ignored() []overlay.IgnoredPeer { return n.Hidden }

func (n *Node) Figures() overlay.Figures { return overlay.Figures{} }

func (n *Node) Net() overlay.Net { return n.Report }

func (n *Node) Whois(id certs.ID) (overlay.Whois, error) {
	if id != n.Known.ID {
		return overlay.Whois{}, errors.New("no peer of that name is known")
	}
	return n.Known, nil
}

func (n *Node) Trust(id certs.ID) error {
	if id != n.Known.ID || n.Known.Pin == (certs.PublicKey{}) {
		return fmt.Errorf("%s has no other key than before", id)
	}
	n.Known.Pin, n.Known.Verified = certs.PublicKey{}, false
	return nil
}

func (n *Node) Verify(id certs.ID, key certs.PublicKey) error {
	if id != n.Known.ID || n.Known.Key != key {
		return fmt.Errorf("%s has another key", id)
	}
	n.Known.Verified = true
	return nil
}

func (n *Node) Forget(id certs.ID) error {
	if id != n.Known.ID || n.Known.Pinned.IsZero() {
		return fmt.Errorf("%s is not pinned", id)
	}
	n.Known.Pinned = time.Time{}
	return nil
}

func (n *Node) Tags() map[string]string { return maps.Clone(n.Own) }

// SetTags refuses what a real node refuses, and supplies no event.
func (n *Node) SetTags(tags map[string]string) error {
	err := overlay.CheckTags(tags)
	if err == nil {
		n.Own = maps.Clone(tags)
	}
	return err
}

func (n *Node) Join(ctx context.Context, address string) (certs.ID, error) {
	switch {
	case address == "slow:1":
		<-ctx.Done()
		return "", ctx.Err()
	case address != "door:1":
		return "", fmt.Errorf("%s: no answer", address)
	}
	return "door", nil
}

// Ping reaches bob directly, carol over others, and nobody else.
func (n *Node) Ping(ctx context.Context, id certs.ID) (overlay.Ping, error) {
	switch id {
	case "bob":
		return overlay.Ping{ID: id, RTT: 1500 * time.Microsecond, How: overlay.PingDirect, Address: "192.0.2.1:5000"}, ctx.Err()
	case "carol":
		return overlay.Ping{ID: id, RTT: 20 * time.Millisecond, How: overlay.PingCarried, Via: "bob"}, ctx.Err()
	}
	return overlay.Ping{}, fmt.Errorf("%s: no answer", id)
}

// The acts of an admin are done to bob alone, and for carol as an admin.
func (n *Node) act(ctx context.Context, id certs.ID, carol bool) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case n.Ticket == "":
		return errors.New("this network is not private")
	case id != "bob" && !(id == "carol" && carol):
		return fmt.Errorf("%s is a stranger", id)
	}
	return nil
}

func (n *Node) Invite(ctx context.Context, id certs.ID, admin bool) (overlay.Invitation, error) {
	err := n.act(ctx, id, admin)
	if err != nil {
		return overlay.Invitation{}, err
	}
	return overlay.Invitation{ID: id, Ticket: n.Ticket, Expires: time.Date(2026, 3, 5, 12, 1, 5, 0, time.Local), Admin: admin, LANOnly: admin}, nil
}

func (n *Node) Uninvite(ctx context.Context, id certs.ID) error { return n.act(ctx, id, false) }

// Remove supplies the event as well.
func (n *Node) Remove(ctx context.Context, id certs.ID, all bool, ref string) error {
	err := n.act(ctx, id, all)
	if err == nil {
		n.Queue <- overlay.Removed{ID: id, By: n.id, Ref: ref}
	}
	return err
}

func (n *Node) Leave(context.Context) (int, error) { return n.Undelivered, n.Close() }

func (n *Node) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.closed {
		n.closed = true
		close(n.stop)
	}
	return nil
}

// Net is a report with a peer reached through a NAT and one reached over another; the error
// has a character in it that no front end may show as it is.
func Net(at time.Time) overlay.Net {
	return overlay.Net{
		NAT: overlay.NATEven, PortMap: "none: PCP: no answer",
		Addresses: []overlay.OwnAddress{
			{Address: "192.168.1.2:5000", Source: "interface"},
			{Address: "203.0.113.1:5000", Source: "observed", By: []certs.ID{"bob", "pub"}},
		},
		Peers: []overlay.Way{
			{ID: "bob", How: overlay.HowPunched, Address: "203.0.113.2:5000", Since: at, RTT: 12500 * time.Microsecond, Behind: true},
			{ID: "carol", How: overlay.HowRelayed, Via: "pub", Behind: true, Tries: 2, Error: "no\x1b answer", Next: at},
		},
	}
}
