package lines

import (
	"context"
	"slices"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay/files"
)

// Files is the part of a [files.Files] that lines use.
type Files interface {
	Offer(ctx context.Context, to certs.ID, s files.Source, ref string) (files.Transfer, error)
	Accept(file int, dir, ref string) (files.Transfer, error)
	Cancel(file int) (files.Transfer, error)
	Transfers() []files.Transfer
	Names(ctx context.Context, file int) ([]string, error)
}

// Offer is files that a line offers.
type Offer struct {
	To     certs.ID // a peer, a room or Everyone; empty: nothing is offered
	Source files.Source
}

// offer offers files in the background, since that walks directories. What becomes of it is told by events.
func (l *Listener) offer(ctx context.Context, m Message) error {
	if slices.Contains(m.Offer.Source.Paths, "") || len(m.Offer.Source.Paths) == 0 { // it would be the directory that we run in
		return l.refuse(m, Bad("the path of what is sent is missing"))
	}
	return l.background(ctx, m, func(m Message) error {
		_, problem := l.node.Files().Offer(ctx, m.Offer.To, m.Offer.Source, m.Ref)
		return l.refuse(m, problem)
	})
}

// namesPatience is how long a peer may take to say the names of what it offers, a guess.
const namesPatience = 30 * time.Second

// names asks for all names of a transfer in the background: another peer may have to say them.
func (l *Listener) names(ctx context.Context, m Message) error {
	return l.background(ctx, m, func(m Message) error {
		t, problem := AllNames(ctx, l.node.Files(), m.Names)
		if problem != nil {
			return l.refuse(m, problem)
		}
		return l.front.Named(m, t)
	})
}

// AllNames is a transfer with all of its names.
func AllNames(ctx context.Context, f Files, file int) (files.Transfer, error) {
	soon, cancel := context.WithTimeout(ctx, namesPatience)
	defer cancel()
	names, err := f.Names(soon, file)
	if err != nil {
		return files.Transfer{}, err
	}
	list := f.Transfers()
	i := slices.IndexFunc(list, func(t files.Transfer) bool { return t.File == file })
	if i < 0 { // it is over and was forgotten meanwhile
		return files.Transfer{}, files.ErrUnknownFile
	}
	list[i].Names = names
	return list[i], nil
}
