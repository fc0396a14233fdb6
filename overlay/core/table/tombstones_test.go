package table

import (
	"fmt"
	"testing"

	"quicpeer/overlay/core/base"
)

// TestForgottenBound: the latest tombstones are kept.
func TestForgottenBound(t *testing.T) {
	var f Tombstones
	of := func(i, epoch uint64) *base.Record { return record(fmt.Sprint("p", i), i, epoch, 0) }
	for epoch := range uint64(10) {
		f.Add(of(0, epoch+1))
	}
	for i := range uint64(maxForgotten) - 1 {
		f.Add(of(i+1, 5))
	}
	if !f.Covers(of(0, 10)) || f.Covers(of(0, 11)) || f.Covers(of(1, 6)) || !f.Covers(of(maxForgotten-1, 5)) {
		t.Error("the last are not remembered")
	}
	f.Add(of(maxForgotten, 5))
	if f.Covers(of(0, 10)) || !f.Covers(of(1, 5)) || len(f.ring) != maxForgotten || len(f.epochs) != maxForgotten {
		t.Errorf("%d and %d are remembered", len(f.ring), len(f.epochs))
	}
}

// TestTombstoneOfAnEarlierRun: an earlier run that ends later does not bring the last one back.
func TestTombstoneOfAnEarlierRun(t *testing.T) {
	var f Tombstones
	for _, epoch := range []uint64{7, 5} {
		f.Add(record("a", 1, epoch, 0))
	}
	if f.Over("a", record("a", 1, 0, 0).Key) != 7 || !f.Covers(record("a", 1, 6, 0)) || f.Covers(record("a", 1, 8, 0)) || f.Covers(record("a", 2, 7, 0)) {
		t.Error("not the runs up to the last one are over")
	}
}
