package files

import (
	"context"
	"errors"
	"fmt"
	"time"

	"quicpeer/overlay"
)

// tellPatience is how long a message that withdraws an offer may wait for room (a guess).
const tellPatience = 5 * time.Second

// Cancel withdraws an offer of ours, or declines another one's, also one that is under way: what has come of it is
// removed. The other side learns it if it is here. Errors: ErrUnknownFile; ErrOver, also if it came to its end meanwhile;
// and, of an offer of ours that is withdrawn, that the receivers could not be told.
func (f *Files) Cancel(file int) (Transfer, error) {
	t, err := f.find(file)
	if err != nil {
		return Transfer{}, err
	}
	f.mu.Lock()
	over, ours, message, to := t.State.Over(), t.Ours, t.Message, t.To
	f.mu.Unlock()
	switch {
	case over:
		return Transfer{}, ErrOver
	case ours:
		t.finish(StateCancelled, "withdrawn")
		if err := f.node.Cancel(message); err != nil { // it is on its way, or has come
			ctx, cancel := context.WithTimeout(f.ctx, tellPatience)
			defer cancel()
			_, err = f.node.Post(ctx, to, overlay.Draft{Kind: overlay.KindDelete, About: message})
			if err != nil && !errors.Is(err, overlay.ErrClosed) {
				return t.snapshot(), fmt.Errorf("the receivers could not be told: %w", err)
			}
		}
	default:
		if !f.drop(t, "declined") {
			return Transfer{}, ErrOver
		}
		f.decline(t)
	}
	return t.snapshot(), nil
}
