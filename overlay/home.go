package overlay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/overlay/core"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/messaging"
	"quicpeer/overlay/messaging/store"
	"quicpeer/pb"
)

// How a node finds its network again: it stores where it had links, gives that to the core at
// its next start, and dials one more address where the program asks for it.

// acquaintances lists the peers to look for at a start: first those with the most recent
// links, then those that were only heard of.
func acquaintances(list []acquaintance) []base.Acquaintance {
	slices.SortStableFunc(list, func(a, b acquaintance) int {
		return cmp.Or(-cmp.Compare(a.reached.At, b.reached.At), cmp.Compare(a.record.ID, b.record.ID))
	})
	var out []base.Acquaintance
	for _, a := range list {
		addresses := slices.Concat(a.record.Addresses, a.record.Observed)
		if a.reached.Address != "" {
			addresses = append([]string{a.reached.Address}, slices.DeleteFunc(addresses, func(s string) bool { return s == a.reached.Address })...)
		}
		out = append(out, base.Acquaintance{ID: a.record.ID, Key: a.record.Key, Addresses: addresses, Address: a.reached.Address})
	}
	return out
}

// acquaintance is a peer of the state directory.
type acquaintance struct {
	record  *base.Record
	reached messaging.Reached
}

// storePeer encodes a peer for the state directory.
func storePeer(r *base.Record, where messaging.Reached) (store.Op, error) {
	value, err := proto.Marshal(&pb.StoredPeer{
		Payload: r.Signed.GetPayload(), Signature: r.Signed.GetSignature(), Address: where.Address, LinkedAt: where.At,
	})
	return store.Op{Bucket: store.Peers, Key: []byte(r.ID), Value: value}, err
}

// noteLink stores where a peer was reached, for later starts.
func (n *Node) noteLink(r *base.Record, up base.LinkUp, address string) {
	if !n.disk.Keeps() || r == nil || r.Key != up.Key || r.Visitor || up.ID != r.ID {
		return
	}
	where := messaging.Reached{Epoch: r.Epoch, Address: address, At: time.Now().UnixNano()}
	if !n.messages.Directory().Reach(up.ID, up.Key, where) {
		return
	}
	if op, err := storePeer(r, where); err == nil { // the record was read from the wire
		n.disk.Write(nil, op)
	}
}

// Join dials the peer at HOST:PORT and returns its ID once it has let this peer in; two
// separate networks become one in the seconds that follow. From then on the address is retried
// like one of Config.Join. The error says why no peer was reached, or why this one was
// refused; it is ErrClosed while this peer leaves and after that, and ctx's own if ctx ends first, in which case the
// dial goes on.
func (n *Node) Join(ctx context.Context, address string) (certs.ID, error) {
	if certs.IsTicket(address) {
		return "", errTicketLater // and the ticket is in no error
	}
	if err := checkHostPort(address); err != nil {
		return "", err
	}
	done := make(chan base.Joining, 1)
	n.post(join{address, done})
	j, err := awaitDone(ctx, &n.mailbox, done)
	switch {
	case err != nil || j.ID != "":
	case n.isLeaving():
		err = ErrClosed
	default:
		err = fmt.Errorf("%s: %s", j.Address, j.Why)
	}
	return j.ID, err
}

// awaitDone waits for what an input ends with: ErrClosed once the loop has ended, or ctx's own error.
func awaitDone[T any](ctx context.Context, m *mailbox, done <-chan T) (result T, err error) {
	select {
	case result = <-done:
		return result, nil
	case <-ctx.Done():
		return result, ctx.Err()
	case <-m.ended:
		return result, ErrClosed
	}
}

var errTicketLater = errors.New("a ticket is used when a peer starts: quicpeer --join TICKET")

// join: the program wants to join at an address.
type join struct {
	address string
	done    chan base.Joining // it has room for one
}

func (j join) handle(l *loop) {
	l.joins[j.address] = append(l.joins[j.address], j.done)
	l.step(core.Join{Address: j.address})
}

// joins holds the callers that wait for a Join, by its address.
type joins map[string][]chan base.Joining

// end gives the result to the callers that wait for it.
func (s joins) end(j base.Joining) {
	for _, done := range s[j.Address] {
		done <- j
	}
	delete(s, j.Address)
}

// checkHostPort reports why an address can't be joined.
func checkHostPort(address string) error {
	_, service, err := net.SplitHostPort(address)
	if err == nil {
		var port uint64
		if port, err = strconv.ParseUint(service, 10, 16); err == nil && port == 0 {
			err = fmt.Errorf("nobody listens on port 0")
		}
	}
	if err != nil {
		return fmt.Errorf("%q is not HOST:PORT, such as 192.168.1.5:5000: %w", address, err)
	}
	return nil
}
