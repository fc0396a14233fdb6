package doctor

import (
	"fmt"
	"strings"

	"quicpeer/overlay"
)

// maxShown is how many peers that are not direct have a finding of their own; the rest is counted.
const maxShown = 20

func judgeNAT(f Facts) []Finding {
	if f.Peer == nil {
		if hasInternet(f.Interfaces) {
			return one("nat", Fine, "this machine has an IPv4 address of the internet: no NAT, as far as it sees", "", "")
		}
		return one("nat", Note, "which kind of NAT is in front of this machine can't be seen: that takes a running peer, which others tell where they see it", "",
			"start the peer, and run this again beside it")
	}
	const open = "start with --map-port, or forward the UDP port on the router to this machine: then everybody can dial this peer"
	switch f.Peer.Net.NAT {
	case overlay.NATNone:
		return one("nat", Fine, "no NAT: others see this peer at an address of its own", "", "")
	case overlay.NATOpen:
		return one("nat", Fine, "behind a NAT, with a port that leads in", "", "")
	case overlay.NATEven:
		return one("nat", Fine, "behind a NAT that shows this peer at the same port to everybody: holes can be punched", "", "")
	case overlay.NATSymmetric:
		return one("nat", Problem, "behind a symmetric NAT, which shows this peer at another port to each", "holes to peers behind NATs of that kind, and behind strict ones, can't be punched: messages go over others", open)
	case overlay.NATBehind:
		return one("nat", Note, "behind a NAT; of which kind takes a second peer outside", "", "when another peer outside this LAN has joined, run this again")
	}
	return one("nat", Note, "no peer has said yet where it sees this one", "this peer is alone, or all others are on its LAN", "join a peer outside this LAN, and run this again")
}

// judgePeers says of each peer that is not direct why, and what to do.
func judgePeers(f Facts) (all []Finding) {
	if f.Peer == nil {
		return nil
	}
	n := f.Peer.Net
	direct, quiet, more := 0, 0, 0
	for _, w := range n.Peers {
		switch {
		case w.How != overlay.HowRelayed && w.How != overlay.HowNone:
			direct++
		case w.How == overlay.HowRelayed && w.Tries == 0:
			quiet++
		case len(all) == maxShown:
			more++
		default:
			all = append(all, notDirect(n, w))
		}
	}
	if more > 0 {
		all = append(all, Finding{"peers", Problem, fmt.Sprintf("%d more peers are not direct", more), "", "/net in the peer's terminal lists all"})
	}
	if quiet > 0 {
		all = append(all, Finding{"peers", Note, fmt.Sprintf("%s reached over others, and no attempt at a connection has failed yet", are(quiet)), "the attempts are under way, or nobody has written to them", "run this again in a minute"})
	}
	if len(n.Peers) == 0 {
		return one("peers", Note, "this peer is alone: it knows no other", "it was started without --join, or the others are gone", "join one: /join HOST:PORT at its prompt, or start with --join HOST:PORT")
	}
	if direct > 0 {
		all = append(all, Finding{"peers", Fine, are(direct) + " connected directly", "", ""})
	}
	return all
}

// notDirect is the finding of a peer that is reached over others, or not at all.
func notDirect(n overlay.Net, w overlay.Way) Finding {
	f := Finding{Check: "peers", Level: Problem}
	switch {
	case w.How == overlay.HowNone:
		f.What = fmt.Sprintf("%s can't be reached: no path to it is known now", w.ID)
	case w.Via == "":
		f.What = fmt.Sprintf("%s is not direct: messages go over others", w.ID)
	default:
		f.What = fmt.Sprintf("%s is not direct: messages go over %s", w.ID, w.Via)
	}
	hidden := n.NAT == overlay.NATBehind || n.NAT == overlay.NATEven || n.NAT == overlay.NATSymmetric
	there := fmt.Sprintf("on %s's side", w.ID)
	switch {
	case w.Tries == 0:
		f.Why, f.Next = "no attempt at a connection has failed yet", "run this again in a minute"
	case !w.Behind:
		f.Why = "it doesn't answer at the addresses that it names: a firewall there drops UDP, or its address is of another network"
		f.Next = "run quicpeer doctor " + there + ", and let its UDP port in there"
	case n.NAT == overlay.NATSymmetric:
		f.Why = "both are behind NATs, and this one shows this peer at another port to each, so no hole can be punched"
		f.Next = "start this peer with --map-port, or forward its UDP port on the router; or do either " + there
	case hidden:
		f.Why = "both are behind NATs, and that one seems to be symmetric or strict: no hole could be punched"
		f.Next = "start one of the two with --map-port, or forward its UDP port on its router"
	default:
		f.Why = "it is behind a NAT, and the attempts to meet it have failed"
		f.Next = "is this machine's UDP port let in by its firewall? Else use --map-port, or forward its port, " + there
	}
	if w.Tries > 0 {
		f.Why += fmt.Sprintf("; tried %s", times(w.Tries))
		if w.Error != "" {
			f.Why += ", the last time: " + strings.TrimSuffix(w.Error, ".")
		}
	}
	return f
}

func are(n int) string {
	if n == 1 {
		return "1 peer is"
	}
	return fmt.Sprintf("%d peers are", n)
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}
