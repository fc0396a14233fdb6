package overlay

import (
	"quicpeer/transport/discovery"
)

// reach is what a node does, if its user wants it, to be found and reached.
type reach struct {
	discovery *discovery.Discovery // nil: not wanted, or not possible
}

// startReach begins to look for peers on the LAN. That this does not work is no reason
// not to start.
func (n *Node) startReach() {
	if n.cfg.Discover {
		d, err := discovery.Start(discovery.Config{
			ID: n.id, Key: n.Key(), Network: n.cfg.Network, Port: n.endpoint.Addr().Port(), Log: n.log,
			Found: func(p discovery.Peer) {
				n.post(func() { n.core.Found(n.now(), p.ID, p.Key, []string{p.Address.String()}) })
			},
		})
		if err != nil {
			n.log.Warn("peers on the LAN are not found, nor find this one", "error", err)
		} else {
			n.reach.discovery = d
		}
	}
}

// moved is called when the addresses of the host have changed.
func (r *reach) moved() {
	if r.discovery != nil {
		r.discovery.Refresh()
	}
}

// stop ends it.
func (r *reach) stop() {
	if r.discovery != nil {
		r.discovery.Close()
	}
}

// portMap says what became of the wish for a port on the router.
func (n *Node) portMap() string { return "" }
