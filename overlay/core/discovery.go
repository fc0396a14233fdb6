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
func (jn *joiner) foundOnLAN(id certs.ID, fingerprint string, addresses []string) {
	if jn.ended || jn.leaving || len(addresses) == 0 || jn.table.isMember(id, fingerprint) {
		return
	}
	jn.targets = slices.DeleteFunc(jn.targets, func(t *target) bool {
		return t.found != "" && !t.dialing && (t.hopeless || t.reached || t.failures >= foundTries)
	})
	n := 0
	for _, t := range jn.targets {
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
		jn.note(Debug, "found on the LAN", "key", fingerprint, "addresses", addresses)
		jn.targets = append(jn.targets, &target{address: addresses[0], addresses: addresses[:min(len(addresses), MaxCandidates)], foundID: id, found: fingerprint})
		jn.dialTargets()
	}
}

// isMember says that the peer is in our network already, or ourselves.
func (t *table) isMember(id certs.ID, fingerprint string) bool {
	return slices.ContainsFunc(t.of(id), func(e *entry) bool { return e.alive() && e.record.Key.String() == fingerprint })
}

// stopDiscovering begins a network where nobody on the LAN has let us in.
func (jn *joiner) stopDiscovering() bool {
	if jn.discoverBy == 0 || jn.now < jn.discoverBy {
		return false
	}
	waiting := slices.ContainsFunc(jn.links.list, func(l *link) bool { return l.state == linkUp })
	if waiting && (jn.joinBy == 0 || jn.now < jn.joinBy || jn.sync.tableComes()) {
		return false // its table is on the way
	}
	jn.note(Info, "nobody has answered on the LAN: this is a new network")
	jn.happen(tableTaken{})
	return true
}
