package files

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"quicpeer/certs"
	"quicpeer/overlay"
	"quicpeer/overlay/files/manifest"
	"quicpeer/pb"
	"quicpeer/transport"
)

// Bounds of serving, guesses.
const (
	requestPatience = 10 * time.Second // for a request on a stream
	servePatience   = time.Minute      // for a receiver that takes nothing
	idlePatience    = 30 * time.Second // for the next stream; then a connection is closed
)

// server answers those who ask for offers of this peer.
type server struct {
	*book
	node   *overlay.Node
	up     *rate.Limiter
	serves map[certs.PublicKey]int // streams with contents, by the receiver; guarded by mu
}

// admit says whether one more stream is served for a receiver; then dismiss is called at its end.
func (srv *server) admit(key certs.PublicKey) bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	all := 0
	for _, n := range srv.serves {
		all += n
	}
	if all >= maxServed || srv.serves[key] >= maxServedOne {
		return false
	}
	srv.serves[key]++
	return true
}

func (srv *server) dismiss(key certs.PublicKey) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if srv.serves[key]--; srv.serves[key] == 0 {
		delete(srv.serves, key)
	}
}

// serve takes the connections of those who ask for offers of ours.
func (srv *server) serve() {
	for {
		from, b, err := srv.node.AcceptBulk(srv.ctx)
		if err != nil {
			return // the node or the files have ended
		}
		srv.wg.Go(func() { srv.serveBulk(from, b) })
	}
}

// serveBulk answers on the streams of a connection until it is idle.
func (srv *server) serveBulk(from certs.ID, b *transport.Bulk) {
	defer b.Close(transport.CodeIdle, "not needed")
	var streams sync.WaitGroup
	defer streams.Wait()
	ctx, cancel := context.WithCancel(srv.ctx)
	defer cancel()
	var use usage
	for {
		next, done := context.WithTimeout(ctx, idlePatience)
		s, err := b.AcceptStream(next)
		idle := err != nil && next.Err() != nil && ctx.Err() == nil
		done()
		if idle && !use.isIdle(time.Now()) {
			continue
		}
		if err != nil {
			return
		}
		use.enters()
		streams.Go(func() {
			defer use.quits()
			srv.answer(ctx, asker{from, b.Peer(), b.Carried()}, s)
		})
	}
}

// usage knows how a connection is used. What a stream has written may be under way when the stream has ended, and closing
// the connection would throw it away: so that lasts idlePatience.
type usage struct {
	mu      sync.Mutex
	streams int
	ended   time.Time // the last one
}

func (u *usage) enters() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.streams++
}

func (u *usage) quits() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.streams--
	u.ended = time.Now()
}

func (u *usage) isIdle(now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.streams == 0 && now.Sub(u.ended) >= idlePatience
}

// asker is who asks for an offer.
type asker struct {
	id      certs.ID
	key     certs.PublicKey
	carried bool
}

// answer answers a request.
func (srv *server) answer(ctx context.Context, from asker, s *transport.BulkStream) {
	defer context.AfterFunc(ctx, func() { s.Cancel(transport.CodeShutdown) })()
	s.SetReadDeadline(time.Now().Add(requestPatience))
	r, err := pb.ReadFileRequest(bufio.NewReaderSize(s, 1<<10))
	if err != nil {
		srv.log.Debug("a request for files can't be read", "from", string(from.id), "error", err)
		s.Cancel(transport.CodeProtocol)
		return
	}
	o := serving{server: srv, asker: from, stream: s, request: r}
	if err := o.serve(ctx); err != nil {
		code := transport.CodeUnreadable
		switch {
		case errors.Is(err, errChanged):
			code = transport.CodeChanged
		case errors.Is(err, errWithdrawn):
			code = transport.CodeWithdrawn
		case errors.Is(err, errUnwelcome):
			code = transport.CodeRefused
		}
		s.Cancel(code)
		return
	}
	_ = s.CloseWrite() // an error is the end of the connection
}

// errWithdrawn: the offer does not stand any more.
var errWithdrawn = errors.New("the offer was withdrawn")

// errUnwelcome: the receiver was ignored, or has left or was removed from the network, since it made the connection.
var errUnwelcome = errors.New("the receiver is not here, or is ignored")

// serving is a request and its answer.
type serving struct {
	*server
	asker    asker
	stream   *transport.BulkStream
	request  *pb.FileRequest
	transfer *transfer
	manifest *manifest.Manifest
	moved    bool // contents were sent
}

func (o *serving) serve(ctx context.Context) error {
	if !o.node.Welcomes(o.asker.key) {
		return errUnwelcome
	}
	code := o.lookUp()
	if code != pb.FileCode_GIVEN {
		return o.say(&pb.FileAnswer{Code: code})
	}
	switch o.request.GetWant() {
	case pb.FileWant_DECLINED:
		o.ends(StateCancelled)
		return o.say(&pb.FileAnswer{Code: pb.FileCode_GIVEN})
	case pb.FileWant_HAVE:
		o.ends(StateDone)
		return o.say(&pb.FileAnswer{Code: pb.FileCode_GIVEN})
	}
	if !o.admit(o.asker.key) { // what follows reads and holds much
		return o.say(&pb.FileAnswer{Code: pb.FileCode_LATER})
	}
	defer o.dismiss(o.asker.key)
	var err error
	defer o.leaveManifest(o.transfer)
	if o.manifest, err = o.useManifest(o.transfer); err != nil {
		o.log.Warn("what was offered can't be read", "file", o.transfer.File, "error", err)
		return o.say(&pb.FileAnswer{Code: pb.FileCode_SOURCE_UNREADABLE})
	}
	switch o.request.GetWant() {
	case pb.FileWant_MANIFEST:
		b := o.manifest.Encode()
		if err := o.say(&pb.FileAnswer{Code: pb.FileCode_GIVEN, Size: uint64(len(b))}); err != nil {
			return err
		}
		return o.write(ctx, b)
	case pb.FileWant_DATA:
		return o.data(ctx)
	case pb.FileWant_ROOT:
		return o.root(ctx)
	}
	return o.say(&pb.FileAnswer{Code: pb.FileCode_LATER})
}

// lookUp finds the offer that is asked for, and says whether the one that asks may have it: the ID of a message is known
// to those alone that it went to.
func (o *serving) lookUp() pb.FileCode {
	o.mu.Lock()
	defer o.mu.Unlock()
	t := o.byMessage[offerKey{o.key, overlay.MessageID(o.request.GetOffer())}]
	if t == nil && o.sends() { // it may be the one whose message is just being sent
		return pb.FileCode_LATER
	}
	if t == nil || !t.Ours || !isWide(t.To) && t.To != o.asker.id {
		return pb.FileCode_NO_OFFER
	}
	o.transfer = t
	r := t.receiverOf(o.asker)
	switch {
	case r == nil:
		return pb.FileCode_LATER
	case t.State == StateCancelled:
		return pb.FileCode_OFFER_WITHDRAWN
	case t.State == StateFailed:
		return pb.FileCode_SOURCE_CHANGED
	case t.State == StateDone && o.request.GetWant() != pb.FileWant_HAVE && o.request.GetWant() != pb.FileWant_DECLINED:
		return pb.FileCode_NO_OFFER // what it was made of may be gone
	}
	return pb.FileCode_GIVEN
}

// say writes the answer.
func (o *serving) say(a *pb.FileAnswer) error {
	b, err := pb.AppendFile(nil, a)
	if err != nil {
		return err
	}
	o.stream.SetDeadline(time.Now().Add(servePatience))
	_, err = o.stream.Write(b)
	return err
}

// write writes bytes as fast as the limit of uploads and the receiver allow.
func (o *serving) write(ctx context.Context, b []byte) error {
	piece := rateBurst / 4
	if limit := o.up.Limit(); limit < maxServed*rate.Limit(piece) {
		piece = int(limit / maxServed) // each of those who share it gets something each second
	}
	for len(b) > 0 {
		n := min(len(b), piece)
		if err := o.up.WaitN(ctx, n); err != nil {
			return err
		}
		o.node.GiveWay(ctx)
		o.stream.SetDeadline(time.Now().Add(servePatience))
		if _, err := o.stream.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// chunk is one that was read, with its hash.
type chunk struct {
	room  []byte // of a whole one
	bytes []byte
	sum   [sha256.Size]byte
	err   error
}

// data serves the contents from the offset on. The next chunk is read and hashed while one is written.
func (o *serving) data(ctx context.Context) error {
	t := o.transfer
	from := int64(o.request.GetOffset()) / pb.FileChunk
	chunks := (o.manifest.Size() + pb.FileChunk - 1) / pb.FileChunk
	if from > chunks {
		return o.say(&pb.FileAnswer{Code: pb.FileCode_MISMATCH, Reason: "there is nothing behind the end"})
	}
	sums, err := t.openSums(chunks)
	if errors.Is(err, errWithdrawn) {
		return err
	}
	if err != nil {
		o.log.Warn("hashes of a transfer can't be kept", "file", t.File, "error", err)
		return o.say(&pb.FileAnswer{Code: pb.FileCode_SOURCE_UNREADABLE})
	}
	src, err := t.openSource(o.manifest)
	if err != nil {
		o.log.Warn("what was offered can't be opened", "file", t.File, "error", err)
		return o.say(&pb.FileAnswer{Code: pb.FileCode_SOURCE_UNREADABLE, Reason: "what was offered is not there now"})
	}
	if err := o.say(&pb.FileAnswer{Code: pb.FileCode_GIVEN, Size: uint64(o.manifest.Size())}); err != nil {
		src.release()
		return err
	}
	o.begins(from * pb.FileChunk)
	defer o.pauses()
	ctx, cancel := context.WithCancel(ctx)
	free, read := make(chan *chunk, 2), make(chan *chunk)
	for range cap(free) {
		free <- &chunk{room: make([]byte, pb.FileChunk)}
	}
	var reading sync.WaitGroup
	defer reading.Wait()
	defer cancel()
	reading.Go(func() {
		defer close(read)
		defer src.release()
		for i := from; i < chunks; i++ {
			if !src.next(ctx, i, sums, free, read) {
				return
			}
		}
	})
	for c := range read {
		if c.err != nil {
			o.fails(c.err)
			return c.err
		}
		if !o.node.Welcomes(o.asker.key) {
			return errUnwelcome
		}
		if err := o.write(ctx, c.bytes); err != nil {
			return err
		}
		if err := o.write(ctx, c.sum[:]); err != nil {
			return err
		}
		o.counts.sent.Add(int64(len(c.bytes)))
		if !o.gets(len(c.bytes)) {
			return errWithdrawn
		}
		free <- c
	}
	return ctx.Err()
}

// next reads a chunk into free room and hands it over; false: it was the last one.
func (s *source) next(ctx context.Context, i int64, sums *sums, free <-chan *chunk, read chan<- *chunk) bool {
	var c *chunk
	select {
	case c = <-free:
	case <-ctx.Done():
		return false
	}
	if c.bytes, c.err = s.chunk(i, c.room); c.err == nil {
		s.counts.read.Add(int64(len(c.bytes)))
		c.sum = sha256.Sum256(c.bytes)
		c.err = sums.note(i, c.sum)
	}
	select {
	case read <- c:
		return c.err == nil
	case <-ctx.Done():
		return false
	}
}

// root says whether the receiver has what was sent. Hashes that a power cut has taken are made again.
func (o *serving) root(ctx context.Context) error {
	t := o.transfer
	chunks := (o.manifest.Size() + pb.FileChunk - 1) / pb.FileChunk
	sums, err := t.openSums(chunks)
	if errors.Is(err, errWithdrawn) {
		return err
	}
	if err != nil {
		return o.say(&pb.FileAnswer{Code: pb.FileCode_SOURCE_UNREADABLE})
	}
	root, err := sums.root(ctx, o.manifest.Hash(), chunks, o.hashAgain)
	switch {
	case errors.Is(err, errChanged):
		o.fails(err)
		return o.say(&pb.FileAnswer{Code: pb.FileCode_SOURCE_CHANGED})
	case err != nil:
		o.fails(err)
		return o.say(&pb.FileAnswer{Code: pb.FileCode_SOURCE_UNREADABLE})
	case !bytes.Equal(root[:], o.request.GetRoot()):
		return o.say(&pb.FileAnswer{Code: pb.FileCode_MISMATCH})
	}
	return o.say(&pb.FileAnswer{Code: pb.FileCode_GIVEN})
}

func (o *serving) hashAgain(i int64) (sum [sha256.Size]byte, err error) {
	src, err := o.transfer.openSource(o.manifest)
	if err != nil {
		return sum, err
	}
	defer src.release()
	b, err := src.chunk(i, make([]byte, pb.FileChunk))
	return sha256.Sum256(b), err
}

// useManifest returns the manifest of an offer of ours, which stays in memory until as many calls of leaveManifest.
func (srv *server) useManifest(t *transfer) (*manifest.Manifest, error) {
	srv.mu.Lock()
	t.using++
	m := t.manifest
	srv.mu.Unlock()
	if m != nil {
		return m, nil
	}
	m, err := t.readManifest()
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if err == nil {
		t.manifest = m
	}
	return m, err
}

func (srv *server) leaveManifest(t *transfer) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if t.using--; t.using == 0 {
		t.manifest = nil
	}
}
