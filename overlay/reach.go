package overlay

import (
	"net/netip"

	"quicpeer/overlay/core"
	"quicpeer/transport/discovery"
	"quicpeer/transport/portmap"
)

// reach holds the optional means by which a node is found and reached from outside.
type reach struct {
	discovery *discovery.Discovery // nil: not wanted
	mapper    *portmap.Mapper      // nil: not wanted
}

// startReach begins to look for peers on the LAN, and to ask the router for a port. The node
// starts even if neither works.
func (n *Node) startReach() {
	port := n.endpoint.Addr().Port()
	if n.cfg.Discover {
		n.reach.discovery = discovery.Start(discovery.Config{
			ID: n.id, Key: n.Key(), Network: n.members.network.Label(), Door: n.cfg.place.door, Port: port, Log: n.log,
			Found: func(p discovery.Peer) {
				n.post(coreInput{core.Found{ID: p.ID, Fingerprint: p.Key, Addresses: foundAddresses(p.Address)}})
			},
		})
	}
	if n.cfg.MapPort {
		n.reach.mapper = portmap.Start(portmap.Config{
			Port: port, Log: n.log,
			Changed: func(a netip.AddrPort) { n.post(coreInput{core.Mapped{Address: a}}) },
		})
	}
}

// moved: the addresses of the host have changed.
type moved addresses

func (m moved) handle(l *loop) {
	l.addresses = addresses(m)
	l.step(core.Moved{Own: m.own, Near: m.near})
	l.node.reach.refresh()
}

// refresh must be called when the addresses of the host have changed.
func (r *reach) refresh() {
	if r.discovery != nil {
		r.discovery.Refresh()
	}
	if r.mapper != nil {
		r.mapper.Refresh()
	}
}

// stop ends both.
func (r *reach) stop() {
	if r.discovery != nil {
		r.discovery.Close()
	}
	if r.mapper != nil {
		r.mapper.Close()
	}
}

// portMap describes the state of the port on the router, for people.
func (r *reach) portMap() string {
	if r.mapper == nil {
		return ""
	}
	return r.mapper.State()
}
