package chat

import (
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"quicpeer/certs"
)

// Look is the style of what is shown.
type Look struct {
	Terminal bool // short times, and a check mark for what was delivered
	Dated    bool // each line begins with the date
	Colour   bool
	Bare     bool       // answers stand alone, without a time: for the output of a command
	Width    func() int // of the terminal, 0 where there is none
}

// style words times and colours names.
type style struct {
	look Look
	now  func() time.Time
}

// since formats a local time, with the date if the time alone could mean another day.
func (s *style) since(at time.Time) string {
	if s.now().Sub(at).Abs() < 24*time.Hour {
		return at.Local().Format("15:04")
	}
	return at.Local().Format("2006-01-02 15:04")
}

// until formats a time to come.
func (s *style) until(at time.Time) string {
	at, now := at.Local(), s.now().Local()
	switch at.Format(time.DateOnly) {
	case now.Format(time.DateOnly):
		return at.Format("15:04")
	case now.AddDate(0, 0, 1).Format(time.DateOnly):
		return "tomorrow " + at.Format("15:04")
	}
	return at.Format("2006-01-02 15:04")
}

// Late says when a message was sent, if that was a while ago. It says nothing if the
// sender's clock is ahead of ours, or before there were any messages, and so wrong.
func Late(now, at time.Time) string {
	if now.Sub(at) <= time.Minute || at.Before(firstMessage) {
		return ""
	}
	s := style{now: func() time.Time { return now }}
	return " (sent " + s.since(at) + ")"
}

// firstMessage is when the protocol was created.
var firstMessage = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

func (s *style) dim(text string) string {
	if !s.look.Colour {
		return text
	}
	return Dim(text)
}

// dimLines is dim for a text of several lines.
func (s *style) dimLines(text string) string {
	list := strings.Split(text, "\n")
	for i := range list {
		list[i] = s.dim(list[i])
	}
	return strings.Join(list, "\n")
}

// name returns an ID in its colour.
func (s *style) name(id certs.ID) string {
	if !s.look.Colour {
		return string(id)
	}
	return Name(id)
}

// Dim shows a text faintly.
func Dim(text string) string { return "\x1b[2m" + text + "\x1b[0m" }

// Name returns an ID in its colour, which depends on nothing but the ID.
func Name(id certs.ID) string {
	colours := []int{31, 32, 33, 34, 35, 36, 91, 92, 93, 94, 95, 96} // all but black, white and grey
	h := fnv.New32a()
	h.Write([]byte(id))
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", colours[h.Sum32()%uint32(len(colours))], id)
}
