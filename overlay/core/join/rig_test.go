package join

import (
	"crypto/sha256"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/gossip"
	"quicpeer/overlay/core/hearsay"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/reach"
	"quicpeer/overlay/core/reconcile"
	"quicpeer/overlay/core/route"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// rig is a Joiner alone, with a test that plays all other peers.
type rig struct {
	*Joiner
	out    base.Effects // of the last input
	err    error        // with which it has ended
	begins bool         // a network
}

// newRig is a peer at 10.9.9.9, alone in its network or, with addresses to join, in none.
func newRig(t *testing.T, given []string, met ...base.Acquaintance) *rig {
	t.Helper()
	en := &base.Env{
		Cfg: base.Config{ID: "self", Identity: identity("self"), Rand: rand.New(rand.NewPCG(1, 2)), Open: base.OpenRecord, Verify: base.Claim.Valid,
			Addresses: []netip.AddrPort{netip.MustParseAddrPort("10.9.9.9:5000")}, Join: given, Met: met},
		Now: time.Hour, Ready: given == nil, Accepted: given == nil,
	}
	tb := &table.Table{Env: en}
	ls := link.NewLinks(en, tb)
	rt := route.NewRoutes(en, tb, ls)
	wh := reach.NewWhereabouts(en, tb, ls)
	db := link.NewDoubt(en, ls)
	re := reach.New(en, tb, ls, rt, wh, db)
	r := &rig{Joiner: New(en, tb, ls, wh, re, reconcile.New(en, tb, ls, gossip.New(en, tb, ls, rt, db), hearsay.New(en, tb, ls, rt, db, nil)))}
	tb.Self = r.member("self")
	r.Begin()
	r.settle()
	return r
}

// identity is that of a peer, by its name.
func identity(name string) *certs.Identity {
	seed := sha256.Sum256([]byte(name))
	return certs.NewIdentity(seed[:])
}

// acquaintance is a peer of an earlier run, which was linked at the first of its addresses.
func acquaintance(name string, addresses ...string) base.Acquaintance {
	a := base.Acquaintance{ID: certs.ID(name), Key: identity(name).Key(), Addresses: addresses}
	if len(addresses) > 0 {
		a.Address = addresses[0]
	}
	return a
}

// member puts a peer into the table.
func (r *rig) member(name string) *table.Entry {
	id := certs.ID(name)
	e := table.NewEntry(&base.Record{ID: id, Key: identity(name).Key(), Tag: base.TagOf(id), Addresses: []string{"10.0.0.1:5000"}}, pb.AnnouncementType_JOIN, r.Now)
	r.table.Insert(e)
	return e
}

// leaves lets a member say goodbye that had a link to us.
func (r *rig) leaves(e *table.Entry, lastAddress string) {
	e.With().LastAddress = lastAddress
	old := e.Record
	r.table.Set(e, old, pb.AnnouncementType_LEAVE)
	r.Told(link.Change{Entry: e, Old: old, News: link.News{Record: old, State: pb.AnnouncementType_LEAVE}})
}

// settle follows what has happened, as Core does, and takes the effects of an input.
func (r *rig) settle() {
	for len(r.Events) > 0 {
		what := r.Events[0]
		r.Events = r.Events[1:]
		switch what := what.(type) {
		case reach.TargetEnded:
			r.TargetEnded(what)
		case base.Failed:
			r.err, r.Ended = what.Why, true
		case base.TableTaken:
			r.begins, r.Ready = true, true
		}
	}
	r.out, r.Out = r.Out, base.Effects{}
}

// pass lets time pass, with a tick at its end.
func (r *rig) pass(d time.Duration) {
	r.Now += d
	r.CheckJoining()
	if r.Ready {
		r.DialTargets()
	}
	r.settle()
}

// fail lets all dials fail.
func (r *rig) fail() {
	for _, id := range slices.Sorted(maps.Keys(r.reach.Dials)) {
		r.reach.DialFailed(id, false, "no answer")
	}
	r.settle()
}

// opens lets the peer that a dial has reached let us in.
func (r *rig) opens(dial base.DialID, name string) {
	d, e := r.reach.Dials[dial], r.member(name)
	l := &link.Link{ID: base.LinkID(dial), Key: e.Record.Key, Peer: e.Record.ID, Entry: e, Dial: d, State: link.LinkUp, Opened: r.Now}
	r.links.List = append(r.links.List, l)
	r.reach.DialEnded(d, "", true)
	for _, what := range r.Events {
		r.TargetEnded(what.(reach.TargetEnded))
	}
	r.Events = nil
	r.DoorOpened(d.Target, l)
	r.settle()
}

// dialled returns the first addresses of the dials of the last input.
func (r *rig) dialled() (list []string) {
	for _, d := range r.out.Dials {
		list = append(list, d.Candidates[0].Address)
	}
	return list
}
