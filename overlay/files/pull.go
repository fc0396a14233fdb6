package files

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"quicpeer/overlay"
	"quicpeer/overlay/files/journal"
	"quicpeer/overlay/files/manifest"
	"quicpeer/overlay/files/place"
	"quicpeer/pb"
	"quicpeer/transport"
)

// Times of a pull, guesses.
const (
	openPatience  = 20 * time.Second // for a connection to the sender
	stallPatience = time.Minute      // for the next bytes
	firstWait     = time.Second      // before the next attempt; then twice as long each time
	longestWait   = time.Minute
	upgradeEvery  = 2 * time.Second    // before the first look for a direct way; twice as long each time
	forgetAfter   = 7 * 24 * time.Hour // then a sender that is not here is not told any more that all has come
)

// checkpointEvery is how many bytes come before what has come is made safe against a power cut; while that is done, as
// many may come again. What a kill or a cut costs is less than twice that.
const checkpointEvery = 8 << 20

// errUpgrade: there is a direct way now.
var errUpgrade = errors.New("there is a direct connection now")

// puller brings the transfers of other peers that were accepted.
type puller struct {
	*book
	node   *overlay.Node
	down   *rate.Limiter
	active chan struct{} // holds a token for each pull that is under way
}

// pull brings a transfer of another peer.
type pull struct {
	*puller
	transfer *transfer
	manifest *manifest.Manifest
	place    *place.Place
	hashes   *journal.Hashes
	chunks   int64
	verified int64 // chunks
	safe     checkpoint
	moved    bool          // bytes have come in this attempt
	upgrade  time.Duration // after which a direct way is looked for: longer each time that there was none after all
}

// checkpoint makes what has come safe, beside the pull.
type checkpoint struct {
	running sync.WaitGroup
	began   int64 // chunks, of the last one
	err     error // of the last one
}

// start begins to bring a transfer, or to tell its sender that all has come. book.mu is held.
func (pr *puller) start(t *transfer) {
	if t.cancel != nil || pr.closed || t.State.Over() && (t.State != StateDone || t.Told) {
		return
	}
	ctx, cancel := context.WithCancelCause(pr.ctx)
	t.cancel, t.ended = cancel, make(chan struct{})
	pr.wg.Go(func() {
		p := &pull{puller: pr, transfer: t, upgrade: upgradeEvery}
		p.run(ctx)
		pr.mu.Lock()
		t.cancel = nil
		if t.State == StateActive {
			t.State = StateWaiting
		}
		close(t.ended)
		pr.mu.Unlock()
		cancel(nil)
	})
}

// run tries until all has come and the sender knows it, or it is sure that it will not.
func (p *pull) run(ctx context.Context) {
	t := p.transfer
	for wait := firstWait; ; wait = min(2*wait, longestWait) {
		p.moved = false
		err := p.attempt(ctx)
		p.release() // a waiting transfer holds nothing open, and then finds the disk as it is
		if err == nil || ctx.Err() != nil {
			return
		}
		if end, ok := errors.AsType[*fatal](err); ok {
			t.clear()
			t.fail(end.why)
			return
		}
		if errors.Is(err, errUpgrade) {
			wait = firstWait / 2
			p.upgrade = min(2*p.upgrade, longestWait)
			continue
		}
		if p.moved {
			wait = firstWait
		}
		p.waits(err)
		late := time.NewTimer(wait)
		select {
		case <-t.wake:
		case <-late.C:
		case <-ctx.Done():
		}
		late.Stop()
		p.mu.Lock()
		over := t.State == StateDone && time.Since(t.Ended) > forgetAfter
		p.mu.Unlock()
		if over || ctx.Err() != nil {
			return
		}
	}
}

// waits notes that it does not go on now, and why.
func (p *pull) waits(err error) {
	t := p.transfer
	why := err.Error()
	switch {
	case errors.Is(err, overlay.ErrUnknownPeer):
		why = fmt.Sprintf("%s is not here", t.From)
	case place.IsFull(err):
		why = "the disk is full"
	}
	p.mu.Lock()
	news := t.State != StateDone && t.waits != why
	if t.State != StateDone {
		t.State, t.Error, t.waits = StateWaiting, why, why
	}
	e := Waits{File: t.File, Peer: t.From, Name: t.Offer.Name, Reason: why, Ref: t.Ref}
	p.mu.Unlock()
	p.log.Info("a transfer waits", "file", t.File, "from", string(t.From), "error", err)
	if news {
		p.tell(e)
	}
}

// havePatience is how long a sender may take to answer that all has come (a guess); then it is told again.
const havePatience = 5 * time.Second

// attempt brings as much as one connection gives.
func (p *pull) attempt(ctx context.Context) error {
	t := p.transfer
	select {
	case p.active <- struct{}{}:
		defer func() { <-p.active }()
	case <-ctx.Done():
		return ctx.Err()
	}
	p.mu.Lock()
	done := t.State == StateDone
	p.mu.Unlock()
	if done {
		if err := p.tidy(); err != nil {
			return err
		}
	}
	here, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	p.mu.Lock()
	t.leave = leave
	p.mu.Unlock()
	b, err := p.openBulk(here, t)
	if err == nil {
		defer closeBulk(b)
		if !done {
			err = p.bring(here, b)
		}
	}
	p.mu.Lock()
	t.leave = nil
	p.mu.Unlock()
	if err != nil {
		_, isFatal := errors.AsType[*fatal](err)
		if cause := context.Cause(here); !isFatal && ctx.Err() == nil && cause != nil {
			err = cause // the sender has left
		}
		return err
	}
	// Close waits for this: a peer that runs for one transfer alone ends when that is done.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), havePatience)
	defer cancel()
	if _, err := ask(ctx, b, &pb.FileRequest{Offer: t.Message[:], Want: pb.FileWant_HAVE}, nil); err != nil {
		if _, ok := errors.AsType[*fatal](err); !ok {
			return err
		}
	}
	p.mu.Lock()
	t.Told = true
	p.mu.Unlock()
	t.keep()
	return nil
}

func (pr *puller) openBulk(ctx context.Context, t *transfer) (*transport.Bulk, error) {
	ctx, cancel := context.WithTimeout(ctx, openPatience)
	defer cancel()
	b, err := pr.node.OpenBulk(ctx, t.From, t.Key)
	if errors.Is(err, context.DeadlineExceeded) {
		err = errors.New("the sender does not answer")
	}
	return b, err
}

// bring brings the contents, and puts them at their place.
func (p *pull) bring(ctx context.Context, b *transport.Bulk) error {
	t := p.transfer
	if err := p.prepare(ctx, b); err != nil {
		return err
	}
	if !p.place.Finishing() {
		if err := p.data(ctx, b); err != nil {
			return err
		}
		if err := p.root(ctx, b); err != nil {
			return err
		}
	}
	paths, err := p.place.Finish()
	if err != nil {
		return err
	}
	p.mu.Lock()
	t.State, t.Error, t.Paths, t.Ended = StateDone, "", someOf(paths), time.Now()
	e := Done{File: t.File, Peer: t.From, Name: t.Offer.Name, Bytes: t.Offer.Size, Path: paths[0], Paths: paths, Ref: t.Ref}
	p.mu.Unlock()
	if err := t.save(); err != nil { // a restart would bring it again, if the parts were gone
		p.mu.Lock()
		t.State, t.Paths, t.Ended = StateWaiting, nil, time.Time{}
		p.mu.Unlock()
		return err
	}
	if err := p.place.Remove(); err != nil {
		p.log.Warn("the directory of the parts can't be removed", "file", t.File, "error", err)
	}
	p.place = nil
	p.release()
	t.over()
	p.tell(e)
	return nil
}

// maxPathBytes is how many bytes of the paths of what has come are remembered: a record holds them. A guess.
const maxPathBytes = 256 << 10

// someOf are the first paths, as many as are remembered.
func someOf(paths []string) []string {
	bytes := 0
	for i, path := range paths {
		if bytes += len(path); bytes > maxPathBytes {
			return slices.Clone(paths[:max(i, 1)])
		}
	}
	return paths
}

// tidy removes what a crash just before the end has left.
func (p *pull) tidy() error {
	t := p.transfer
	m, err := t.readManifest()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	left, err := place.Open(t.Dir, t.part(), m)
	if err != nil {
		return err
	}
	if left.Finishing() {
		_, err = left.Finish()
	}
	if err != nil {
		return errors.Join(err, left.Close())
	}
	err = left.Remove()
	if err == nil {
		t.erase(manifestFile, sumsFile)
	}
	return err
}

// prepare finds out what is to come, what has come already, and whether there is room for the rest.
func (p *pull) prepare(ctx context.Context, b *transport.Bulk) error {
	if err := p.open(ctx, b); err != nil {
		return err
	}
	if p.place.Finishing() {
		return nil
	}
	return hasRoom(p.transfer.Dir, p.manifest.Size()-p.offset())
}

func (p *pull) open(ctx context.Context, b *transport.Bulk) error {
	t := p.transfer
	m, err := t.readManifest()
	if errors.Is(err, fs.ErrNotExist) {
		m, err = t.fetchManifest(ctx, b)
	}
	if err != nil {
		return err
	}
	p.manifest, p.chunks = m, (m.Size()+pb.FileChunk-1)/pb.FileChunk
	if p.hashes, err = journal.OpenHashes(t.path(sumsFile), p.chunks); err != nil {
		return err
	}
	if p.place, err = place.Open(t.Dir, t.part(), m); err != nil || p.place.Finishing() {
		return err
	}
	return p.verify(ctx)
}

func (p *pull) offset() int64 { return min(p.verified*pb.FileChunk, p.manifest.Size()) }

// verify finds how far the parts are what the hashes say. Chunks behind the last checkpoint are read again,
// and before it the first and the last one: parts that are not there any more come anew.
func (p *pull) verify(ctx context.Context) error {
	safe := p.hashes.Verified()
	for _, i := range []int64{0, safe - 1} {
		if safe == 0 {
			break
		}
		good, err := p.isGood(i)
		if err != nil {
			return err
		}
		if !good {
			p.log.Warn("what had come of a transfer is not there any more", "file", p.transfer.File, "dir", p.transfer.Dir)
			if err := p.hashes.Checkpoint(0); err != nil {
				return err
			}
			safe = 0
		}
	}
	for p.verified = safe; p.verified < p.chunks; p.verified++ {
		good, err := p.isGood(p.verified)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if !good {
			break
		}
	}
	p.place.Touch(safe*pb.FileChunk, (p.verified-safe)*pb.FileChunk) // a kill came before it was made safe
	p.safe.began = p.verified
	p.shows(0)
	return nil
}

// isGood says whether a chunk is what its hash says.
func (p *pull) isGood(i int64) (bool, error) {
	want, ok, err := p.hashes.Get(i)
	if err != nil || !ok {
		return false, err
	}
	b := make([]byte, min(pb.FileChunk, p.manifest.Size()-i*pb.FileChunk))
	if err := p.place.ReadAt(b, i*pb.FileChunk); err != nil {
		p.log.Debug("a chunk can't be read", "chunk", i, "error", err)
		return false, nil
	}
	return sha256.Sum256(b) == want, nil
}

// shows notes how far it is.
func (p *pull) shows(bytes int) {
	t, now := p.transfer, time.Now()
	p.mu.Lock()
	t.bytes = p.offset()
	due := false
	if bytes > 0 {
		t.State, t.Error, t.waits = StateActive, "", ""
		t.meter.add(int64(bytes), now)
		if due = now.Sub(t.shown) >= progressEvery && t.meter.perSecond(now) > 0; due {
			t.shown = now
		}
	}
	e := Progress{
		File: t.File, Peer: t.From, Name: t.Offer.Name, Bytes: t.bytes, Of: t.Offer.Size, Rate: t.meter.perSecond(now),
		Left: t.meter.left(t.Offer.Size-t.bytes, now), How: t.how(), Ref: t.Ref,
	}
	p.mu.Unlock()
	if due {
		p.tell(e)
	}
}

// data brings the contents from the first chunk that lacks. While one is verified and written, the next comes.
func (p *pull) data(ctx context.Context, b *transport.Bulk) (err error) {
	t := p.transfer
	if p.verified == p.chunks {
		return nil
	}
	p.mu.Lock()
	t.State, t.Relayed = StateActive, b.Carried()
	p.mu.Unlock()
	defer func() {
		if end := p.rest(); err == nil {
			err = end
		}
	}()
	s, r, err := request(ctx, b, &pb.FileRequest{Offer: t.Message[:], Want: pb.FileWant_DATA, Offset: uint64(p.offset())})
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { s.Cancel(transport.CodeShutdown) })()
	defer s.Cancel(transport.CodeBye)
	free, came := make(chan *chunk, 3), make(chan *chunk)
	for range cap(free) {
		free <- &chunk{room: make([]byte, pb.FileChunk+sha256.Size)}
	}
	stop := make(chan struct{})
	var reading sync.WaitGroup
	defer reading.Wait()
	defer close(stop)
	from := p.verified
	reading.Go(func() {
		defer close(came)
		looked := time.Now()
		for i := from; i < p.chunks; i++ {
			var c *chunk
			select {
			case c = <-free:
			case <-stop:
				return
			}
			c.bytes = c.room[:min(pb.FileChunk, p.manifest.Size()-i*pb.FileChunk)]
			c.err = p.read(ctx, s, r, c.room[:len(c.bytes)+sha256.Size])
			p.counts.received.Add(int64(len(c.bytes)))
			c.sum = [sha256.Size]byte(c.room[len(c.bytes):])
			if c.err == nil && b.Carried() && time.Since(looked) > p.upgrade {
				looked = time.Now()
				if p.node.IsDirect(t.From, t.Key) {
					c.err = errUpgrade
				}
			}
			select {
			case came <- c:
			case <-stop:
				return
			}
			if c.err != nil {
				return
			}
		}
	})
	for c := range came {
		if c.err != nil {
			s.Cancel(transport.CodeBye)
			return c.err
		}
		if err := p.take(ctx, c); err != nil {
			s.Cancel(transport.CodeBye)
			return err
		}
		free <- c
	}
	return ctx.Err()
}

// take verifies a chunk and writes it.
func (p *pull) take(ctx context.Context, c *chunk) error {
	p.node.GiveWay(ctx)
	if sha256.Sum256(c.bytes) != c.sum {
		return errors.New("a chunk is not what its hash says")
	}
	if err := p.place.WriteAt(c.bytes, p.offset()); err != nil {
		return err
	}
	if err := p.hashes.Set(p.verified, c.sum); err != nil {
		return err
	}
	p.verified++
	p.moved = true
	p.shows(len(c.bytes))
	if (p.verified-p.safe.began)*pb.FileChunk < checkpointEvery {
		return nil
	}
	p.safe.running.Wait() // until the one before has ended
	if p.safe.err != nil {
		return p.safe.err
	}
	if free, err := place.Free(p.transfer.Dir); err == nil && free < spareRoom && p.verified < p.chunks {
		return fmt.Errorf("%w: %s has %d MiB left", ErrNoRoom, p.transfer.Dir, free>>20)
	}
	p.safe.began = p.verified
	n := p.verified
	p.safe.running.Go(func() {
		if p.safe.err = p.place.Sync(); p.safe.err == nil {
			p.safe.err = p.hashes.Checkpoint(n)
		}
	})
	return nil
}

// rest makes all that has come safe.
func (p *pull) rest() error {
	p.safe.running.Wait()
	err := p.safe.err
	p.safe.err = nil
	if err == nil && p.hashes.Verified() < p.verified {
		if err = p.place.Sync(); err == nil {
			err = p.hashes.Checkpoint(p.verified)
		}
	}
	if err != nil { // what was written may be lost, though it can be read: it comes again
		lost := p.verified
		p.verified = p.hashes.Verified()
		for i := p.verified; i < lost; i++ {
			if err := p.hashes.Set(i, [sha256.Size]byte{}); err != nil {
				p.log.Warn("the hash of a chunk can't be removed", "file", p.transfer.File, "error", err)
			}
		}
		p.safe.began = p.verified
		p.shows(0)
	}
	return err
}

// root asks the sender whether what has come is what it has sent.
func (p *pull) root(ctx context.Context, b *transport.Bulk) error {
	root, missing, err := p.hashes.Root(p.manifest.Hash())
	switch {
	case err != nil:
		return err
	case missing >= 0:
		return fmt.Errorf("the hash of chunk %d is missing", missing)
	}
	_, err = ask(ctx, b, &pb.FileRequest{Offer: p.transfer.Message[:], Want: pb.FileWant_ROOT, Root: root[:]}, nil)
	return err
}

func (p *pull) release() {
	p.manifest = nil
	if p.place != nil {
		if err := p.place.Close(); err != nil {
			p.log.Warn("the parts of a transfer can't be closed", "error", err)
		}
		p.place = nil
	}
	if p.hashes != nil {
		if err := p.hashes.Close(); err != nil {
			p.log.Warn("the hashes of a transfer can't be closed", "error", err)
		}
		p.hashes = nil
	}
}

// read fills b as fast as the limit of downloads allows. It ends when nothing has come for stallPatience.
func (pr *puller) read(ctx context.Context, s *transport.BulkStream, r *bufio.Reader, b []byte) error {
	for len(b) > 0 {
		pr.node.GiveWay(ctx)
		s.SetReadDeadline(time.Now().Add(stallPatience))
		n, err := r.Read(b[:min(len(b), rateBurst/4)])
		b = b[n:]
		if err != nil && (len(b) > 0 || !errors.Is(err, io.EOF)) {
			return explain(err)
		}
		if err := pr.down.WaitN(ctx, n); err != nil {
			return err
		}
	}
	return nil
}

// askManifest asks the sender of an offer for its manifest.
func (pr *puller) askManifest(ctx context.Context, t *transfer) (*manifest.Manifest, error) {
	b, err := pr.openBulk(ctx, t)
	if err != nil {
		return nil, err
	}
	defer closeBulk(b)
	m, err := t.fetchManifest(ctx, b)
	if end, ok := errors.AsType[*fatal](err); ok {
		t.expire(StateFailed, end.why) // of one that was accepted meanwhile, the pull finds it out
	}
	return m, err
}
