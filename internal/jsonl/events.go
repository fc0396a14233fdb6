package jsonl

import (
	"bytes"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"quicpeer/certs"
	"quicpeer/internal/lines"
	"quicpeer/overlay"
)

// Most events have exactly the fields of overlay's events and reports, whose JSON names
// are declared there. These have more, or exist only here.

type ready struct {
	overlay.Ready
	Version string `json:"version"`
}

// message is a message; one with data has an empty body.
type message struct {
	overlay.Message
	Data []byte `json:"body_base64,omitzero"`
}

// dataOf takes its data out of a body; nil if it is a text.
func dataOf(binary bool, body *string) (data []byte) {
	if binary {
		data, *body = []byte(*body), ""
	}
	return data
}

type table struct {
	Peers []overlay.Peer `json:"peers"`
	Ref   string         `json:"ref"`
}

type buffer struct {
	Messages []overlay.Waiting `json:"messages"`
	Ref      string            `json:"ref"`
}

type ignored struct {
	Peers []overlay.IgnoredPeer `json:"peers"`
	Ref   string                `json:"ref"`
}

type rooms struct {
	Rooms []overlay.Room `json:"rooms"`
	Ref   string         `json:"ref"`
}

type ownTags struct {
	Tags map[string]string `json:"tags"`
	Ref  string            `json:"ref"`
}

type net struct {
	overlay.Net
	Ref string `json:"ref"`
}

type status struct {
	lines.Status
	Ref string `json:"ref"`
}

type outgoing struct {
	Messages []outgoingMessage `json:"messages"`
	Ref      string            `json:"ref"`
}

type outgoingMessage struct {
	Message overlay.MessageID `json:"message"`
	To      certs.ID          `json:"to"`
	Of      string            `json:"of"` // its ref
	Body    string            `json:"body"`
	Binary  bool              `json:"binary,omitzero"`
	Data    []byte            `json:"body_base64,omitzero"`
	Kind    overlay.Kind      `json:"kind,omitzero"`
	SentAt  time.Time         `json:"sent_at"`
}

// said is a message of the history; one with data has an empty body.
type said struct {
	overlay.Said
	Data []byte `json:"body_base64,omitzero"`
}

type history struct {
	Messages []said `json:"messages"`
	Ref      string `json:"ref"`
}

type whois struct {
	overlay.Whois
	Ref string `json:"ref"`
}

// done is the answer to trust or forget.
type done struct {
	ID  certs.ID `json:"id"`
	Ref string   `json:"ref"`
}

type joined struct {
	Address string   `json:"address"`
	ID      certs.ID `json:"id"`
	Ref     string   `json:"ref"`
}

// pong is the answer to ping. How says more than the path: direct, carried or letters.
type pong struct {
	ID      certs.ID        `json:"id"`
	RTT     time.Duration   `json:"rtt_ms"`
	Path    overlay.Path    `json:"path"`
	How     overlay.PingHow `json:"how"`
	Via     certs.ID        `json:"via"`
	Address string          `json:"address"`
	Ref     string          `json:"ref"`
}

type invitation struct {
	ID      certs.ID  `json:"id"`
	Ticket  string    `json:"ticket"`
	Expires time.Time `json:"expires"`
	Admin   bool      `json:"admin"`
	LANOnly bool      `json:"lan_only"` // nobody of the network can be dialled from outside
	Ref     string    `json:"ref"`
}

type uninvited struct {
	ID  certs.ID `json:"id"`
	Ref string   `json:"ref"`
}

type refused struct {
	Error string `json:"error"`
	Code  string `json:"code"`
	Input string `json:"input"`
	Ref   string `json:"ref"`
}

type left struct {
	Undelivered int    `json:"undelivered"`
	Ref         string `json:"ref"` // of the command leave, if there was one
}

// encode returns the line of an event with the fields of a struct. Invalid UTF-8, which
// the network does not let through, would be replaced.
func encode[T any](event string, at time.Time, fields T) []byte {
	line := struct {
		Event  string    `json:"event"`
		Time   time.Time `json:"time"`
		Fields T         `json:",embed"`
	}{event, at, fields}
	b := bytes.NewBuffer(make([]byte, 0, 512))
	if err := json.MarshalWrite(b, line, values); err != nil {
		panic(fmt.Sprintf("quicpeer: an event that can't be encoded: %v", err))
	}
	b.WriteByte('\n')
	return b.Bytes()
}

// values says how the types of overlay's fields are written.
var values = json.JoinOptions(
	jsontext.AllowInvalidUTF8(true), json.Deterministic(true),
	json.WithMarshalers(json.JoinMarshalers(
		json.MarshalToFunc(func(e *jsontext.Encoder, t time.Time) error { return e.WriteToken(timestamp(t)) }),
		json.MarshalToFunc(func(e *jsontext.Encoder, d time.Duration) error { return e.WriteToken(milliseconds(d)) }),
		json.MarshalToFunc(func(e *jsontext.Encoder, k certs.PublicKey) error { return e.WriteToken(jsontext.String(k.String())) }),
		json.MarshalToFunc(func(e *jsontext.Encoder, m overlay.MessageID) error {
			return e.WriteToken(jsontext.String(m.String()))
		}),
	)),
)

// timestamp is RFC 3339 in UTC, always with a fraction; null for the zero time. A time
// that RFC 3339 can't express, from a sender whose clock is wrong, becomes the epoch.
func timestamp(t time.Time) jsontext.Token {
	if t.IsZero() {
		return jsontext.Null
	}
	if t = t.UTC(); t.Year() < 0 || t.Year() > 9999 {
		t = time.Unix(0, 0).UTC()
	}
	return jsontext.String(t.Format("2006-01-02T15:04:05.000000Z"))
}

// milliseconds is the length of a round trip; null where there is none.
func milliseconds(d time.Duration) jsontext.Token {
	if d <= 0 {
		return jsontext.Null
	}
	return jsontext.Float(float64(d.Round(time.Microsecond)) / float64(time.Millisecond))
}
