package messaging

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// TestPlaceOnASlowDisk: however often a place is set while the disk is busy, that is one write more, which
// is not lost at the end.
func TestPlaceOnASlowDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		var writes atomic.Int32
		goOn := make(chan struct{})
		e := onDisk(t, dir, func(what string) {
			if what == "log" {
				writes.Add(1)
				<-goOn
			}
		})
		h := e.Stream().History()
		set := func(pos uint64) {
			if err := h.SetPlace("reader", pos); err != nil {
				t.Error(err)
			}
		}
		set(1)
		synctest.Wait()
		for pos := range uint64(1000) {
			set(2 + pos)
		}
		if pos, err := h.Place("reader"); pos != 1001 || err != nil {
			t.Errorf("meanwhile it is %d, %v", pos, err)
		}
		flushed := make(chan struct{})
		go func() {
			defer close(flushed)
			e.disk.Flush(t.Context())
		}()
		synctest.Wait()
		close(goOn)
		<-flushed
		if err := e.disk.Close(); err != nil {
			t.Fatal(err)
		}
		if n := writes.Load(); n != 2 {
			t.Errorf("%d writes", n)
		}
		if pos, err := onDisk(t, dir, func(string) {}).Stream().History().Place("reader"); pos != 1001 || err != nil {
			t.Errorf("then it is %d, %v", pos, err)
		}
	})
}
