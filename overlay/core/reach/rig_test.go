package reach

import (
	"crypto/sha256"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"quicpeer/certs"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/link"
	"quicpeer/overlay/core/route"
	"quicpeer/overlay/core/table"
	"quicpeer/pb"
)

// rig is Reach alone, with a test that plays all other peers.
type rig struct {
	*Reach
	t    *testing.T
	last base.LinkID
	out  base.Effects // of the last input
}

// newRig is a peer with these addresses.
func newRig(t *testing.T, own string) *rig {
	en := &base.Env{Cfg: base.Config{ID: "self", Identity: certs.NewIdentity(make([]byte, 32)), Rand: rand.New(rand.NewPCG(1, 2))}, Ready: true, Accepted: true}
	tb := &table.Table{Env: en}
	ls := link.NewLinks(en, tb)
	rt := route.NewRoutes(en, tb, ls)
	en.Cfg.Addresses, en.Cfg.Near = at(own)
	r := &rig{t: t, Reach: New(en, tb, ls, rt, NewWhereabouts(en, tb, ls), link.NewDoubt(en, ls))}
	tb.Self = r.peer("self", "")
	r.renew()
	return r
}

// at parses addresses of ours, with their subnets.
func at(list string) (own []netip.AddrPort, near []netip.Prefix) {
	for _, a := range strings.Fields(list) {
		ap := netip.MustParseAddrPort(a)
		own = append(own, ap)
		if prefix, _ := ap.Addr().Prefix(24); !ap.Addr().IsLoopback() {
			near = append(near, prefix)
		}
	}
	return own, near
}

// settle renews our record if it may have changed, and takes the effects of an input.
func (r *rig) settle() {
	if slices.Contains(r.Events, base.Happening(Relocated{})) {
		r.renew()
	}
	r.Events = nil
	r.out, r.Out = r.Out, base.Effects{}
}

// renew puts our addresses into our record.
func (r *rig) renew() {
	record := *r.table.Self.Record
	addresses, observed := r.where.Reachable()
	record.Addresses, record.Observed = Texts(addresses), Texts(observed)
	r.table.Set(r.table.Self, &record, pb.AnnouncementType_JOIN)
}

// says reports whether our record has these addresses, and these reflexive ones.
func (r *rig) says(addresses, observed string) {
	r.t.Helper()
	record := r.table.Self.Record
	if a, o := strings.Join(record.Addresses, " "), strings.Join(record.Observed, " "); a != addresses || o != observed {
		r.t.Errorf("it says %q and %q, not %q and %q", a, o, addresses, observed)
	}
}

// peer puts a peer with these addresses into the table.
func (r *rig) peer(name, addresses string, observed ...string) *table.Entry {
	id := certs.ID(name)
	e := table.NewEntry(&base.Record{
		ID: id, Key: keyOf(name), Tag: base.TagOf(id), Addresses: strings.Fields(addresses), Observed: observed,
	}, pb.AnnouncementType_JOIN, r.Now)
	r.table.Insert(e)
	return e
}

func keyOf(name string) certs.PublicKey { return sha256.Sum256([]byte(name)) }

// linked makes a link to a peer at an address, by a dial of ours or of the peer.
func (r *rig) linked(name, address string, dial *link.Dial) *link.Link {
	e := r.table.Get(certs.ID(name), keyOf(name))
	if e == nil {
		e = r.peer(name, address)
	}
	r.last++
	l := &link.Link{ID: r.last, Key: e.Record.Key, Peer: e.Record.ID, Entry: e, Dial: dial, Address: address, State: link.LinkUp, Opened: r.Now, Heard: r.Now}
	l.Within = ParseAddress(address).Addr().IsLoopback()
	r.links.List = append(r.links.List, l)
	return l
}

// seeing makes a link to a door, which says where it sees us.
func (r *rig) seeing(name, observed string) *link.Link {
	l := r.linked(name, "198.51.100.1:5000", &link.Dial{})
	r.observe(l, observed)
	return l
}

// observe is Observe, settled.
func (r *rig) observe(l *link.Link, address string) {
	r.Observe(l, address)
	r.settle()
}

// moved is Moved, settled.
func (r *rig) moved(own string) {
	r.Moved(at(own))
	r.settle()
}

// dialled lists the peers that the last input has dialled.
func (r *rig) dialled() (list []certs.ID) {
	for _, d := range r.out.Dials {
		list = append(list, r.Dials[d.ID].Peer)
	}
	return list
}
