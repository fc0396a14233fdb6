// Package lines runs a peer from lines of input, and holds what the two front ends share:
// chat (typed lines) and jsonl (JSON lines).
//
//   - [Reader] reads lines, whatever they contain;
//   - a [Frontend] says what each line means, and writes answers and events;
//   - [Listener] executes lines in order, and queues messages that aren't accepted at once;
//   - [Output] is where everything is written, one line at a time.
package lines
