package overlay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/core"
	"quicpeer/overlay/core/base"
	"quicpeer/overlay/core/past"
	"quicpeer/overlay/messaging"
	"quicpeer/pb"
)

// rooms are the rooms that a node is in.
type rooms struct{ node *Node }

// Room is a room that this peer is in.
type Room struct {
	Name    certs.ID   `json:"room"`    // #name
	Members []certs.ID `json:"members"` // who is in it and here, this peer too, in order
	Since   time.Time  `json:"since"`   // this peer is in it
}

// ErrNotInRoom: this peer is not in the room.
var ErrNotInRoom = messaging.ErrNotInRoom

// ErrRoomsFull: a peer is in at most 32 rooms.
var ErrRoomsFull = messaging.ErrRoomsFull

// IsRoom reports whether a receiver is meant as a room: it begins with #.
func IsRoom(to certs.ID) bool { return strings.HasPrefix(string(to), "#") }

// CheckRoom reports why a name is not a valid name of a room: #, then 1 to 32 of the letters a to z,
// digits, '.', '_' and '-'.
func CheckRoom(name certs.ID) error { return pb.CheckRoom(string(name)) }

// JoinRoom enters a room, also for later runs, if there is a state directory. From now on its messages
// are shown; those of the last 7 days, at most 200, follow from the histories of others, each with
// Message.Before. It returns when that is on disk. In a room already it does nothing. Errors: that of
// a malformed name, ErrRoomsFull, ErrClosed.
func (rs rooms) JoinRoom(name certs.ID) error {
	if err := CheckRoom(name); err != nil {
		return err
	}
	if err := rs.node.messages.Rooms.Enter(name); err != nil {
		return err
	}
	return rs.changed(name)
}

// PartRoom leaves a room: its messages are passed on, and not shown. Errors: ErrNotInRoom, ErrClosed.
func (rs rooms) PartRoom(name certs.ID) error {
	err := rs.node.messages.Rooms.Exit(name)
	switch {
	case errors.Is(err, ErrNotInRoom):
		return notInRoom(name)
	case err != nil:
		return err
	}
	return rs.changed(name)
}

// Rooms lists the rooms that this peer is in, in the order of their names.
func (rs rooms) Rooms() []Room {
	peers := rs.node.Peers()
	list := []Room{}
	for _, name := range rs.node.messages.Rooms.Names() {
		r := Room{Name: name, Members: []certs.ID{rs.node.id}, Since: rs.node.messages.Rooms.EnteredAt(name)}
		for _, p := range peers {
			if slices.Contains(p.Rooms, string(name)) {
				r.Members = append(r.Members, p.ID)
			}
		}
		slices.Sort(r.Members)
		list = append(list, r)
	}
	return list
}

// SendRoom is Broadcast to a room that this peer is in: the peers that are not pass the message on,
// and do not show it. Another error is ErrNotInRoom.
func (rs rooms) SendRoom(ctx context.Context, room certs.ID, body, ref string) (MessageID, error) {
	return rs.send(ctx, room, Draft{Body: body, Ref: ref})
}

func (rs rooms) send(ctx context.Context, room certs.ID, d Draft) (MessageID, error) {
	if err := CheckRoom(room); err != nil {
		return MessageID{}, err
	}
	if rs.node.messages.Rooms.EnteredAt(room).IsZero() {
		return MessageID{}, notInRoom(room) // or one would not see the answers
	}
	return rs.broadcast(ctx, room, d)
}

// changed tells the loop that this peer has entered or left a room.
func (rs rooms) changed(name certs.ID) error {
	if _, ok := ask(&rs.node.mailbox, roomChanged{name, rs.entering(false, name)[0]}); !ok {
		return ErrClosed
	}
	return nil
}

// notInRoom says which room a peer is not in.
func notInRoom(room certs.ID) error { return fmt.Errorf("%w: /join %s first", ErrNotInRoom, room) }

// roomChanged: this peer is in a room, or is not any more.
type roomChanged struct {
	name     certs.ID
	entering base.Room
}

// answer goes by what is true by now: of two changes the later may come first.
func (r roomChanged) answer(l *loop) struct{} {
	if in := &l.node.messages.Rooms; in.EnteredAt(r.name).IsZero() {
		l.step(core.ExitRoom{Name: string(r.name)})
	} else {
		l.step(core.EnterRoom{Room: r.entering})
	}
	publishRooms(l)
	return struct{}{}
}

// publishRooms tells the others in which rooms this peer is.
func publishRooms(l *loop) { inRooms{l.node.names()}.answer(l) }

// names are the rooms that this peer is in, as its record names them.
func (rs rooms) names() (list []string) {
	for _, name := range rs.node.messages.Rooms.Names() {
		list = append(list, string(name))
	}
	return list
}

// entering are rooms, or Everyone, that this peer is in, for the core, with what the history has of
// them. If it can't be read the peer is in the rooms nevertheless, and does without their past.
func (rs rooms) entering(settled bool, names ...certs.ID) (list []base.Room) {
	latest, err := rs.node.messages.Rooms.Latest(names)
	if err != nil {
		settled = true
		rs.node.log.Warn("what was said in rooms before is not asked for: the history can't be read", "rooms", names, "error", err)
	}
	for _, name := range names {
		list = append(list, base.Room{Name: string(name), Settled: settled, Shown: latest[name].Tags, Until: latest[name].Until})
	}
	return list
}

// remembers says that this peer keeps a history, which it gives to those who come.
func (rs rooms) remembers() bool { return rs.node.cfg.State.Dir != "" && !rs.node.cfg.History.Off }

// bygone are the rooms that this peer is in from the start, and Everyone. What earlier runs have shown
// is not known without a history, and would be shown again: then none is asked for its past. Nor is
// it by a visitor, which is gone in a moment.
func (rs rooms) bygone() []base.Room {
	visitor := rs.node.cfg.Visitor && rs.node.cfg.State.Dir == ""
	forgets := rs.node.cfg.State.Dir != "" && rs.node.cfg.History.Off
	names := rs.node.messages.Rooms.Names()
	if !visitor && !forgets {
		names = append([]certs.ID{Everyone}, names...)
	}
	return rs.entering(forgets, names...)
}

// recall has what the history has of a room read for a peer that has asked.
func recall(l *loop, r base.Recall) {
	l.recalls <- recalling{r, l.node.members.passesOfMet()} // there is room: the core bounds them
}

// recalling is a question that waits for the history to be read.
type recalling struct {
	base.Recall
	passes []*pb.Pass
}

// recallAll reads for one after the other, so that many questions cost the peer little else than a
// wait for those who ask.
func recallAll(n *Node, queue <-chan recalling) {
	warned := false
	for {
		select {
		case r := <-queue:
			history, err := n.messages.Rooms.Recent(certs.ID(r.Room), 2*pb.MaxPast, time.Now().Add(-past.KeepFor))
			if err != nil && !warned {
				warned = true // it will not get better
				n.log.Warn("the history can't be given to others", "error", err)
			}
			n.post(coreInput{core.Recalled{For: r.Recall, History: history, Passes: r.passes}})
		case <-n.ctx.Done():
			return
		}
	}
}
