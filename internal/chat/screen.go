package chat

import (
	"time"

	"quicpeer/certs"
	"quicpeer/overlay"
)

// Screen is where a front end shows things: plain lines, or a terminal with a prompt. Its methods may
// be called concurrently, and what they are given appears in that order.
type Screen interface {
	// Event shows a message, what became of one, an [Offering], how a transfer stands, or who comes and goes. It calls
	// shown, maybe later, when that was done.
	Event(e overlay.Event, shown func()) error
	// Note shows what the program itself has to say.
	Note(Note) error
	// Earlier shows messages of the history, where a terminal begins to show what happens, with a mark
	// before those behind the position seen: they are new since then. A zero time: all have been seen.
	Earlier(list []overlay.Said, since time.Time, seen uint64) error
	// Last is Note for the last line: nothing is shown after it.
	Last(Note) error
}

// Note is a line of the program itself, all of it escaped.
type Note struct {
	Mark  string   // "*"; "!": a warning; "?": what was wrong with a typed line
	Text  string   // one line, with colours
	Block string   // lines that belong below it
	About certs.ID // the conversation that it is about: a peer, a room; empty: none
}

// voice is a front end that speaks for the program.
type voice struct {
	*style
	screen Screen
}

// say shows one line.
func (t *voice) say(mark, s string) error { return t.screen.Note(Note{Mark: mark, Text: s}) }

// block shows a line and, below it, the lines that belong to it.
func (t *voice) block(title, lines string) error {
	return t.screen.Note(Note{Mark: "*", Text: title, Block: lines})
}
