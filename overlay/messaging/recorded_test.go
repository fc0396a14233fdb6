package messaging

import (
	"log/slog"
	"testing"

	"quicpeer/overlay/messaging/store"
)

// A start that fails before it knows which messages the history may lack as sent leaves it to the next one to
// look there.
func TestFloorBeforeLoad(t *testing.T) {
	dir := t.TempDir()
	folded := func(load bool) uint64 {
		t.Helper()
		d, err := OpenDisk(DiskConfig{State: &store.State{Dir: dir}, Log: slog.New(slog.DiscardHandler), Fail: func(err error) { t.Error(err) }})
		if err != nil {
			t.Fatal(err)
		}
		at := d.store.Folded()
		entries := []store.Entry{{Data: []byte("x")}}
		if !d.say(entries) {
			t.Fatal("it can't be written")
		}
		d.store.Shown(entries[0].Pos, false, nil)
		if load {
			d.unsaid.load()
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		return at
	}
	if first, second, third := folded(false), folded(true), folded(true); first != 0 || second != 0 || third != 3 {
		t.Errorf("the history need not be read up to %d, %d and %d", first, second, third)
	}
}
