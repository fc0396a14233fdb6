package lines

import (
	"io"
	"sync"
)

// OutputError: standard output can't be written.
type OutputError struct{ Err error }

func (e *OutputError) Error() string { return "writing to standard output: " + e.Err.Error() }
func (e *OutputError) Unwrap() error { return e.Err }

// Output is a stream that several goroutines write to, whole lines at a time.
// After its first error, an [OutputError], everything fails with that error.
type Output struct {
	mu     sync.Mutex
	w      io.Writer
	err    error
	closed bool
}

// NewOutput makes the output that w is.
func NewOutput(w io.Writer) *Output { return &Output{w: w} }

// Write writes b at once. After Last it does nothing.
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

// Last writes the last line: a command that comes to its end late writes nothing
// behind it.
func (o *Output) Last(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.write(b)
	o.closed = true
	return n, err
}

// Redirect sends what is written from now on to w.
func (o *Output) Redirect(w io.Writer) { o.Switch(w, func() {}) }

// Switch is Redirect, and does something between what went where it went before and
// what goes to w.
func (o *Output) Switch(w io.Writer, between func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	between()
	o.w = w
}
