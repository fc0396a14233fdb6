package core

import (
	"slices"
	"time"

	"quicpeer/certs"
)

// Discovery on the LAN is the driver's; what it finds is dialled as an address to join
// is. Who has none given, and finds nobody in time, begins a network; networks that find
// each other later become one, as the halves of one do.

const (
	discoverFor = 2 * time.Second // for an answer of the LAN, which takes milliseconds
	maxFound    = 32              // of the targets
	foundTries  = 5               // dials in a row that fail, then it has to be found again
)

// foundOnLAN is Found.
func (c *Core) foundOnLAN(id certs.ID, fingerprint string, addresses []string) {
	if c.ended || c.leaving || len(addresses) == 0 || c.isMember(id, fingerprint) {
		return
	}
	c.targets = slices.DeleteFunc(c.targets, func(t *target) bool {
		return t.found != "" && !t.dialing && (t.hopeless || t.reached || t.failures >= foundTries)
	})
	n := 0
	for _, t := range c.targets {
		if t.found == fingerprint {
			if !t.dialing {
				t.addresses = addresses[:min(len(addresses), MaxCandidates)]
			}
			return // it is dialled when it is due
		}
		if t.found != "" {
			n++
		}
	}
	if n < maxFound {
		c.note(Debug, "found on the LAN", "key", fingerprint, "addresses", addresses)
		c.targets = append(c.targets, &target{address: addresses[0], addresses: addresses[:min(len(addresses), MaxCandidates)], foundID: id, found: fingerprint})
		c.dialTargets()
	}
}

// isMember says that the peer is in our network already, or ourselves.
func (c *Core) isMember(id certs.ID, fingerprint string) bool {
	return slices.ContainsFunc(c.table.of(id), func(e *entry) bool { return e.alive() && e.record.Key.String() == fingerprint })
}

// stopDiscovering begins a network where nobody on the LAN has let us in.
func (c *Core) stopDiscovering() bool {
	if c.discoverBy == 0 || c.now < c.discoverBy {
		return false
	}
	waiting := slices.ContainsFunc(c.links, func(l *link) bool { return l.state == linkUp })
	if waiting && (c.joinBy == 0 || c.now < c.joinBy || c.tableComes()) {
		return false // its table is on the way
	}
	c.note(Info, "nobody has answered on the LAN: this is a new network")
	c.becomeReady()
	return true
}
