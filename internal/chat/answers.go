package chat

import (
	"cmp"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay"
)

// peers answers /peers: who is here.
func (t *Frontend) peers(peers []overlay.Peer) error {
	if len(peers) == 0 {
		return t.say("*", "nobody else is here")
	}
	names := make([]string, len(peers))
	for i, p := range peers {
		names[i] = t.name(p.ID) + awayText(p.Tags)
	}
	return t.say("*", count(len(peers), "peer")+" here: "+strings.Join(names, ", "))
}

// table answers /table. The column HOW says whether a peer is reached directly, or
// through which neighbour.
func (t *Frontend) table(peers []overlay.Peer) error {
	if len(peers) == 0 {
		return t.say("*", "the routing table is empty: nobody else is here")
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tSTATE\tHOW\tRTT\tADDRESSES\tKEY")
	for _, p := range peers {
		how := "-"
		if p.Direct {
			how = "direct"
		} else if p.Via != "" {
			how = "via " + string(p.Via)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%v\n", p.ID, p.State, how, roundTrip(p.RTT), OneLine(strings.Join(p.Addresses, " ")), p.Key)
	}
	w.Flush()
	return t.block(count(len(peers), "peer")+" in the routing table:", strings.TrimSuffix(b.String(), "\n"))
}

// roundTrip is a round trip time for people.
func roundTrip(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f ms", float64(d.Round(time.Microsecond))/float64(time.Millisecond))
}

// buffer answers /buffer: for whom messages wait.
func (t *Frontend) buffer(waiting []overlay.Waiting) error {
	if len(waiting) == 0 {
		return t.say("*", "no messages are waiting")
	}
	items := make([]string, len(waiting))
	for i, w := range waiting {
		items[i] = fmt.Sprintf("%d for %s (since %s)", w.Count, t.name(w.To), t.since(w.Since))
	}
	return t.say("*", "waiting: "+strings.Join(items, ", "))
}

// natMeans explains each kind of NAT.
var natMeans = map[overlay.NAT]string{
	overlay.NATUnknown:   "not known yet: no peer has said where it sees this one",
	overlay.NATNone:      "none: others see this peer at an address of its own",
	overlay.NATBehind:    "behind one; of which kind takes a second peer outside",
	overlay.NATEven:      "behind one that shows this peer at the same port to everybody: holes can be punched",
	overlay.NATSymmetric: "behind a symmetric one, which shows this peer at another port to each: others of that kind, and strict ones, are reached over other peers; --map-port may help",
	overlay.NATOpen:      "behind one, with a port that leads in",
}

// net answers /net: how this peer can be reached, how it reaches others, and why not
// more directly.
func (t *Frontend) net(n overlay.Net) error {
	var b strings.Builder
	fmt.Fprintf(&b, "NAT: %s\n", natMeans[n.NAT])
	if n.PortMap != "" {
		fmt.Fprintf(&b, "port mapping: %s\n", OneLine(n.PortMap))
	}
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "OWN ADDRESS\tFROM")
	for _, a := range n.Addresses {
		from := string(a.Source)
		if len(a.By) > 0 {
			from += " by " + join(a.By)
		}
		fmt.Fprintf(w, "%s\t%s\n", a.Address, from)
	}
	w.Flush()
	w = tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "PEER\tHOW\tSINCE\tRTT\tAT\tFAILED TRIES")
	for _, p := range n.Peers {
		how, since, at, failed := string(p.How), "-", p.Address, "-"
		if p.How == overlay.HowRelayed {
			how, at = "relayed via "+string(p.Via), "-"
		}
		if p.Behind && p.Address == "" {
			how += " (it is behind a NAT)"
		}
		if !p.Since.IsZero() {
			since = t.since(p.Since)
		}
		if p.Tries > 0 {
			failed = fmt.Sprintf("%d: %s", p.Tries, OneLine(p.Error))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", p.ID, how, since, roundTrip(p.RTT), cmp.Or(at, "-"), failed)
	}
	w.Flush()
	return t.block("how this peer is reached, and reaches others:", strings.TrimSuffix(b.String(), "\n"))
}

func join(ids []certs.ID) string {
	var list []string
	for _, id := range ids {
		list = append(list, string(id))
	}
	return strings.Join(list, ", ")
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
