package lines

import (
	"io"
	"sync"
)

// OutputError says that standard output can't be written.
type OutputError struct{ Err error }

func (e *OutputError) Error() string { return "writing to standard output: " + e.Err.Error() }
func (e *OutputError) Unwrap() error { return e.Err }

// Output is a stream that several goroutines write to, whole lines at a time.
// After the first error, an [OutputError], every write fails with it.
type Output struct {
	mu     sync.Mutex
	w      io.Writer
	err    error
	closed bool
}

// NewOutput returns an output that writes to w.
func NewOutput(w io.Writer) *Output { return &Output{w: w} }

// Write writes b in one piece. After Last it does nothing.
func (o *Output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.write(b)
}

func (o *Output) write(b []byte) (int, error) {
	if o.closed {
		return len(b), nil
	}
	if o.err == nil {
		if _, err := o.w.Write(b); err != nil {
			o.err = &OutputError{err}
		}
	}
	if o.err != nil {
		return 0, o.err
	}
	return len(b), nil
}

// Last writes the last line: a command that finishes late writes nothing after it.
func (o *Output) Last(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.write(b)
	o.closed = true
	return n, err
}

// Switch has change say, between two writes, where the next ones go. If it fails nothing
// changes.
func (o *Output) Switch(change func() (io.Writer, error)) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	w, err := change()
	if err == nil {
		o.w = w
	}
	return err
}
