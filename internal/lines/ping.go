package lines

import (
	"context"
)

// ping measures a round trip in the background, since that may take 10 s, while the lines behind it are
// executed.
func (l *Listener) ping(ctx context.Context, m Message) error {
	return l.background(ctx, m, func(m Message) error {
		p, problem := l.node.Ping(ctx, m.Ping)
		if problem != nil {
			return l.refuse(m, problem)
		}
		return l.front.Pinged(m, p)
	})
}
