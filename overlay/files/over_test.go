package files

import (
	"errors"
	"testing"

	"quicpeer/certs"
	"quicpeer/overlay"
)

// Two transfers never share a part directory, not even if one sender takes the ID of the other one's message.
func TestPart(t *testing.T) {
	seen := map[string]bool{}
	for _, own := range []certs.PublicKey{{1}, {2}} {
		for _, sender := range []certs.PublicKey{{3}, {4}} {
			for _, message := range []overlay.MessageID{{5}, {6}} {
				tr := newTransfer(&book{key: own})
				tr.Key, tr.Message = sender, message
				if seen[tr.part()] {
					t.Errorf("%s twice", tr.part())
				}
				seen[tr.part()] = true
			}
		}
	}
}

// A disk is never filled by what a transfer begins with.
func TestRoomFor(t *testing.T) {
	for bytes, want := range map[int64]int64{0: 0, 1: 1 + spareRoom, 100 << 30: 105 << 30} {
		if got := roomFor(bytes); got != want {
			t.Errorf("%d bytes need %d, not %d", bytes, got, want)
		}
	}
	if roomFor(1<<62) < 0 {
		t.Error("it overflows")
	}
}

// A stream that begins as the offer ends leaves nothing on the disk.
func TestNoSumsOfWhatIsOver(t *testing.T) {
	tr := newTransfer(&book{dir: t.TempDir()})
	tr.State = StateCancelled
	if _, err := tr.openSums(5); !errors.Is(err, errWithdrawn) {
		t.Errorf("%v", err)
	}
}
