package harness

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Event is a line that a --json peer has printed.
type Event struct {
	At     time.Time // when it was read
	Raw    string
	Name   string         // empty if the line is not a JSON object with an event
	Fields map[string]any // numbers as json.Number
}

// ParseEvent reads a line.
func ParseEvent(raw string) Event {
	e := Event{At: time.Now(), Raw: raw}
	d := json.NewDecoder(strings.NewReader(raw))
	d.UseNumber()
	if d.Decode(&e.Fields) == nil {
		e.Name, _ = e.Fields["event"].(string)
	}
	return e
}

// Field is a field as a word: a string itself, anything else as compact JSON, nothing where
// it is absent.
func (e *Event) Field(name string) string {
	switch v := e.Fields[name].(type) {
	case nil:
		if _, present := e.Fields[name]; present {
			return "null"
		}
		return ""
	case string:
		return v
	default:
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(v); err != nil {
			return err.Error()
		}
		return strings.TrimSuffix(b.String(), "\n")
	}
}

// EventOf is the name of the event that a line tells of, without reading the whole of it.
func EventOf(line []byte) string {
	_, rest, _ := bytes.Cut(line, []byte(`"event":"`))
	name, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(name)
}

// BodyOf is the body of a message, if it has no escapes.
func BodyOf(line []byte) []byte {
	_, rest, _ := bytes.Cut(line, []byte(`"body":"`))
	body, _, _ := bytes.Cut(rest, []byte(`"`))
	return body
}

// Shorten is the beginning of a line, which has what it is about.
func Shorten(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return fmt.Sprintf("%s… (%d bytes)", strings.ToValidUTF8(s[:most], ""), len(s))
}

// Tail is the last lines of a text.
func Tail(text string, most int) string {
	lines := strings.Split(strings.Trim(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}

// Crash is the beginning of the first race report, panic or fatal error in what a process
// has logged; empty if there is none.
func Crash(log string) string {
	log = "\n" + log
	for _, sign := range []string{"\nWARNING: DATA RACE", "\npanic: ", "\nfatal error: "} {
		if at := strings.Index(log, sign); at >= 0 {
			lines := strings.SplitN(log[at+1:], "\n", 61)
			return strings.Join(lines[:min(60, len(lines))], "\n")
		}
	}
	return ""
}
