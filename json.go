package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"quicpeer/certs"
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
		return command{}, errors.New("the line is no JSON object")
	}
	if err := json.Unmarshal(line, &members); err != nil {
		return command{Ref: findRef(line)}, fmt.Errorf("the line is no JSON object: %w", err)
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
			return command{}, fmt.Errorf("%q is no string", name)
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
		return command{}, fmt.Errorf("there is no command %q%s; there are %s", excerpt(cmd), didYouMean(cmd, commands), strings.Join(commands, ", "))
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
	return fmt.Errorf("the command %s has no field %q", cmd, excerpt(unknown))
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

// jsonl speaks with programs: a JSON object a line, in and out.
type jsonl struct {
	out      *output
	now      func() time.Time
	leaveRef atomic.Pointer[string] // of the command leave
}

func (j *jsonl) show(event overlay.Event) error {
	if e := j.event(event); e != nil {
		return j.write(e)
	}
	return nil
}

// obey does what a line says, but for sending.
func (j *jsonl) obey(n node, line []byte) (m message, leave bool, err error) {
	c, problem := parseCommand(line)
	if problem == nil && c.Cmd == "send" {
		_, problem = certs.ParseID(string(c.To))
	}
	if problem != nil {
		return message{ref: c.Ref}, false, badLine(problem.Error())
	}
	switch c.Cmd {
	case "send":
		return message{to: c.To, body: c.Body, ref: c.Ref}, false, nil
	case "broadcast":
		return message{to: overlay.Everyone, body: c.Body, ref: c.Ref}, false, nil
	case "join":
		return message{join: c.Address, ref: c.Ref}, false, nil
	case "table":
		return message{}, false, j.write(j.table(n.Peers(), c.Ref))
	case "buffer":
		return message{}, false, j.write(j.buffer(n.Waiting(), c.Ref))
	case "net":
		return message{}, false, j.write(j.net(n.Net(), c.Ref))
	case "cancel":
		if err := n.Cancel(c.Message); err != nil {
			return message{ref: c.Ref}, false, badLine(cancelProblem(err))
		}
		return message{}, false, nil
	}
	j.leaveRef.Store(&c.Ref)
	return message{}, true, nil
}

func (j *jsonl) refuse(m message, problem error) error {
	if errors.Is(problem, errLongLine) {
		m.ref = findRef(m.line)
	}
	return j.write(errorEvent{j.head("error"), sendProblem(problem, m.to == overlay.Everyone), beginning(m.line), m.ref})
}

func (j *jsonl) joined(m message, id certs.ID) error {
	return j.write(joinEvent{j.head("joined"), m.join, id, m.ref})
}

func (j *jsonl) left(undelivered int) error {
	ref := ""
	if r := j.leaveRef.Load(); r != nil {
		ref = *r
	}
	return j.out.last(encode(leftEvent{j.head("left"), undelivered, ref}))
}

func (j *jsonl) write(event any) error { return j.out.write(encode(event)) }

// encode makes a line of an event. What isn't UTF-8, which the network doesn't
// let through, would be replaced.
func encode(event any) string {
	b, err := json.Marshal(event, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		panic(fmt.Sprintf("quicpeer: an event that can't be encoded: %v", err))
	}
	return string(append(b, '\n'))
}

// maxInput is how many bytes of a line an error event quotes.
const maxInput = 200

// beginning is the first bytes of a line, less a character that is cut in two;
// what isn't UTF-8 becomes U+FFFD.
func beginning(line []byte) string {
	b := cut(line, maxInput)
	return string(cut(bytes.ToValidUTF8(b, []byte("\uFFFD")), maxInput))
}

// cut returns at most n bytes of b, and no character in part.
func cut(b []byte, n int) []byte {
	if len(b) <= n {
		return b
	}
	end := n
	for end > n-utf8.UTFMax && !utf8.RuneStart(b[end]) {
		end--
	}
	if !utf8.RuneStart(b[end]) {
		end = n // no UTF-8 anyway
	}
	return b[:end]
}
