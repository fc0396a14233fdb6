package core

import (
	"fmt"
	"quicpeer/certs"
	"quicpeer/pb"
	"slices"
	"strings"
)

// door decides who is let in.
type door struct {
	*env
	table *table
	links *links
}

// judge returns the dialer's record, or the refusal to send it.
func (do *door) judge(l *link, start *pb.HandshakeStart) (*Record, *pb.HandshakeResponse) {
	refuse := func(code pb.HandshakeCode, format string, args ...any) (*Record, *pb.HandshakeResponse) {
		return nil, &pb.HandshakeResponse{Code: code, Reason: clip(fmt.Sprintf(format, args...))}
	}
	if start.GetVersion() != pb.Version {
		return refuse(pb.HandshakeCode_VERSION, "this peer speaks version %d of the protocol, not %d", pb.Version, start.GetVersion())
	}
	if start.GetNetwork() != do.cfg.Network {
		return refuse(pb.HandshakeCode_NETWORK, "this is the network %q, not %q", do.cfg.Network, start.GetNetwork())
	}
	id, err := certs.ParseID(start.GetId())
	if err != nil {
		return refuse(pb.HandshakeCode_MALFORMED, "%v", err)
	}
	record, err := do.openRecord(l, start.GetRecord(), id)
	if err != nil {
		return refuse(pb.HandshakeCode_MALFORMED, "%v", err)
	}
	if do.leaving {
		return refuse(pb.HandshakeCode_LEAVING, "this peer is leaving")
	}
	held := do.table.get(id, l.key)
	if held != nil && (held.record.Epoch > record.Epoch ||
		held.record.Epoch == record.Epoch && (held.state == pb.AnnouncementType_LEAVE || held.record.Nonce != record.Nonce)) {
		_, refusal := refuse(pb.HandshakeCode_STALE, "the network knows a newer run of this identity")
		refusal.Record = held.record.Signed
		return nil, refusal
	}
	// A member that comes back with the epoch that we know is not a newcomer: the table decides
	// which of two members owns an ID.
	member := held != nil && held.record.Epoch == record.Epoch
	if owner := do.table.owner(id, do.now); owner != nil && owner.record.Key != l.key && !member && !do.isYounger(owner, record) {
		_, refusal := refuse(pb.HandshakeCode_DUPLICATE_ID, "the ID %s is in use by the peer with key %v", id, owner.record.Key)
		refusal.Record = owner.record.Signed
		return nil, refusal
	}
	if held == nil && do.table.tombstones.covers(record) {
		_, refusal := refuse(pb.HandshakeCode_STALE, "the network knows a newer run of this identity, which has left")
		refusal.Epoch = do.table.tombstones.over(id, l.key)
		return nil, refusal
	}
	if held == nil {
		if _, ok := do.table.room(record, pb.AnnouncementType_JOIN, do.table.self, do.now); !ok && do.table.full(do.now) {
			return refuse(pb.HandshakeCode_FULL, "the table is full: the network has %d peers", maxEntries)
		} else if !ok {
			return refuse(pb.HandshakeCode_FULL, "there is no room for another key of the ID %s", id)
		}
	}
	if do.links.linksUp() >= maxLinks && do.links.linkTo(l.key) == nil {
		_, refusal := refuse(pb.HandshakeCode_FULL, "this peer has %d connections", maxLinks)
		refusal.Candidates = do.others()
		return nil, refusal
	}
	return record, nil
}

// isYounger reports whether we hold the ID, no door has let us in either, and the newcomer is
// older. Then the rule decides: otherwise two peers that join each other would both be refused.
func (do *door) isYounger(owner *entry, newcomer *Record) bool {
	return !do.accepted && owner == do.table.self && (&entry{record: newcomer}).older(do.table.self)
}

// openRecord opens the JOIN record that the other side of a link shows as its own; an empty id
// stands for any.
func (do *door) openRecord(l *link, signed *pb.Signed, id certs.ID) (*Record, error) {
	r, err := do.cfg.Open(signed)
	switch {
	case err != nil:
		return nil, err
	case r.Type != pb.AnnouncementType_JOIN:
		return nil, fmt.Errorf("the record is not a JOIN")
	case r.Key != l.key:
		return nil, fmt.Errorf("the record is of another key than the certificate")
	case id != "" && r.ID != id:
		return nil, fmt.Errorf("the record is of another ID")
	case r.Network != do.cfg.Network:
		return nil, fmt.Errorf("the record is of another network")
	case !do.cfg.Verify(Claim{Key: r.Key, Signed: signed}):
		return nil, fmt.Errorf("the record is not signed by its key")
	}
	return r, nil
}

// others returns peers to try instead, up to pb.MaxCandidates at random, which a newcomer can
// dial without any help.
func (do *door) others() []*pb.Signed {
	var list []*pb.Signed
	for range 4 * pb.MaxCandidates {
		e := do.table.entries[do.cfg.Rand.IntN(len(do.table.entries))]
		if e.alive() && e != do.table.self && !e.isGuest() && len(e.record.Observed) == 0 && len(list) < pb.MaxCandidates && !slices.Contains(list, e.record.Signed) {
			list = append(list, e.record.Signed)
		}
	}
	return list
}

// clip cuts a reason to what a frame may carry, between two characters.
func clip(reason string) string {
	return strings.ToValidUTF8(reason[:min(len(reason), pb.MaxReason)], "")
}
