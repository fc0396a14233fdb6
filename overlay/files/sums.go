package files

import (
	"context"
	"crypto/sha256"
	"sync"

	"quicpeer/overlay/files/journal"
)

// sums are the hashes of the chunks of an offer of ours that were served.
type sums struct {
	mu     sync.Mutex // of the file
	hashes *journal.Hashes
}

// openSums opens them; they stay open until the transfer is over, or the files are closed.
func (t *transfer) openSums(chunks int64) (*sums, error) {
	t.saving.Lock()
	defer t.saving.Unlock()
	if t.sums != nil {
		return t.sums, nil
	}
	t.mu.Lock()
	over := t.State.Over()
	t.mu.Unlock()
	if over { // and its files are removed, or about to be
		return nil, errWithdrawn
	}
	h, err := journal.OpenHashes(t.path(sumsFile), chunks)
	if err != nil {
		return nil, err
	}
	t.sums = &sums{hashes: h}
	return t.sums, nil
}

func (t *transfer) closeSums() error {
	t.saving.Lock()
	defer t.saving.Unlock()
	if t.sums == nil {
		return nil
	}
	s := t.sums
	t.sums = nil
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hashes.Close()
}

// note remembers the hash of a chunk that is about to be served; another one than before is errChanged.
func (s *sums) note(i int64, sum [sha256.Size]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, ok, err := s.hashes.Get(i)
	switch {
	case err != nil:
		return err
	case !ok:
		return s.hashes.Set(i, sum)
	case before != sum:
		return errChanged
	}
	return nil
}

// root is that of all chunks; again makes the hash of one that is missing.
func (s *sums) root(ctx context.Context, manifest [sha256.Size]byte, chunks int64, again func(int64) ([sha256.Size]byte, error)) (root [sha256.Size]byte, err error) {
	all := sha256.New()
	all.Write(manifest[:])
	for i := range chunks {
		sum, ok, err := s.get(i)
		if err == nil && !ok {
			if err = ctx.Err(); err == nil {
				sum, err = again(i)
			}
			if err == nil {
				err = s.note(i, sum)
			}
		}
		if err != nil {
			return root, err
		}
		all.Write(sum[:])
	}
	return [sha256.Size]byte(all.Sum(nil)), nil
}

func (s *sums) get(i int64) (sum [sha256.Size]byte, ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hashes.Get(i)
}
