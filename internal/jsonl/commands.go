package jsonl

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"quicpeer/certs"
	"quicpeer/internal/lines"
	"quicpeer/internal/nearest"
	"quicpeer/overlay"
)

// command is a valid command.
type command struct {
	Cmd     string
	To      certs.ID
	Body    string
	Binary  bool
	Address string
	Room    certs.ID
	Message overlay.MessageID
	ReplyTo overlay.MessageID
	Wants   bool // a reply
	Kind    overlay.Kind
	About   overlay.MessageID
	Admin   bool
	All     bool
	Query   overlay.Query // of the history
	Tags    tags
	Ref     string

	file fileCommand
}

// commandFields lists the commands, each with the fields that it requires. cmd is in all
// of them, ref is optional, and so are those in optionalFields.
var commandFields = map[string][]string{
	"send":      {"to", "body"}, // or body_base64
	"broadcast": {"body"},
	"join":      {},
	"part":      {"room"},
	"rooms":     {},
	"table":     {},
	"buffer":    {},
	"net":       {},
	"status":    {},
	"outgoing":  {},
	"history":   {},
	"cancel":    {"message"},
	"invite":    {"to"},
	"uninvite":  {"to"},
	"remove":    {"to"},
	"ignore":    {"to"},
	"unignore":  {"to"},
	"ignored":   {},
	"whois":     {"to"},
	"trust":     {"to"},
	"forget":    {"to"},
	"ping":      {"to"},
	"tags":      {},
	"leave":     {},

	"file_send":   {"to"}, // and path or paths
	"file_accept": {"file"},
	"file_cancel": {"file"},
	"files":       {},
}

var optionalFields = map[string][]string{
	"invite": {"admin"}, "remove": {"all"}, "join": {"address", "room"}, "tags": {"tags"}, "send": {"body_base64", "reply_to", "wants_reply", "kind", "about"}, "broadcast": {"reply_to", "kind", "about"}, "history": {"with", "last", "before", "since", "search"},
	"file_send": {"path", "paths", "name", "note", "temporary"}, "file_accept": {"dir"}, "files": {"file"},
}

// members are those of a JSON object that should be a command.
type members struct {
	Cmd     member   `json:"cmd"`
	To      member   `json:"to"`
	Body    member   `json:"body"`
	Data    member   `json:"body_base64"`
	Address member   `json:"address"`
	Room    member   `json:"room"`
	Message member   `json:"message"`
	ReplyTo member   `json:"reply_to"`
	Wants   switched `json:"wants_reply"`
	Kind    member   `json:"kind"`
	About   member   `json:"about"`
	Admin   switched `json:"admin"`
	All     switched `json:"all"`
	With    member   `json:"with"`
	Last    number   `json:"last"`
	Before  number   `json:"before"`
	Since   member   `json:"since"`
	Search  member   `json:"search"`
	Tags    tags     `json:"tags"`
	Ref     member   `json:"ref"`

	fileMembers
	Others map[string]jsontext.Value `json:",embed"`
}

// member is a string that may be absent.
type member struct {
	text  string
	given bool
}

var errNotString = errors.New("not a string")

// UnmarshalJSONFrom accepts strings only, and not null.
func (m *member) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	token, err := d.ReadToken()
	switch {
	case err != nil:
		return err
	case token.Kind() != '"':
		return errNotString
	}
	m.text, m.given = token.String(), true
	return nil
}

// switched is true or false, and may be absent.
type switched struct{ on, given bool }

var errNotBoolean = errors.New("not true or false")

// UnmarshalJSONFrom accepts true and false only.
func (s *switched) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	token, err := d.ReadToken()
	switch {
	case err != nil:
		return err
	case token.Kind() != 't' && token.Kind() != 'f':
		return errNotBoolean
	}
	s.on, s.given = token.Bool(), true
	return nil
}

// number is a whole number that is not negative, and may be absent.
type number struct {
	value uint64
	given bool
}

var errNotNumber = errors.New("not a whole number")

// UnmarshalJSONFrom accepts numbers only, and of these the digits.
func (n *number) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	token, err := d.ReadToken()
	if err != nil {
		return err
	}
	if token.Kind() != '0' {
		return errNotNumber
	}
	if n.value, err = strconv.ParseUint(token.String(), 10, 63); err != nil {
		return errNotNumber
	}
	n.given = true
	return nil
}

// tags are an object of strings, and may be absent.
type tags struct {
	of    map[string]string
	given bool
}

var errNotTags = errors.New("not an object of strings")

// UnmarshalJSONFrom accepts an object of strings only, with no key twice.
func (t *tags) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() != '{' || json.UnmarshalDecode(d, &t.of) != nil {
		return errNotTags
	}
	t.given = true
	return nil
}

// parseCommand parses strictly: anything doubtful is an error. With an error only Ref is
// set, if it could be read.
func parseCommand(line []byte) (command, error) {
	if first := bytes.TrimLeft(line, " \t\r"); len(first) == 0 || first[0] != '{' {
		return command{}, errors.New("the line is not a JSON object")
	}
	c, err := readCommand(line)
	if err != nil {
		return command{Ref: findRef(line)}, err
	}
	return c, nil
}

func readCommand(object []byte) (command, error) {
	var m members
	if err := json.Unmarshal(object, &m); err != nil {
		if e, ok := errors.AsType[*json.SemanticError](err); ok && errors.Is(err, errNotString) {
			return command{}, fmt.Errorf("%q is not a string", e.JSONPointer.LastToken())
		} else if ok && errors.Is(err, errNotBoolean) {
			return command{}, fmt.Errorf("%q is not true or false", e.JSONPointer.LastToken())
		} else if ok && errors.Is(err, errNotNumber) {
			return command{}, fmt.Errorf("%q is not a whole number", e.JSONPointer.LastToken())
		} else if ok && errors.Is(err, errNotTags) {
			return command{}, errors.New(`"tags" is not an object of strings`)
		} else if ok && errors.Is(err, errNotTexts) {
			return command{}, errors.New(`"paths" is not a list of strings`)
		}
		return command{}, fmt.Errorf("the line is not a JSON object: %w", err)
	}
	if err := m.check(); err != nil {
		return command{}, err
	}
	c := command{Cmd: m.Cmd.text, To: certs.ID(m.To.text), Body: m.Body.text, Address: m.Address.text, Room: certs.ID(m.Room.text), Admin: m.Admin.on, All: m.All.on, Wants: m.Wants.on, Tags: m.Tags, Kind: overlay.Kind(m.Kind.text), Ref: m.Ref.text, file: m.fileMembers.command()}
	for _, id := range []struct {
		name string
		member
		to *overlay.MessageID
	}{{"message", m.Message, &c.Message}, {"reply_to", m.ReplyTo, &c.ReplyTo}, {"about", m.About, &c.About}} {
		if !id.given {
			continue
		}
		var err error
		if *id.to, err = overlay.ParseMessageID(id.text); err != nil {
			return command{}, fmt.Errorf("%q: %w", id.name, err)
		}
	}
	if m.Data.given {
		data, err := base64.StdEncoding.Strict().DecodeString(m.Data.text)
		if err != nil {
			return command{}, errors.New(`"body_base64" is not base64, with the letters + and /, and = at the end`)
		}
		c.Body, c.Binary = string(data), true
	}
	return c, m.query(&c.Query)
}

// query reads the fields of a history command.
func (m *members) query(q *overlay.Query) (err error) {
	q.With, q.Before, q.Search = certs.ID(m.With.text), m.Before.value, m.Search.text
	q.Last = int(min(m.Last.value, lines.MaxPast))
	if m.With.given {
		if err := lines.CheckReceiver(q.With); err != nil {
			return fmt.Errorf(`"with": %w`, err)
		}
	}
	if m.Since.given {
		if q.Since, err = time.Parse(time.RFC3339, m.Since.text); err != nil {
			return errors.New(`"since" is not a time, such as 2026-03-05T12:00:00Z`)
		}
	}
	return nil
}

// given says whether there is a member of a name.
type given struct {
	name string
	is   bool
}

// check requires a known command with all of its fields and no others.
func (m *members) check() error {
	if !m.Cmd.given {
		return errors.New(`"cmd" is missing`)
	}
	fields, ok := commandFields[m.Cmd.text]
	if !ok {
		commands := slices.Sorted(maps.Keys(commandFields))
		return fmt.Errorf("there is no command %q%s; there are %s", lines.Excerpt(m.Cmd.text), nearest.Question(m.Cmd.text, commands), strings.Join(commands, ", "))
	}
	if m.Body.given && m.Data.given {
		return errors.New(`a message has "body" or "body_base64", not both`)
	}
	unknown := slices.Collect(maps.Keys(m.Others))
	for _, f := range append(m.fileMembers.given(), []given{{"to", m.To.given}, {"body", m.hasBody()}, {"body_base64", m.Data.given}, {"reply_to", m.ReplyTo.given}, {"wants_reply", m.Wants.given}, {"kind", m.Kind.given}, {"about", m.About.given}, {"address", m.Address.given}, {"room", m.Room.given}, {"message", m.Message.given}, {"admin", m.Admin.given}, {"all", m.All.given},
		{"with", m.With.given}, {"last", m.Last.given}, {"before", m.Before.given}, {"since", m.Since.given}, {"search", m.Search.given}, {"tags", m.Tags.given}}...) {
		switch wanted := slices.Contains(fields, f.name); {
		case wanted && !f.is:
			return fmt.Errorf("%q is missing", f.name)
		case f.is && !wanted && !slices.Contains(optionalFields[m.Cmd.text], f.name):
			unknown = append(unknown, f.name)
		}
	}
	if len(unknown) > 0 {
		return fmt.Errorf("the command %s has no field %q", m.Cmd.text, lines.Excerpt(slices.Min(unknown)))
	}
	if m.Cmd.text == "file_send" && m.Path.given == m.Paths.given {
		return errors.New(`the command file_send has either "path" or "paths"`)
	}
	if m.Cmd.text == "join" && m.Address.given == m.Room.given {
		return errors.New(`the command join has either "address" or "room"`)
	}
	return nil
}

// hasBody says that a message has what it needs to have of a body; a deletion needs none.
func (m *members) hasBody() bool {
	data := m.Data.given && slices.Contains(optionalFields[m.Cmd.text], "body_base64")
	deletion := m.Kind.text == string(overlay.KindDelete) && slices.Contains(optionalFields[m.Cmd.text], "kind")
	return m.Body.given || data || deletion
}

// checkNames checks the receiver, or whom or which room the command is about.
func (c command) checkNames() (err error) {
	wide := (c.Cmd == "send" || c.Cmd == "file_send") && (c.To == overlay.Everyone || overlay.IsRoom(c.To))
	switch {
	case wide && (c.Binary || c.Wants):
		err = overlay.ErrNotToMany
	case wide && c.To == overlay.Everyone:
	case wide:
		err = overlay.CheckRoom(c.To)
	case slices.Contains(commandFields[c.Cmd], "to"):
		_, err = certs.ParseName(string(c.To))
	case c.Cmd == "part" || c.Cmd == "join" && c.Address == "":
		err = overlay.CheckRoom(c.Room)
	}
	return err
}

// findRef looks for the ref in a faulty line.
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
