package chat

import (
	"fmt"
	"strings"
	"text/tabwriter"

	"quicpeer/certs"
	"quicpeer/internal/lines"
	"quicpeer/overlay"
)

// aboutPeer executes the commands about what is known of a peer.
func (t *Frontend) aboutPeer(n lines.Node, c typed) error {
	switch c.verb {
	case trust:
		if err := n.Trust(c.to); err != nil {
			return lines.Bad(err.Error())
		}
		return t.say("*", fmt.Sprintf("%s is trusted under the new key; what waits goes there", t.name(c.to)))
	case forget:
		if err := n.Forget(c.to); err != nil {
			return lines.Bad(err.Error())
		}
		return t.say("*", fmt.Sprintf("%s is not pinned any more", t.name(c.to)))
	}
	w, err := n.Whois(c.to)
	switch {
	case err != nil:
		return lines.Bad(err.Error())
	case c.verb == showWhois:
		return t.whois(w)
	case c.text == "":
		return t.safetyNumber(w)
	}
	return t.verified(n, w)
}

// whois answers /whois.
func (t *Frontend) whois(p overlay.Whois) error {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "key\t%v\n", p.Key)
	if (p.Pin != certs.PublicKey{}) {
		fmt.Fprintf(w, "key before\t%v: what you write waits for it; /trust %s goes on with the other\n", p.Pin, p.ID)
	}
	pinned := "no"
	if !p.Pinned.IsZero() {
		pinned = "since " + t.since(p.Pinned)
	}
	if p.Verified {
		pinned += ", verified"
	}
	fmt.Fprintf(w, "pinned\t%s\n", pinned)
	here := "no"
	if !p.Here.IsZero() {
		here = "since " + t.since(p.Here)
	}
	fmt.Fprintf(w, "here\t%s\n", here)
	if p.How != overlay.HowNone {
		how := string(p.How)
		if p.How == overlay.HowRelayed {
			how = "relayed via " + string(p.Via)
		}
		if p.Address != "" {
			how += ", at " + OneLine(p.Address)
		}
		if p.RTT != 0 {
			how += ", round trip " + roundTrip(p.RTT)
		}
		fmt.Fprintf(w, "reached\t%s\n", how)
	}
	w.Flush()
	return t.block(t.name(p.ID)+":", strings.TrimSuffix(b.String(), "\n"))
}

// safetyNumber answers /verify ID.
func (t *Frontend) safetyNumber(p overlay.Whois) error {
	t.compared = p
	groups := strings.Fields(p.SafetyNumber)
	half := len(groups) / 2
	what := "if " + string(p.ID) + " sees the same by /verify, nobody stands between you; then type /verify " + string(p.ID) + " ok"
	switch {
	case p.Pin != certs.PublicKey{}:
		what = "this is for the new key: if " + string(p.ID) + " sees the same, /trust " + string(p.ID) + " goes on with it"
	case p.Verified:
		what = "you have verified it"
	}
	return t.block("the safety number of you and "+t.name(p.ID)+":", strings.Join(groups[:half], " ")+"\n"+strings.Join(groups[half:], " ")+"\n"+what)
}

// verified executes /verify ID ok: it is about the key whose number was shown last, if that was
// one of this peer.
func (t *Frontend) verified(n lines.Node, p overlay.Whois) error {
	if t.compared.ID == p.ID {
		p.Key = t.compared.Key
	}
	if err := n.Verify(p.ID, p.Key); err != nil {
		return lines.Bad(err.Error())
	}
	return t.say("*", t.name(p.ID)+" is verified")
}
