package core

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/route"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// A ticket is turned into a pass by its issuer alone, since only one peer can know that it was not
// used before. Any member is a door to it:
//
//	newcomer                     door                        issuer
//	   | HandshakeStart(redemption) |                           |
//	   |--------------------------->| Routed(redeem) ---------->| known, unused, in time?
//	   |                            |                           | stores who has the pass now
//	   |<-- HandshakeResponse       |<---------- Routed(redeemed)
//	   |    (GRANTED, pass); closed |                           |
//	   | HandshakeStart(record with the pass), as every member  |
//
// The redemption is signed by the ticket's own key, over the key of the newcomer: those on the way
// can drop it, and nothing else. The same key gets the same pass again, so a lost answer costs nothing.
const (
	redeemFor   = 10 * time.Second // for the issuer's answer: a guess, its disk is the slowest part
	maxRedeemed = 16               // under way here at once, a guess; more are told to try again
)

// tickets handles the tickets that are used here, as a door and as an issuer.
type tickets struct {
	*base.Env
	table  *table.Table
	links  *link.Links
	routes *route.Routes
	own    *own

	last    uint64
	waiting []redeeming
}

// redeeming is a redemption under way.
type redeeming struct {
	number uint64
	ticket certs.PublicKey
	link   base.LinkID // of the newcomer; 0: it has come to another door
	peer   certs.ID    // that one; else the issuer
	over   base.LinkID // the question has come
	till   time.Duration
}

// Redeemed answers Effects.Redeem.
type Redeemed struct {
	Number uint64
	Answer *pb.Redeemed
}

func (in Redeemed) apply(c *Core) (r Reply) {
	c.tickets.answer(in.Answer, func(w redeeming) bool { return w.number == in.Number })
	return r
}

// receive takes the ticket of a newcomer at our door.
func (ti *tickets) receive(l *link.Link, signed *pb.Signed) {
	r, err := pb.ParseRedemption(signed)
	switch {
	case err != nil:
		ti.refuse(l, pb.HandshakeCode_MALFORMED, err.Error())
	case certs.PublicKey(r.GetKey()) != l.Key:
		ti.refuse(l, pb.HandshakeCode_MALFORMED, "the ticket is redeemed for another key than that of the certificate")
	case ti.Leaving:
		ti.refuse(l, pb.HandshakeCode_LEAVING, "this peer is leaving")
	case ti.Cfg.Pass == nil || !ti.Ready:
		ti.refuse(l, pb.HandshakeCode_AWAY, "this peer is not in the network itself yet")
	case slices.ContainsFunc(ti.waiting, func(w redeeming) bool { return w.link == l.ID }):
		ti.links.Violation(l, "a second ticket before the answer to the first")
	case !ti.begin(redeeming{ticket: certs.PublicKey(r.GetTicket()), link: l.ID}, r.GetIssuer(), signed):
		ti.refuse(l, pb.HandshakeCode_AWAY, "its issuer is not here")
	default:
		l.Patience = redeemFor
	}
}

// receiveFromDoor takes a ticket that has come to another door.
func (ti *tickets) receiveFromDoor(over base.LinkID, door certs.ID, signed *pb.Signed) {
	r, err := pb.ParseRedemption(signed)
	if err == nil && ti.Ready && ti.Passes.Private() && base.TagOfKey(ti.Cfg.Identity.Key()) == r.GetIssuer() {
		ti.begin(redeeming{ticket: certs.PublicKey(r.GetTicket()), peer: door, over: over}, r.GetIssuer(), signed)
	}
}

// begin passes a redemption to the issuer of its ticket; false if that can't be done now.
func (ti *tickets) begin(w redeeming, issuer uint64, signed *pb.Signed) bool {
	ti.waiting = slices.DeleteFunc(ti.waiting, func(w redeeming) bool {
		return ti.Now >= w.till || w.link != 0 && ti.links.Link(w.link) == nil // nobody waits for it
	})
	if len(ti.waiting) >= maxRedeemed {
		return false
	}
	ti.last++
	w.number, w.till = ti.last, ti.Now+redeemFor
	if base.TagOfKey(ti.Cfg.Identity.Key()) == issuer {
		ti.waiting = append(ti.waiting, w)
		ti.Out.Redeem = append(ti.Out.Redeem, base.Redeem{Number: w.number, Redemption: signed})
		return true
	}
	for _, e := range ti.table.Entries {
		if e.Alive() && e.Record.Rank() == base.RankAdmin && base.TagOfKey(e.Record.Key) == issuer {
			// It is not asked again: the newcomer does so, and each question takes another way.
			w.peer = e.Record.ID
			if ti.routes.SendAround(w.peer, &pb.Routed{Content: &pb.Routed_Redeem{Redeem: signed}}, int(ti.last-1)) == 0 {
				return false
			}
			ti.waiting = append(ti.waiting, w)
			return true
		}
	}
	return false
}

// answer passes the issuer's answer on to the newcomer.
func (ti *tickets) answer(a *pb.Redeemed, to func(redeeming) bool) {
	i := slices.IndexFunc(ti.waiting, to)
	if i < 0 {
		return
	}
	w := ti.waiting[i]
	ti.waiting = slices.Delete(ti.waiting, i, i+1)
	if w.link == 0 {
		ti.routes.SendBack(w.over, w.peer, &pb.Routed{Content: &pb.Routed_Redeemed{Redeemed: a}})
		return
	}
	if l := ti.links.Link(w.link); l != nil && l.State == link.LinkOpening {
		if a.GetCode() != pb.HandshakeCode_GRANTED {
			ti.Counts.Refuse(a.GetCode())
		}
		ti.links.Send(l, &pb.HandshakeResponse{Code: a.GetCode(), Reason: a.GetReason(), Pass: a.GetPass(), Software: ti.Cfg.Software})
		ti.links.Close(l, base.CloseRefused, a.GetCode().String())
	}
}

// receiveAnswer takes the answer of an issuer. Nobody has vouched for it: those on the way could have
// made up a refusal, as they could have dropped the question. The newcomer checks the pass.
func (ti *tickets) receiveAnswer(from certs.ID, a *pb.Redeemed) {
	ti.answer(a, func(w redeeming) bool {
		return w.link != 0 && w.peer == from && w.ticket == certs.PublicKey(a.GetTicket())
	})
}

func (ti *tickets) refuse(l *link.Link, code pb.HandshakeCode, reason string) {
	ti.Counts.Refuse(code)
	ti.links.Send(l, &pb.HandshakeResponse{Code: code, Reason: clip(reason), Software: ti.Cfg.Software})
	ti.links.Close(l, base.CloseRefused, code.String())
}

// receivePass is the newcomer's side: it has a pass, which is stored before it is shown. It may have
// knocked at several doors, each of which sends the pass.
func (ti *tickets) receivePass(pass *pb.Pass) bool {
	if proto.Equal(pass, ti.Cfg.Pass) {
		ti.Cfg.Redemption = nil
		return true
	}
	key, own := ti.Cfg.Identity.Key(), ti.table.Self.Record.Standing
	standing, err := base.OpenPass(pass, ti.Cfg.ID, key)
	if err != nil || ti.Cfg.Redemption == nil {
		return false
	}
	if own != nil && standing.Rank < own.Rank {
		ti.Cfg.Redemption = nil // an old ticket: we are an admin by now
		return true
	}
	claimed := &base.Record{ID: ti.Cfg.ID, Key: key, Type: pb.AnnouncementType_JOIN, Standing: standing}
	barred, err := ti.Passes.PassOf(claimed)
	if claim := ti.Passes.Claim(claimed); err != nil || barred != nil || claim.And != nil && !ti.Cfg.Verify(*claim.And) {
		return false
	}
	ti.Cfg.Pass, ti.Cfg.Redemption = pass, nil
	ti.Out.Pass = pass
	ti.own.setOwnRecord(pb.AnnouncementType_JOIN, 0)
	return true
}
