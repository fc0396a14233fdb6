package files

import (
	"testing"
	"testing/fstest"
	"time"

	"quicpeer/overlay"
	"quicpeer/pb"
)

// Files of any time can be sent.
func TestFarTime(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice, bob := w.pair(Config{}, Config{Accept: Rule{All: true}})
		built := fstest.MapFS{"f": {Data: []byte("x"), Mode: 0o644, ModTime: time.Date(2400, 1, 1, 0, 0, 0, 0, time.UTC)}}
		if _, err := alice.Offer(t.Context(), "bob", Source{FS: built, Names: []string{"f"}}, ""); err != nil {
			t.Fatal(err)
		}
		await(bob, time.Minute, always[Done])
	})
}

// Many paths in one directory take one descriptor.
func TestDirectories(t *testing.T) {
	d := directories{}
	defer d.closeAll()
	dir := t.TempDir()
	for range 3 {
		if _, err := d.fsOf(dir); err != nil || len(d) != 1 {
			t.Errorf("%d are open: %v", len(d), err)
		}
	}
}

// A receiver that is faster than the sender's own call is asked to come again.
func TestAskedEarly(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice, bob := w.pair(Config{}, Config{})
		o := serving{server: &alice.server, asker: asker{id: "bob", key: bob.n.Key()}, request: &pb.FileRequest{Offer: make([]byte, pb.MessageIDSize)}}
		if code := o.lookUp(); code != pb.FileCode_NO_OFFER {
			t.Errorf("an unknown one: %v", code)
		}
		tr := newTransfer(alice.book)
		tr.record = record{Ours: true, To: overlay.Everyone, State: StateOffered}
		if err := alice.add(tr); err != nil {
			t.Fatal(err)
		}
		if code := o.lookUp(); code != pb.FileCode_LATER {
			t.Errorf("perhaps the one that is being sent: %v", code)
		}
	})
}
