package chat

import (
	"fmt"
	"strings"

	"quicpeer/certs"
	"quicpeer/internal/lines"
	"quicpeer/overlay"
)

// acts are the commands of an admin: the verb, and the word that may follow the ID.
var acts = map[string]struct {
	verb verb
	also string
}{
	"/invite":   {invite, "admin"},
	"/uninvite": {uninvite, ""},
	"/remove":   {remove, "all"},
}

// parseAct parses /invite ID [admin], /uninvite ID and /remove ID [all].
func parseAct(command, rest string) (typed, error) {
	a := acts[command]
	words := strings.Fields(strings.TrimFunc(rest, isBlank))
	if n := len(words); n != 1 && !(n == 2 && a.also != "" && words[1] == a.also) {
		form := command + " ID"
		if a.also != "" {
			form += " [" + a.also + "]"
		}
		return typed{}, lines.Bad("it is typed as " + form)
	}
	id, err := certs.ParseID(strings.TrimPrefix(words[0], "@"))
	if err != nil {
		return typed{}, lines.Bad(OneLine(lines.Excerpt(words[0])) + " is not a valid ID: " + OneLine(err.Error()))
	}
	return typed{verb: a.verb, to: id, text: strings.Join(words[1:], "")}, nil
}

// act is the act that was typed.
func (c typed) act() lines.Act {
	switch c.verb {
	case invite:
		return lines.Act{Verb: lines.Invite, ID: c.to, Admin: c.text != ""}
	case uninvite:
		return lines.Act{Verb: lines.Uninvite, ID: c.to}
	}
	return lines.Act{Verb: lines.Remove, ID: c.to, All: c.text != ""}
}

// Acted shows the ticket of an invitation. A removal shows itself, by its event.
func (t *Frontend) Acted(m lines.Message, invitation overlay.Invitation) error {
	switch m.Act.Verb {
	case lines.Invite:
		t.invited = invitation
		as := ""
		if invitation.Admin {
			as = " as an admin,"
		}
		title := fmt.Sprintf("for %s,%s once, until %s, while you are here:", t.name(invitation.ID), as, t.until(invitation.Expires))
		text := invitation.Ticket
		if invitation.LANOnly {
			text += "\nnobody of this network can be dialled from outside: this ticket works on this LAN only (see --map-port)"
		}
		return t.block(title, text)
	case lines.Uninvite:
		if t.invited.ID == m.Act.ID {
			t.invited = overlay.Invitation{}
		}
		return t.say("*", "no ticket for "+t.name(m.Act.ID)+" is good any more")
	}
	return nil
}

// ready shows who this peer is, how others come to it, and, once, what has to be kept of the network that it begins.
func (t *Frontend) ready(e overlay.Ready) error {
	t.self = e.ID
	where := ""
	if isPrivate(e.Network) {
		where = "in the private network " + OneLine(e.Network) + ", "
	}
	err := t.say("*", fmt.Sprintf("you are %s, %v, %slistening on %s", t.name(e.ID), e.Key, where, OneLine(strings.Join(e.Listen, ", "))))
	if err == nil && t.KeyFile != "" {
		err = t.say("*", "keep a copy of "+OneLine(t.KeyFile)+" in a safe place: without it nobody can name admins")
	}
	if err != nil || !t.look.Terminal {
		return err
	}
	if where != "" {
		return t.say("*", "an admin's /invite ID makes a ticket for another to join; /help lists what you can type")
	}
	if len(e.Listen) == 0 {
		return t.say("*", "/help lists what you can type")
	}
	return t.block("others join as below; /help lists what you can type", "quicpeer -join "+OneLine(e.Listen[0]))
}

// isPrivate says whether a network's name ends with the hash of a key.
func isPrivate(network string) bool {
	i := strings.LastIndexByte(network, '#')
	return i >= 0 && len(network)-i == len("#")+26
}

// removed shows that a peer is out for good, and who has put it out, if that wasn't the user.
func (t *Frontend) removed(e overlay.Removed) error {
	by := ""
	if e.By != t.self && e.By != "" {
		by = ", by " + t.name(e.By)
	}
	return t.say("*", t.name(e.ID)+" was removed from the network for good"+by)
}

// redeemed shows every use of a ticket of ours: it may have been stolen.
func (t *Frontend) redeemed(e overlay.Redeemed) error {
	if e.Why != "" {
		return t.say("!", fmt.Sprintf("a use of your ticket for %s was refused (%v): %s", t.name(e.ID), e.Key, OneLine(e.Why)))
	}
	return t.say("*", fmt.Sprintf("%s was let in (%v, by your ticket)", t.name(e.ID), e.Key))
}
