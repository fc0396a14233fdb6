// Package jsonl is the front end for programs: one JSON object per line, in and out.
package jsonl

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"
	"time"

	"quicpeer/certs"
	"quicpeer/internal/lines"
	"quicpeer/overlay"
)

// Frontend is the [lines.Frontend] for programs.
type Frontend struct {
	out      *lines.Output
	version  string // of the program
	now      func() time.Time
	leaveRef atomic.Pointer[string] // of the command leave

	Spools bool // a file_send may say that its file is temporary
}

// New returns a front end that writes to out. The event ready names the version.
func New(out *lines.Output, version string) *Frontend {
	return &Frontend{out: out, version: version, now: time.Now}
}

// Show writes an event.
func (j *Frontend) Show(event overlay.Event) error {
	switch e := event.(type) {
	case overlay.Ready:
		return write(j, "ready", ready{e, j.version})
	case overlay.PeerJoined:
		return write(j, "peer_joined", e)
	case overlay.PeerChanged:
		return write(j, "peer_changed", e)
	case overlay.PeerLeft:
		return write(j, "peer_left", e)
	case overlay.Returned:
		return write(j, "returned", e)
	case overlay.KeyChanged:
		return write(j, "key_changed", e)
	case overlay.Message:
		data := dataOf(e.Binary, &e.Body)
		return write(j, "message", message{e, data})
	case overlay.Sent:
		return write(j, "sent", e)
	case overlay.Delivered:
		return write(j, "delivered", e)
	case overlay.Buffered:
		return write(j, "buffered", e)
	case overlay.Failed:
		return write(j, "failed", e)
	case overlay.Removed:
		return write(j, "removed", e)
	case overlay.Redeemed:
		return write(j, "redeemed", e)
	}
	return j.showFiles(event)
}

// Execute carries out a line, except for sending, joining, the acts of an admin and offering files.
func (j *Frontend) Execute(ctx context.Context, n lines.Node, line []byte) (m lines.Message, leave bool, err error) {
	c, problem := parseCommand(line)
	if problem == nil {
		problem = c.checkNames()
	}
	if problem == nil {
		problem = lines.CheckJoin(c.Address)
	}
	if problem != nil {
		return lines.Message{Ref: c.Ref}, false, lines.Bad(problem.Error())
	}
	switch c.Cmd {
	case "send":
		return lines.Message{To: c.To, Body: c.Body, Binary: c.Binary, ReplyTo: c.ReplyTo, WantsReply: c.Wants, Kind: c.Kind, About: c.About, Ref: c.Ref}, false, nil
	case "broadcast":
		return lines.Message{To: overlay.Everyone, Body: c.Body, ReplyTo: c.ReplyTo, Kind: c.Kind, About: c.About, Ref: c.Ref}, false, nil
	case "join", "part", "rooms":
		if c.Address == "" {
			err := j.rooms(n, c)
			return lines.Message{Ref: c.Ref}, false, err
		}
		return lines.Message{Join: c.Address, Ref: c.Ref}, false, nil
	case "table":
		return lines.Message{}, false, write(j, "table", table{n.Peers(), c.Ref})
	case "buffer":
		return lines.Message{}, false, write(j, "buffer", buffer{n.Waiting(), c.Ref})
	case "net":
		return lines.Message{}, false, write(j, "net", net{n.Net(), c.Ref})
	case "status":
		return lines.Message{}, false, write(j, "status", status{n.Status(), c.Ref})
	case "outgoing", "history":
		err := j.messages(ctx, n, c)
		return lines.Message{Ref: c.Ref}, false, err
	case "invite", "uninvite", "remove":
		return lines.Message{Act: lines.Act{Verb: lines.Verb(c.Cmd), ID: c.To, Admin: c.Admin, All: c.All}, Ref: c.Ref}, false, nil
	case "ping":
		return lines.Message{Ping: c.To, Ref: c.Ref}, false, nil
	case "cancel":
		if err := n.Cancel(c.Message); err != nil {
			return lines.Message{Ref: c.Ref}, false, lines.Deny(err)
		}
		return lines.Message{}, false, nil
	case "tags":
		if c.Tags.given {
			if err := n.SetTags(c.Tags.of); err != nil {
				return lines.Message{Ref: c.Ref}, false, lines.Deny(err)
			}
		}
		return lines.Message{}, false, write(j, "tags", ownTags{n.Tags(), c.Ref})
	case "ignore", "unignore", "ignored":
		return j.ignore(n, c)
	case "whois", "trust", "forget":
		err := j.aboutPeer(n, c)
		return lines.Message{Ref: c.Ref}, false, err
	case "file_send", "file_accept", "file_cancel", "files":
		m, err = j.files(n, c)
		return m, false, err
	}
	j.leaveRef.Store(&c.Ref)
	return lines.Message{}, true, nil
}

// messages answers with those that wait, or with the last ones of the history.
func (j *Frontend) messages(ctx context.Context, n lines.Node, c command) error {
	if c.Cmd == "history" {
		list, err := n.Past(ctx, c.Query)
		if err != nil {
			return lines.Deny(err)
		}
		return j.history(list, c.Ref)
	}
	list := []outgoingMessage{}
	for _, m := range n.Outgoing() {
		data := dataOf(m.Binary, &m.Body)
		list = append(list, outgoingMessage{m.Message, m.To, m.Ref, m.Body, m.Binary, data, m.Kind, m.SentAt})
	}
	return write(j, "outgoing", outgoing{list, c.Ref})
}

// ignore changes who is ignored, if that is asked for, and answers with all who are.
func (j *Frontend) ignore(n lines.Node, c command) (m lines.Message, leave bool, err error) {
	switch c.Cmd {
	case "ignore":
		err = n.Ignore(c.To)
	case "unignore":
		err = n.Unignore(c.To)
	}
	if err != nil {
		return lines.Message{Ref: c.Ref}, false, lines.Deny(err)
	}
	return lines.Message{}, false, write(j, "ignored", ignored{n.Ignored(), c.Ref})
}

// rooms enters or leaves a room, if that is asked for, and answers with all that this peer is in.
func (j *Frontend) rooms(n lines.Node, c command) (err error) {
	switch c.Cmd {
	case "join":
		err = n.JoinRoom(c.Room)
	case "part":
		err = n.PartRoom(c.Room)
	}
	if err != nil {
		return lines.Bad(lines.Problem(err, false))
	}
	return write(j, "rooms", rooms{n.Rooms(), c.Ref})
}

// aboutPeer carries out a command about what is known of a peer.
func (j *Frontend) aboutPeer(n lines.Node, c command) error {
	switch c.Cmd {
	case "trust":
		if err := n.Trust(c.To); err != nil {
			return lines.Deny(err)
		}
		return write(j, "trusted", done{c.To, c.Ref})
	case "forget":
		if err := n.Forget(c.To); err != nil {
			return lines.Deny(err)
		}
		return write(j, "forgotten", done{c.To, c.Ref})
	}
	w, err := n.Whois(c.To)
	if err != nil {
		return lines.Deny(err)
	}
	return write(j, "whois", whois{w, c.Ref})
}

// Refuse says why a line or its message was not accepted.
func (j *Frontend) Refuse(m lines.Message, problem error) error {
	if errors.Is(problem, lines.ErrLong) {
		m.Ref = findRef(m.Line)
	}
	return j.refuse(refused{lines.Problem(problem, m.IsWide()), lines.Code(problem), lines.Beginning(m.Line), m.Ref})
}

// Joined reports which peer has answered.
func (j *Frontend) Joined(m lines.Message, id certs.ID) error {
	return write(j, "joined", joined{m.Join, id, m.Ref})
}

// Pinged reports a round trip.
func (j *Frontend) Pinged(m lines.Message, p overlay.Ping) error {
	path := overlay.PathDirect
	if p.How != overlay.PingDirect {
		path = overlay.PathRelayed
	}
	return write(j, "pong", pong{p.ID, p.RTT, path, p.How, p.Via, p.Address, m.Ref})
}

// Acted reports what an act has led to; a removal is an event.
func (j *Frontend) Acted(m lines.Message, i overlay.Invitation) error {
	switch m.Act.Verb {
	case lines.Invite:
		return write(j, "invitation", invitation{i.ID, i.Ticket, i.Expires, i.Admin, i.LANOnly, m.Ref})
	case lines.Uninvite:
		return write(j, "uninvited", uninvited{m.Act.ID, m.Ref})
	}
	return nil
}

// Left writes the last line.
func (j *Frontend) Left(undelivered int) error {
	e := left{Undelivered: undelivered}
	if ref := j.leaveRef.Load(); ref != nil {
		e.Ref = *ref
	}
	_, err := j.out.Last(encode("left", j.now(), e))
	return err
}

// write writes an event with the fields of a struct.
func write[T any](j *Frontend, event string, fields T) error {
	_, err := j.out.Write(encode(event, j.now(), fields))
	return err
}

func (j *Frontend) refuse(why refused) error {
	return write(j, "error", refused{why.Error, why.Code, why.Input, why.Ref})
}

// History writes messages of the history.
func (j *Frontend) History(list []overlay.Said) error { return j.history(list, "") }

func (j *Frontend) history(list []overlay.Said, ref string) error {
	messages := make([]said, 0, len(list))
	for _, m := range list {
		data := dataOf(m.Binary, &m.Body)
		messages = append(messages, said{m, data})
	}
	return write(j, "history", history{messages, ref})
}

// Leaves reports whether a command said to leave.
func (j *Frontend) Leaves() bool { return j.leaveRef.Load() != nil }

// Report writes an error that no line has led to.
func (j *Frontend) Report(problem error, code string) error {
	return j.refuse(refused{problem.Error(), code, "", ""})
}

// Line returns the line of an event that came at some time; nil if it has none. Ready names the version.
func Line(event overlay.Event, at time.Time, version string) []byte {
	var b bytes.Buffer
	j := &Frontend{out: lines.NewOutput(&b), version: version, now: func() time.Time { return at }}
	if j.Show(event) != nil {
		return nil // a buffer takes everything
	}
	return b.Bytes()
}
