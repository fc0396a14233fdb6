package core

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// door decides who is let in.
type door struct {
	*base.Env
	table *table.Table
	links *link.Links
}

// judge returns the dialer's record, or the refusal to send it.
func (do *door) judge(l *link.Link, start *pb.HandshakeStart) (*base.Record, *pb.HandshakeResponse) {
	refuse := func(code pb.HandshakeCode, format string, args ...any) (*base.Record, *pb.HandshakeResponse) {
		return nil, &pb.HandshakeResponse{Code: code, Reason: clip(fmt.Sprintf(format, args...))}
	}
	if start.GetVersion() != pb.Version {
		return refuse(pb.HandshakeCode_VERSION, "this peer speaks version %d of the protocol, not %d", pb.Version, start.GetVersion())
	}
	if start.GetNetwork() != do.Cfg.Network {
		return refuse(pb.HandshakeCode_NETWORK, "this is the network %q, not %q", do.Cfg.Network, start.GetNetwork())
	}
	if out := do.Passes.Removal(l.Key); out != nil && out.Standing.Rank == base.RankRemovedByNetwork {
		return nil, do.removedRefusal(out) // no pass can help
	}
	id, err := certs.ParseID(start.GetId())
	if err != nil {
		return refuse(pb.HandshakeCode_MALFORMED, "%v", err)
	}
	record, barred, err := do.openRecord(l, start.GetRecord(), id)
	_, pass := errors.AsType[*base.PassError](err)
	switch {
	case barred != nil:
		return nil, do.removedRefusal(barred)
	case pass:
		return refuse(pb.HandshakeCode_NOT_INVITED, "%v: ask one of its admins for a ticket", err)
	case err != nil:
		return refuse(pb.HandshakeCode_MALFORMED, "%v", err)
	}
	if do.Leaving {
		return refuse(pb.HandshakeCode_LEAVING, "this peer is leaving")
	}
	held := do.table.Get(id, l.Key)
	if held != nil && (held.Record.Epoch > record.Epoch ||
		held.Record.Epoch == record.Epoch && (held.State == pb.AnnouncementType_LEAVE || held.Record.Nonce != record.Nonce)) {
		_, refusal := refuse(pb.HandshakeCode_STALE, "the network knows a newer run of this identity")
		refusal.Record = held.Record.Signed
		return nil, refusal
	}
	// A member that comes back with the epoch that we know is not a newcomer: the table decides
	// which of two members owns an ID.
	member := held != nil && held.Record.Epoch == record.Epoch
	if owner := do.table.Owner(id, do.Now); owner != nil && owner.Record.Key != l.Key && !member && !do.isYounger(owner, record) {
		_, refusal := refuse(pb.HandshakeCode_DUPLICATE_ID, "the ID %s is in use by the peer with key %v", id, owner.Record.Key)
		refusal.Record = owner.Record.Signed
		return nil, refusal
	}
	if held == nil && do.table.Tombstones.Covers(record) {
		_, refusal := refuse(pb.HandshakeCode_STALE, "the network knows a newer run of this identity, which has left")
		refusal.Epoch = do.table.Tombstones.Over(id, l.Key)
		return nil, refusal
	}
	if held == nil {
		if _, ok := do.table.Room(record, pb.AnnouncementType_JOIN, do.table.Self, do.Now); !ok && do.table.Full(do.Now) {
			return refuse(pb.HandshakeCode_FULL, "the table is full: the network has %d peers", table.MaxEntries)
		} else if !ok {
			return refuse(pb.HandshakeCode_FULL, "there is no room for another key of the ID %s", id)
		}
	}
	if !do.makeRoom(l) {
		_, refusal := refuse(pb.HandshakeCode_FULL, "this peer has %d connections", link.MaxLinks)
		refusal.Candidates = do.others()
		return nil, refusal
	}
	return record, nil
}

// isYounger reports whether the newcomer is older than the owner of its ID, and has to be let in for
// it: because passes prove that; or because we hold the ID, and no door has let us in either. Then
// the rule decides: otherwise two peers that join each other would both be refused.
func (do *door) isYounger(owner *table.Entry, newcomer *base.Record) bool {
	return (do.Passes.Private() || !do.Accepted && owner == do.table.Self) && base.Older(newcomer, owner.Record)
}

var errNotSigned = errors.New("the record is not signed by its key")

// openRecord opens the JOIN record that the other side of a link shows as its own; an empty id
// stands for any. A barred one is of a peer that is out of this private network, by that removal.
func (do *door) openRecord(l *link.Link, signed *pb.Signed, id certs.ID) (r, barred *base.Record, err error) {
	r, err = do.Cfg.Open(signed)
	switch {
	case err != nil:
		return nil, nil, err
	case r.Type != pb.AnnouncementType_JOIN:
		return nil, nil, fmt.Errorf("the record is not a JOIN")
	case r.Key != l.Key:
		return nil, nil, fmt.Errorf("the record is of another key than the certificate")
	case id != "" && r.ID != id:
		return nil, nil, fmt.Errorf("the record is of another ID")
	case r.Network != do.Cfg.InRecords():
		return nil, nil, fmt.Errorf("the record is of another network")
	}
	barred, err = do.admits(r)
	return r, barred, err
}

// admits judges a record shown by a peer: barred says that it is out, by that removal.
func (do *door) admits(r *base.Record) (barred *base.Record, err error) {
	barred, err = do.Passes.PassOf(r)
	if barred == nil && err == nil && !do.Cfg.Verify(do.Passes.Claim(r)) {
		err = errNotSigned
	}
	if barred == nil && err == nil {
		do.Passes.Learn(r)
	}
	return barred, err
}

// proves reports whether a record that somebody else shows is valid, and of a member.
func (do *door) proves(r *base.Record) bool {
	barred, err := do.admits(r)
	return barred == nil && err == nil
}

// removedRefusal tells a peer, with the proof, that it is out.
func (do *door) removedRefusal(barred *base.Record) *pb.HandshakeResponse {
	return &pb.HandshakeResponse{
		Code: pb.HandshakeCode_REMOVED_FROM_NETWORK, Reason: clip(cmp.Or(string(barred.Standing.By), "the network") + " has removed " + string(barred.ID)),
		Removal: &pb.Announcement{Type: barred.Type, Record: barred.Signed, Issuer: barred.Standing.Pass.GetIssuer()},
	}
}

// makeRoom reports whether there is a place for a newcomer. One of a host with few links gets that
// of another, which serves nobody: of the host with the most, the one that was unused for longest.
func (do *door) makeRoom(newcomer *link.Link) bool {
	if do.links.LinksUp() < link.MaxLinks || do.links.LinkTo(newcomer.Key) != nil {
		return true
	}
	var list []*link.Link
	for _, l := range do.links.List {
		if l.State == link.LinkUp {
			list = append(list, l)
		}
	}
	free := func(l *link.Link) bool { return !l.Neighbour && l.Exchange == nil }
	one := link.Crowder(list, newcomer.Host(), free, func(l, than *link.Link) bool { return l.Used < than.Used })
	if one == nil {
		return false
	}
	do.Note(base.Debug, "a link of a host with many makes room", "peer", string(one.Peer), "address", one.Address)
	do.links.Close(one, base.CloseIdle, "other hosts need the place")
	return true
}

// others returns peers to try instead, up to pb.MaxCandidates, which a newcomer can dial without
// any help. Whoever takes all our places must not be all that it hears of: first come those that we
// have a link to, one of each host; the rest is taken at random.
func (do *door) others() []*pb.Signed {
	var list []*pb.Signed
	add := func(e *table.Entry) {
		if e != nil && e.Alive() && e != do.table.Self && !e.IsGuest() && len(e.Record.Observed) == 0 && len(list) < pb.MaxCandidates && !slices.Contains(list, e.Record.Signed) {
			list = append(list, e.Record.Signed)
		}
	}
	hosts := make(map[netip.Prefix]bool)
	for _, i := range do.Cfg.Rand.Perm(len(do.links.List)) {
		if l := do.links.List[i]; l.State == link.LinkUp && !hosts[l.Host()] {
			hosts[l.Host()] = true
			add(l.Entry)
		}
	}
	for range 4 * pb.MaxCandidates {
		add(do.table.Entries[do.Cfg.Rand.IntN(len(do.table.Entries))])
	}
	return list
}

// clip cuts a reason to what a frame may carry, between two characters.
func clip(reason string) string {
	return strings.ToValidUTF8(reason[:min(len(reason), pb.MaxReason)], "")
}
