// Package lines has a peer obey lines, and shares what the two ways of speaking with
// it have in common: chat (typed lines) and jsonl (JSON lines).
//
//   - [Reader] reads the lines of an input, whatever they hold;
//   - a [Speaker] says what each means, and writes answers and events;
//   - [Listener] has them obeyed in order, and keeps what isn't accepted at once;
//   - [Output] is where everybody writes, a line at a time.
package lines
