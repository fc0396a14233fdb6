package overlay

import (
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core"
	"quicpeer/overlay/core/base"
)

// Net says how this peer can be reached and how it reaches others: what to look at when
// messages go over other peers and should not.
type Net struct {
	NAT       NAT          `json:"nat"`
	Addresses []OwnAddress `json:"addresses"`
	PortMap   string       `json:"port_map"` // the state of Config.MapPort, for people; empty without it
	Peers     []Way        `json:"peers"`    // in the order of the IDs
}

// Parts of Net that package core reports.
type (
	NAT        = base.NAT
	OwnAddress = core.OwnAddress
	Source     = core.Source
)

// The kinds of NAT; see package core.
const (
	NATUnknown   = base.NATUnknown
	NATNone      = base.NATNone
	NATBehind    = base.NATBehind
	NATEven      = base.NATEven
	NATSymmetric = base.NATSymmetric
	NATOpen      = base.NATOpen
)

// How is the kind of path to a peer.
type How string

// The kinds of path to a peer.
const (
	HowLAN     How = "lan"     // a connection within the LAN or this host
	HowDialled How = "dialled" // a connection to or from an address that anybody can dial
	HowPunched How = "punched" // a connection through a NAT, by simultaneous open
	HowRelayed How = "relayed" // over other peers
	HowNone    How = "none"    // no path is known now
)

// Way says how one peer is reached, and what has been tried.
type Way struct {
	ID      certs.ID      `json:"id"`
	How     How           `json:"how"`
	Address string        `json:"address"`    // IP:PORT of the connection
	Since   time.Time     `json:"since"`      // of the connection, which may go over others
	RTT     time.Duration `json:"rtt_ms"`     // of the same; 0 where there is none
	Via     certs.ID      `json:"via"`        // relayed: the neighbour nearest to the peer
	Behind  bool          `json:"behind_nat"` // the peer is behind a NAT
	Tries   int           `json:"tries"`      // attempts to connect that have failed in a row
	Error   string        `json:"error"`      // of the last attempt
	Next    time.Time     `json:"next_try"`   // the earliest time of the next attempt, if one is wanted; zero: one is under way or none has failed
}

// Net reports how this peer and the others are reached; it is empty after the end.
func (n *Node) Net() Net {
	r, _ := ask(&n.mailbox, netQuestion{})
	return r
}

// netQuestion asks for Net.
type netQuestion struct{}

func (netQuestion) answer(l *loop) Net {
	from := l.core.Net()
	r := Net{NAT: from.NAT, Addresses: from.Addresses, PortMap: l.node.reach.portMap()}
	for _, w := range from.Peers {
		way := Way{ID: w.ID, How: howOf(w), Address: w.Address, Via: w.Via, Behind: w.Behind, Tries: w.Tries, Error: w.Why}
		if w.Carried != 0 {
			way.Via = l.carrier(w.ID)
		}
		if nl := l.links.all[max(w.Link, w.Carried)]; nl != nil {
			way.Since, way.RTT = l.start.Add(w.Since), nl.Stats().RTT
		}
		if w.Tries > 0 && !w.Now {
			way.Next = l.start.Add(w.Next)
		}
		r.Peers = append(r.Peers, way)
	}
	return r
}

// howOf is the kind of path to a peer.
func howOf(w core.Way) How {
	switch {
	case w.Link != 0 && w.Near:
		return HowLAN
	case w.Link != 0 && w.Punched:
		return HowPunched
	case w.Link != 0:
		return HowDialled
	case w.Via != "" || w.Carried != 0:
		return HowRelayed
	}
	return HowNone
}

// Peers returns the routing table in the order of the IDs, without this peer itself; empty
// after the end.
func (n *Node) Peers() []Peer {
	list, _ := ask(&n.mailbox, peersQuestion{})
	return list
}

// peersQuestion asks for Peers.
type peersQuestion struct{}

func (peersQuestion) answer(l *loop) []Peer {
	list := []Peer{}
	for _, p := range l.core.Peers() {
		row := Peer{ID: p.ID, Key: p.Key, State: StateAlive, Via: p.Via, Addresses: p.Addresses, Rooms: p.Rooms, Tags: decodeTags(p.Tags), Visitor: p.Visitor}
		if p.Suspect {
			row.State = StateSuspect
		}
		if nl := l.links.all[p.Link]; nl != nil {
			row.Direct, row.RTT = true, nl.Stats().RTT
		} else if nl := l.links.all[p.Carried]; nl != nil {
			row.RTT, row.Via = nl.Stats().RTT, l.carrier(p.ID)
		}
		list = append(list, row)
	}
	return list
}
