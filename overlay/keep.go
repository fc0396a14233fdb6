package overlay

import (
	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/messaging"
	"quicpeer/overlay/messaging/delivery"
	"quicpeer/overlay/messaging/store"
	"quicpeer/pb"

	"google.golang.org/protobuf/proto"
)

// The state directory: what a node stores there, and loads when it starts.

// kept is what earlier runs have stored for the core.
type kept struct {
	met     []base.Acquaintance // to be looked for
	custody []base.Kept
	shown   map[base.ShownBroadcasts]uint64

	removals []*pb.Announcement // from our private network
	tickets  issuer
	past     []base.Room // that this peer is in
}

// openDisk opens the state directory, if there is one, and starts the messages from its
// contents.
func (n *Node) openDisk(nonce uint64) (k kept, err error) {
	n.disk, err = messaging.OpenDisk(messaging.DiskConfig{
		State: n.cfg.State, Step: n.cfg.step, Fail: n.fail, Log: n.log,
		History: store.HistoryConfig{Bytes: n.cfg.History.Bytes, Messages: n.cfg.History.Messages}, NoHistory: n.cfg.History.Off,
	})
	if err != nil {
		return k, err
	}
	open := base.OpenRecord
	if n.members.network.IsPrivate() {
		open = base.OpenMember
	}
	var list []acquaintance
	err = n.disk.Load(store.Peers, func(_, value []byte) error {
		a, err := openPeer(value, open)
		list = append(list, a)
		if err == nil {
			n.members.met(a.record)
		}
		return err
	})
	if err != nil {
		return k, err
	}
	if !n.cfg.NoRejoin {
		k.met = acquaintances(list)
	}
	if k.removals, err = loadRemovals(n); err != nil {
		return k, err
	}
	if k.tickets, err = loadTickets(n.disk); err != nil {
		return k, err
	}
	var met []messaging.Contact
	for _, a := range list {
		met = append(met, contactOf(a.record, a.reached))
	}
	n.messages, err = messaging.New(messaging.Config{
		ID: n.id, Identity: n.cfg.State.Identity, Network: n.members.network.Label(), Members: n.members.forMessages(), Nonce: nonce, Start: n.start,
		NoCustody: n.cfg.NoCustody, Disk: n.disk, Met: met, Tag: base.TagOfBroadcast, Log: n.log,
		Wish: func(w messaging.Wish) { n.post(wished{w}) }, Fail: n.fail,
	})
	n.stream = stream{n.messages.Stream()}
	if err != nil {
		return k, err
	}
	if err := n.messages.Rooms.Open(n.messages); err != nil {
		return k, err
	}
	k.past = n.bygone()
	k.shown = make(map[base.ShownBroadcasts]uint64)
	for _, c := range met {
		for _, r := range n.messages.ShownBroadcasts(c.Key) {
			k.shown[base.ShownBroadcasts{Author: c.Key, Epoch: r.Epoch, Nonce: r.Nonce}] = r.Counter
		}
	}
	k.custody, err = n.keptForOthers()
	return k, err
}

func openPeer(value []byte, open func(*pb.Signed) (*base.Record, error)) (acquaintance, error) {
	s := new(pb.StoredPeer)
	if err := proto.Unmarshal(value, s); err != nil {
		return acquaintance{}, damaged("record", err)
	}
	r, err := open(&pb.Signed{Payload: s.GetPayload(), Signature: s.GetSignature()})
	if err != nil {
		return acquaintance{}, damaged("record", err)
	}
	return acquaintance{r, messaging.Reached{Epoch: r.Epoch, Address: s.GetAddress(), At: s.GetLinkedAt()}}, nil
}

func contactOf(r *base.Record, where messaging.Reached) messaging.Contact {
	return messaging.Contact{ID: r.ID, Key: r.Key, Sealing: r.Sealing, TextOnly: !r.TakesData, Visitor: r.Visitor, Reached: where}
}

// meet stores a peer that has joined. One whose ID belongs to another here is remembered by its other
// name as long as this peer runs.
func (n *Node) meet(name certs.ID, r *base.Record) {
	if r == nil {
		return
	}
	n.members.met(r)
	c := contactOf(r, messaging.Reached{})
	c.ID = name
	met := n.messages.Directory().Meet(c)
	if !met.New || r.Visitor || name != r.ID {
		return
	}
	var ops []store.Op
	if met.Forgotten != "" {
		ops = append(ops, store.Op{Bucket: store.Peers, Key: []byte(met.Forgotten)})
	}
	op, err := storePeer(r, messaging.Reached{})
	if err != nil {
		return // it was read from the wire
	}
	n.disk.Write(nil, append(ops, op)...)
}

// stampOfBroadcast is the stamp under which a broadcast is remembered.
func stampOfBroadcast(b base.Broadcasted) delivery.Stamp {
	return delivery.Stamp{Run: delivery.Run{Position: delivery.Position{Epoch: b.Epoch, Counter: b.Number}, Nonce: b.Nonce}}
}
