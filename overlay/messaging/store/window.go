package store

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
)

// maxLooked is how often the bytes of a file are looked at for one that may be a record of it (a guess: 0.2 s).
const maxLooked = 16

// windowSize is how much of a segment is read at once.
const windowSize = 128 << 10

// window reads a segment in steps, so that of a large one no more is in memory than a step, or its
// largest record.
type window struct {
	segment
	from io.ReaderAt
	b    []byte // what was read last
	at   int    // where in the segment it begins
}

// view opens a segment for reading. The caller closes the file.
func (g segment) view() (*window, *os.File, error) {
	f, err := os.Open(g.path)
	if err != nil {
		return nil, nil, err
	}
	return &window{segment: g, from: f}, f, nil
}

// bytes returns those from a place on: n of them, or those that there are up to the end of the segment. They
// are valid until the next call.
func (w *window) bytes(at, n int) ([]byte, error) {
	n = min(n, w.size-at)
	if n <= 0 {
		return nil, nil
	}
	if at < w.at || at+n > w.at+len(w.b) {
		size := min(max(n, windowSize), w.size-at)
		if cap(w.b) < size {
			w.b = make([]byte, size)
		}
		w.b, w.at = w.b[:size], at
		if _, err := w.from.ReadAt(w.b, int64(at)); err != nil {
			w.b = nil
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, damage(w.path, err)
		}
	}
	return w.b[at-w.at:][:n:n], nil
}

// record reads the record at a place; false: there is none. It is valid until the next call.
func (w *window) record(at int) (r said, ok bool, err error) {
	head, err := w.bytes(at, saidHead)
	if err != nil || len(head) < saidHead {
		return r, false, err
	}
	size := binary.BigEndian.Uint32(head)
	if size < saidHead || uint64(size) > uint64(w.size-at) {
		return r, false, nil
	}
	b, err := w.bytes(at, int(size))
	if err != nil {
		return r, false, err
	}
	r, ok = w.parseSaid(b)
	return r, ok, nil
}

// scan calls f for each record, and returns where the next would begin and its number. A record is valid
// during the call.
func (w *window) scan(f func(said) error) (at int, next uint64, err error) {
	for at, next = slotSize, w.first; at < w.size; next++ {
		r, ok, err := w.record(at)
		if err != nil {
			return at, next, err
		}
		if !ok || r.number != next && (r.kind != kindJump || r.number < next) || r.safe >= next || r.shown >= next {
			break
		}
		at, next = at+alignSaid(r.size), r.number
		if err := f(r); err != nil {
			return at, next, err
		}
	}
	return at, next, nil
}

// attests says that a record behind a place calls one of that number safe. Bytes of messages may look like
// records as far as their checksum, which is looked at in so many bytes only.
func (w *window) attests(at int, number uint64) (bool, error) {
	for left := maxLooked * w.size; at < w.size && left > 0; at += saidAlign {
		head, err := w.bytes(at, saidHead)
		if err != nil {
			return false, err
		}
		if size := len(head); size < saidHead || binary.BigEndian.Uint32(head) < saidHead || binary.BigEndian.Uint64(head[16:]) < number {
			continue
		}
		left -= min(int(binary.BigEndian.Uint32(head)), w.size)
		if _, ok, err := w.record(at); err != nil || ok {
			return ok, err
		}
	}
	return false, nil
}

// lastByte is where behind a place the last byte ends that is not zero; the place itself: there is none.
func (w *window) lastByte(at int) (end int, err error) {
	end = at
	for at < w.size {
		b, err := w.bytes(at, windowSize)
		if err != nil {
			return end, err
		}
		for i := len(b) - 1; i >= 0; i-- {
			if b[i] != 0 {
				end = at + i + 1
				break
			}
		}
		at += len(b)
	}
	return end, nil
}
