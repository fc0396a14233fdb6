package main

import (
	"io"
	"sync"
)

// output is a stream that several goroutines write to, whole lines at a time.
// After its first error everything fails with that error.
type output struct {
	mu     sync.Mutex
	w      io.Writer
	err    error
	closed bool
}

// write writes s at once. After last it does nothing.
func (o *output) write(s string) error {
	_, err := o.Write([]byte(s))
	return err
}

// Write makes an io.Writer of it, for logs.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return len(b), nil
	}
	if o.err == nil {
		o.err = printed(o.w.Write(b))
	}
	if o.err != nil {
		return 0, o.err
	}
	return len(b), nil
}

// last writes the last line: a command that comes to its end late writes nothing
// behind it.
func (o *output) last(s string) error {
	err := o.write(s)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	return err
}

// redirect sends what is written from now on to w.
func (o *output) redirect(w io.Writer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.w = w
}
