package control

import (
	"context"

	"quicpeer/certs"
	"quicpeer/internal/lines"
	"quicpeer/overlay/files"
)

// filesOf are the files of the peer, which notes what the request waits for.
type filesOf struct {
	lines.Files
	e *exchange
}

// Files are those of the peer.
func (e *exchange) Files() lines.Files { return filesOf{e.Service.Files(), e} }

// Offer offers files. For one peer it is settled when that has them, does not want them, or can't get them.
func (f filesOf) Offer(ctx context.Context, to certs.ID, s files.Source, ref string) (t files.Transfer, err error) {
	f.e.calls()
	t, err = f.Files.Offer(ctx, to, s, ref)
	f.e.mu.Lock()
	defer f.e.mu.Unlock()
	f.e.sending--
	if err == nil {
		o := &offer{message: t.Message, file: t.File, untilAccepted: f.e.untilSent || !isDirect(to)}
		f.e.offers[subject{message: t.Message}], f.e.offers[subject{file: t.File}] = o, o
		f.e.open[subject{file: t.File}] = true
	}
	f.e.touch()
	return t, err
}

// Accept takes an offer. It is settled when the files are there, or will not come.
func (f filesOf) Accept(file int, dir, ref string) (files.Transfer, error) {
	key := subject{file: file}
	f.e.mu.Lock()
	before := f.e.open[key]
	if !f.e.untilSent {
		f.e.open[key] = true
	}
	f.e.mu.Unlock()
	t, err := f.Files.Accept(file, dir, ref)
	if err != nil && !before {
		f.e.mu.Lock()
		defer f.e.mu.Unlock()
		delete(f.e.open, key)
		f.e.touch()
	}
	return t, err
}
