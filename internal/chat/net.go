package chat

import (
	"cmp"
	"fmt"
	"strings"
	"text/tabwriter"

	"quicpeer/certs"
	"quicpeer/overlay"
)

// natMeans says in words what kind of NAT there is.
var natMeans = map[overlay.NAT]string{
	overlay.NATUnknown:   "not known yet: no peer has said where it sees this one",
	overlay.NATNone:      "none: others see this peer at an address of its own",
	overlay.NATBehind:    "behind one; of which kind takes a second peer outside",
	overlay.NATEven:      "behind one that shows this peer at the same port to everybody: holes can be punched",
	overlay.NATSymmetric: "behind a symmetric one, which shows this peer at another port to each: others of that kind, and strict ones, are reached over other peers; --map-port may help",
	overlay.NATOpen:      "behind one, with a port that leads in",
}

// net is the text's way to say it.
func (t *Speaker) net(n overlay.Net) error {
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
	fmt.Fprintln(w, "PEER\tHOW\tSINCE\tAT\tFAILED TRIES")
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
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", p.ID, how, since, cmp.Or(at, "-"), failed)
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
