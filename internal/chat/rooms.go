package chat

import (
	"cmp"
	"fmt"
	"strings"
	"text/tabwriter"

	"quicpeer/certs"
	"quicpeer/internal/lines"
	"quicpeer/overlay"
)

// roomVerbs are those of commands about rooms; some may stand without a name.
var roomVerbs = map[string]verb{"/room": frontRoom, "/part": partRoom}

// parseRoom parses the name of a room behind a command. /join needs one.
func parseRoom(v verb, command, name string) (typed, error) {
	if name == "" && v != joinRoom {
		return typed{verb: v}, nil
	}
	if !strings.HasPrefix(name, "#") {
		return typed{}, lines.Bad("a room is named as in " + command + " #name")
	}
	if err := overlay.CheckRoom(certs.ID(name)); err != nil {
		return typed{}, lines.Bad(OneLine(lines.Excerpt(name)) + " is not a valid room: " + OneLine(err.Error()))
	}
	return typed{verb: v, to: certs.ID(name)}, nil
}

// aboutRoom executes the commands about rooms.
func (t *Frontend) aboutRoom(n lines.Node, c typed) error {
	switch c.verb {
	case joinRoom:
		if err := n.JoinRoom(c.to); err != nil {
			return lines.Bad(lines.Problem(err, false))
		}
		t.putInFront(c.to)
		return t.say("*", fmt.Sprintf("you are in %s, and what you type goes there; /room alone: to everyone", c.to))
	case partRoom:
		return t.part(n, c.to)
	case frontRoom:
		return t.turnTo(n, c.to)
	}
	return t.listRooms(n.Rooms())
}

// part executes /part; without a name it is about the room in front.
func (t *Frontend) part(n lines.Node, room certs.ID) error {
	if room == "" {
		room = t.front
	}
	if room == "" {
		return lines.Bad("no room is in front: it is /part #name; /rooms lists them")
	}
	if !overlay.IsRoom(room) {
		t.putInFront("")
		return t.say("*", "what you type goes to everyone")
	}
	if err := n.PartRoom(room); err != nil {
		return lines.Bad(lines.Problem(err, false))
	}
	if t.Parted != nil {
		t.Parted(room)
	}
	if t.front == room {
		t.putInFront("")
		return t.say("*", fmt.Sprintf("you have left %s; what you type goes to everyone", room))
	}
	return t.say("*", fmt.Sprintf("you have left %s", room))
}

// turnTo executes /room.
func (t *Frontend) turnTo(n lines.Node, room certs.ID) error {
	if room == "" {
		t.putInFront("")
		return t.say("*", "what you type goes to everyone")
	}
	if !overlay.IsRoom(room) {
		t.putInFront(room)
		return t.say("*", fmt.Sprintf("what you type goes to %s alone; /room alone: to everyone", t.name(room)))
	}
	for _, r := range n.Rooms() {
		if r.Name == room {
			t.putInFront(room)
			return t.say("*", fmt.Sprintf("what you type goes to %s; /room alone: to everyone", room))
		}
	}
	return lines.Bad(fmt.Sprintf("you are not in %s: /join %s first", room, room))
}

// putInFront has what is typed go to a room, to one peer, or to everyone.
func (t *Frontend) putInFront(with certs.ID) {
	t.front = with
	if t.Turned != nil {
		t.Turned(cmp.Or(with, overlay.Everyone))
	}
}

// Front is putInFront for a screen, which shows that already. It is called where lines are executed.
func (t *Frontend) Front(with certs.ID) {
	t.front = with
	if with == overlay.Everyone {
		t.front = ""
	}
}

// listRooms answers /rooms.
func (t *Frontend) listRooms(list []overlay.Room) error {
	if len(list) == 0 {
		return t.say("*", "you are in no room; /join #name enters one")
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, r := range list {
		mark := ""
		if r.Name == t.front {
			mark = " (in front)"
		}
		fmt.Fprintf(w, "%s%s\tsince %s\t%s\n", r.Name, mark, t.since(r.Since), join(r.Members))
	}
	w.Flush()
	return t.block(count(len(list), "room")+":", strings.TrimSuffix(b.String(), "\n"))
}
