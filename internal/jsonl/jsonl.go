// Package jsonl speaks with programs: a JSON object a line, in and out.
package jsonl

import (
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
}

// New makes a front that writes to out. The version of the program is for the event
// ready.
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
	case overlay.PeerLeft:
		return write(j, "peer_left", e)
	case overlay.Message:
		return write(j, "message", e)
	case overlay.Sent:
		return write(j, "sent", e)
	case overlay.Delivered:
		return write(j, "delivered", e)
	case overlay.Buffered:
		return write(j, "buffered", e)
	case overlay.Failed:
		return write(j, "failed", e)
	}
	return nil // an event that JSON doesn't know
}

// Execute does what a line says, but for sending.
func (j *Frontend) Execute(n lines.Node, line []byte) (m lines.Message, leave bool, err error) {
	c, problem := parseCommand(line)
	if problem == nil && c.Cmd == "send" {
		_, problem = certs.ParseID(string(c.To))
	}
	if problem != nil {
		return lines.Message{Ref: c.Ref}, false, lines.Bad(problem.Error())
	}
	switch c.Cmd {
	case "send":
		return lines.Message{To: c.To, Body: c.Body, Ref: c.Ref}, false, nil
	case "broadcast":
		return lines.Message{To: overlay.Everyone, Body: c.Body, Ref: c.Ref}, false, nil
	case "join":
		return lines.Message{Join: c.Address, Ref: c.Ref}, false, nil
	case "table":
		return lines.Message{}, false, write(j, "table", table{n.Peers(), c.Ref})
	case "buffer":
		return lines.Message{}, false, write(j, "buffer", buffer{n.Waiting(), c.Ref})
	case "net":
		return lines.Message{}, false, write(j, "net", net{n.Net(), c.Ref})
	case "cancel":
		if err := n.Cancel(c.Message); err != nil {
			return lines.Message{Ref: c.Ref}, false, lines.Bad(lines.Problem(err, false))
		}
		return lines.Message{}, false, nil
	}
	j.leaveRef.Store(&c.Ref)
	return lines.Message{}, true, nil
}

// Refuse says why a line, or the message that it was, is not accepted.
func (j *Frontend) Refuse(m lines.Message, problem error) error {
	if errors.Is(problem, lines.ErrLong) {
		m.Ref = findRef(m.Line)
	}
	return write(j, "error", refused{lines.Problem(problem, m.To == overlay.Everyone), lines.Beginning(m.Line), m.Ref})
}

// Joined says who has let this peer in.
func (j *Frontend) Joined(m lines.Message, id certs.ID) error {
	return write(j, "joined", joined{m.Join, id, m.Ref})
}

// Left is the last line.
func (j *Frontend) Left(undelivered int) error {
	e := left{Undelivered: undelivered}
	if ref := j.leaveRef.Load(); ref != nil {
		e.Ref = *ref
	}
	_, err := j.out.Last(encode("left", j.now(), e))
	return err
}

// write writes an event that has these fields, a struct.
func write[T any](j *Frontend, event string, fields T) error {
	_, err := j.out.Write(encode(event, j.now(), fields))
	return err
}
