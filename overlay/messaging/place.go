package messaging

import (
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"quicpeer/overlay/messaging/store"
)

// maxReader is how long the name of a reader of the history may be, in bytes.
const maxReader = 64

// placeKey is before the name of a reader in the bucket of numbers.
const placeKey = "place "

// Place is the position from which a reader of the history goes on, as set by SetPlace in this run or an
// earlier one; 0: none is set. Without a history it is 0.
func (h *History) Place(reader string) (uint64, error) {
	if err := checkReader(reader); err != nil {
		return 0, err
	}
	d := h.disk()
	if !d.history {
		return 0, nil
	}
	if pos, set := d.places.get(reader); set {
		return pos, nil
	}
	return d.store.Number(placeKey + reader)
}

// SetPlace sets the position from which a reader of the history goes on: one more than that of the last
// event that it is done with. 0 forgets the reader. Its name has 1 to 64 bytes of printable ASCII; each
// name takes a record of the state directory until it is forgotten.
//
// SetPlace does not wait for the disk. After kill -9 or a power loss the place may be an earlier one, so
// a reader that sets it behind each event sees each at least once. After a power loss, or with
// files from a backup, it may also be beyond the End. Without a history, and after the end of the
// node, SetPlace does nothing.
func (h *History) SetPlace(reader string, pos uint64) error {
	if err := checkReader(reader); err != nil {
		return err
	}
	if d := h.disk(); d.history && d.places.set(reader, pos) {
		d.writePlace(reader)
	}
	return nil
}

func checkReader(name string) error {
	if len(name) < 1 || len(name) > maxReader {
		return fmt.Errorf("the name of a reader has %d bytes; it may have 1 to %d", len(name), maxReader)
	}
	for i := range len(name) {
		if name[i] < ' ' || name[i] > '~' {
			return fmt.Errorf("the name of a reader may have printable ASCII only, and not %q", name)
		}
	}
	return nil
}

// places are those that were set in this run. However slow the disk is, one write of each is under way at
// most.
type places struct {
	mu  sync.Mutex
	now map[string]place
}

type place struct {
	pos     uint64
	writing bool
}

func (p *places) get(reader string) (pos uint64, set bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, set := p.now[reader]
	return at.pos, set
}

// set says whether the caller has to write it: else whoever writes an earlier one does.
func (p *places) set(reader string, pos uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.now == nil {
		p.now = make(map[string]place)
	}
	writing := p.now[reader].writing
	p.now[reader] = place{pos, true}
	return !writing
}

// written notes that a place was written, and says whether it has changed meanwhile and has to be written
// again.
func (p *places) written(reader string, pos uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.now[reader]
	at.writing = at.pos != pos
	p.now[reader] = at
	return at.writing
}

// writePlace writes a place until it is the last that was set.
func (d *Disk) writePlace(reader string) {
	pos, _ := d.places.get(reader)
	op := store.NumberOp(placeKey+reader, pos)
	if pos == 0 {
		op.Value = nil
	}
	d.store.Write(func(err error) {
		switch {
		case errors.Is(err, fs.ErrClosed): // the node has ended, and this is not an error of it
		case err != nil:
			d.fail(err)
		case d.places.written(reader, pos):
			d.writePlace(reader)
		}
	}, op)
}
