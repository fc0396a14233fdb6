// Package jsonl speaks with programs: a JSON object a line, in and out.
package jsonl

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"quicpeer/certs"
	"quicpeer/internal/lines"
	"quicpeer/internal/nearest"
	"quicpeer/overlay"
)

// command is a line of JSON that is in order.
type command struct {
	Cmd     string
	To      certs.ID
	Body    string
	Address string
	Message overlay.MessageID
	Ref     string
}

// commandFields are the commands, and for each the fields that it has beside cmd
// and ref. All are strings, and must be there.
var commandFields = map[string][]string{
	"send":      {"to", "body"},
	"broadcast": {"body"},
	"join":      {"address"},
	"table":     {},
	"buffer":    {},
	"net":       {},
	"cancel":    {"message"},
	"leave":     {},
}

// parseCommand reads a command strictly: what is doubtful is an error. With an
// error only Ref is set, if it could be read.
func parseCommand(line []byte) (command, error) {
	members := map[string]jsontext.Value{}
	if first := bytes.TrimLeft(line, " \t\r"); len(first) == 0 || first[0] != '{' {
		return command{}, errors.New("the line is not a JSON object")
	}
	if err := json.Unmarshal(line, &members); err != nil {
		return command{Ref: findRef(line)}, fmt.Errorf("the line is not a JSON object: %w", err)
	}
	c, err := fromMembers(members)
	if err != nil {
		return command{Ref: findRef(line)}, err
	}
	return c, nil
}

func fromMembers(members map[string]jsontext.Value) (command, error) {
	text := map[string]string{}
	for _, name := range []string{"cmd", "to", "body", "address", "message", "ref"} { // in this order, so that errors are always the same
		value, ok := members[name]
		if !ok {
			continue
		}
		if value.Kind() != '"' {
			return command{}, fmt.Errorf("%q is not a string", name)
		}
		b, err := jsontext.AppendUnquote(nil, value)
		if err != nil {
			return command{}, fmt.Errorf("%q: %w", name, err)
		}
		text[name] = string(b)
	}
	cmd, ok := text["cmd"]
	if !ok {
		return command{}, errors.New(`"cmd" is missing`)
	}
	fields, ok := commandFields[cmd]
	if !ok {
		commands := slices.Sorted(maps.Keys(commandFields))
		return command{}, fmt.Errorf("there is no command %q%s; there are %s", lines.Excerpt(cmd), nearest.Question(cmd, commands), strings.Join(commands, ", "))
	}
	known := 1
	for _, name := range fields {
		if _, ok := text[name]; !ok {
			return command{}, fmt.Errorf("%q is missing", name)
		}
		known++
	}
	if _, ok := text["ref"]; ok {
		known++
	}
	if known != len(members) {
		return command{}, unknownField(members, cmd, fields)
	}
	c := command{Cmd: cmd, To: certs.ID(text["to"]), Body: text["body"], Address: text["address"], Ref: text["ref"]}
	if message, ok := text["message"]; ok {
		id, err := overlay.ParseMessageID(message)
		if err != nil {
			return command{}, fmt.Errorf(`"message": %w`, err)
		}
		c.Message = id
	}
	return c, nil
}

// unknownField names the first unknown field by the alphabet.
func unknownField(members map[string]jsontext.Value, cmd string, fields []string) error {
	known := map[string]bool{"cmd": true, "ref": true}
	for _, name := range fields {
		known[name] = true
	}
	unknown, found := "", false
	for name := range members {
		if !known[name] && (!found || name < unknown) {
			unknown, found = name, true
		}
	}
	return fmt.Errorf("the command %s has no field %q", cmd, lines.Excerpt(unknown))
}

// findRef looks for the ref in a line that is wrong somewhere.
func findRef(line []byte) string {
	d := jsontext.NewDecoder(bytes.NewReader(line), jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
	if t, err := d.ReadToken(); err != nil || t.Kind() != '{' {
		return ""
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return ""
		}
		isRef := name.String() == "ref"
		value, err := d.ReadValue()
		if err != nil {
			return ""
		}
		if !isRef || value.Kind() != '"' {
			continue
		}
		if ref, err := jsontext.AppendUnquote(nil, value); err == nil {
			return string(ref)
		}
	}
	return ""
}

// Speaker speaks with programs: a JSON object a line, in and out.
type Speaker struct {
	out      *lines.Output
	version  string // of the program
	now      func() time.Time
	leaveRef atomic.Pointer[string] // of the command leave
}

// New makes a speaker that writes to out. The version of the program is for the event
// ready.
func New(out *lines.Output, version string) *Speaker {
	return &Speaker{out: out, version: version, now: time.Now}
}

// Show writes an event.
func (j *Speaker) Show(event overlay.Event) error {
	if e := j.event(event); e != nil {
		return j.write(e)
	}
	return nil
}

// Obey does what a line says, but for sending.
func (j *Speaker) Obey(n lines.Node, line []byte) (m lines.Message, leave bool, err error) {
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
		return lines.Message{}, false, j.write(j.table(n.Peers(), c.Ref))
	case "buffer":
		return lines.Message{}, false, j.write(j.buffer(n.Waiting(), c.Ref))
	case "net":
		return lines.Message{}, false, j.write(j.net(n.Net(), c.Ref))
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
func (j *Speaker) Refuse(m lines.Message, problem error) error {
	if errors.Is(problem, lines.ErrLong) {
		m.Ref = findRef(m.Line)
	}
	return j.write(errorEvent{j.head("error"), lines.Problem(problem, m.To == overlay.Everyone), lines.Beginning(m.Line), m.Ref})
}

// Joined says who has let this peer in.
func (j *Speaker) Joined(m lines.Message, id certs.ID) error {
	return j.write(joinEvent{j.head("joined"), m.Join, id, m.Ref})
}

// Left is the last line.
func (j *Speaker) Left(undelivered int) error {
	ref := ""
	if r := j.leaveRef.Load(); r != nil {
		ref = *r
	}
	_, err := j.out.Last(encode(leftEvent{j.head("left"), undelivered, ref}))
	return err
}

func (j *Speaker) write(event any) error {
	_, err := j.out.Write(encode(event))
	return err
}

// encode makes a line of an event. What isn't UTF-8, which the network doesn't
// let through, would be replaced.
func encode(event any) []byte {
	b, err := json.Marshal(event, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		panic(fmt.Sprintf("quicpeer: an event that can't be encoded: %v", err))
	}
	return append(b, '\n')
}
