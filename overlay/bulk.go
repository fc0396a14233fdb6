package overlay

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core"
	"quicpeer/overlay/core/base"
	"quicpeer/transport"
)

// Bounds of opening a connection for files.
const (
	// How long a link is waited for when none stands, and how often is looked for it: meeting a
	// peer behind a NAT takes a second (reach.ConnectTimeout), and carried files are slower. Guesses.
	bulkPatience = 2 * time.Second
	bulkLook     = 50 * time.Millisecond
	// How long a handshake may take, as that of a carried link.
	bulkTimeout = carryTimeout
)

var errNoWay = errors.New("no link leads to the peer now, and no other peer that carries for it is known")

// bulks opens and takes connections for files.
type bulks struct{ node *Node }

// OpenBulk makes a connection for files to the peer with that ID and key, from which we are to
// receive: where a link to it stands, or else, after a wait of up to 2 s for one, over other peers.
// Something must be written on its first stream within 5 s. Errors: ErrUnknownPeer if no such peer
// is here now, transport.ErrNoBulk if its version can't do that, net.ErrClosed after the end of the
// node, that of ctx, and others that are worth another try later.
func (b bulks) OpenBulk(ctx context.Context, to ID, key PublicKey) (*transport.Bulk, error) {
	way, err := b.seek(ctx, to, key)
	if err != nil {
		return nil, err
	}
	if way.direct.IsValid() {
		dialling, cancel := context.WithTimeout(ctx, bulkTimeout)
		bulk, err := b.node.endpoint.DialBulk(dialling, way.direct, key)
		cancel()
		if err == nil || errors.Is(err, transport.ErrNoBulk) || ctx.Err() != nil {
			return bulk, err
		}
		b.node.log.Debug("no direct connection for files", "peer", string(to), "why", err)
	}
	if way, ok := ask(&b.node.mailbox, bulkQuestion{id: to, key: key, carried: true}); !ok {
		return nil, ErrClosed
	} else if !way.carried {
		return nil, errNoWay
	}
	ctx, cancel := context.WithTimeout(ctx, bulkTimeout)
	defer cancel()
	return b.node.endpoint.DialBulkCarried(ctx, tagOf(to), key)
}

// seek returns the way to a peer: it waits a little for a link if that can be had.
func (b bulks) seek(ctx context.Context, to ID, key PublicKey) (way bulkWay, err error) {
	look := time.NewTicker(bulkLook)
	defer look.Stop()
	begin := time.Now()
	for wanted := false; ; wanted = true {
		var ok bool
		switch way, ok = ask(&b.node.mailbox, bulkQuestion{id: to, key: key, want: !wanted}); {
		case !ok:
			return way, ErrClosed
		case !way.here:
			return way, ErrUnknownPeer
		case way.direct.IsValid() || !wanted && !way.sought || time.Since(begin) >= bulkPatience:
			return way, nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return way, ctx.Err()
		}
	}
}

// AcceptBulk waits for the next connection for files that a peer has made. The peer is here and is
// not ignored; others are refused. The error is that of ctx, or net.ErrClosed after the end of the node.
func (b bulks) AcceptBulk(ctx context.Context) (from ID, bulk *transport.Bulk, err error) {
	n := b.node
	for {
		if bulk, err = n.endpoint.AcceptBulk(ctx); err != nil {
			return "", nil, err
		}
		if from = n.messages.Directory().Holder(bulk.Peer()); b.Welcomes(bulk.Peer()) {
			return from, bulk, nil
		}
		n.log.Debug("a connection for files is refused", "from", string(from), "key", bulk.Peer())
		bulk.Close(transport.CodeRefused, "not for this peer")
	}
}

// Welcomes says whether connections for files of a key are taken now: its peer is here, and is not
// ignored. Those that were taken earlier stay open.
func (b bulks) Welcomes(key PublicKey) bool {
	return b.node.messages.Directory().Holder(key) != "" && !b.node.messages.Ignored.Has(key)
}

// IsDirect says that a link to the peer with that ID and key stands that does not go over others,
// and works.
func (b bulks) IsDirect(id ID, key PublicKey) bool {
	way, _ := ask(&b.node.mailbox, bulkQuestion{id: id, key: key})
	return way.direct.IsValid()
}

// GiveWay is called before each piece of a file: it waits, for at most 5 ms and half of the time, while a direct
// message is on its way.
func (b bulks) GiveWay(ctx context.Context) { b.node.messages.Precedence.Wait(ctx) }

// bulkQuestion asks how a peer is reached for files.
type bulkQuestion struct {
	id      certs.ID
	key     certs.PublicKey
	want    bool // a link, if there is none
	carried bool // over others, which the transport is to be told
}

// bulkWay is the answer.
type bulkWay struct {
	here    bool
	direct  netip.AddrPort // of a link that works; not valid: there is none
	sought  bool           // a link is wanted now
	carried bool           // a way over others is known
}

func (q bulkQuestion) answer(l *loop) (way bulkWay) {
	r := l.core.Record(q.id)
	if way.here = r != nil && r.Key == q.key; !way.here {
		return way
	}
	var newest base.LinkID
	for id, nl := range l.links.all {
		if nl.peer == q.id && nl.Peer() == q.key && !nl.Carried() && nl.Works() && id > newest {
			newest, way.direct = id, nl.RemoteAddr()
		}
	}
	if q.want && newest == 0 {
		way.sought = l.step(core.Want{To: q.id}).OK
	}
	if q.carried {
		l.lead(tagOf(q.id))
		way.carried = l.node.endpoint.WayTo(tagOf(q.id)) != nil
	}
	return way
}
