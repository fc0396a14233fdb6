package files

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"quicpeer/overlay"
	"quicpeer/overlay/files/manifest"
	"quicpeer/pb"
	"quicpeer/transport"
)

// liar is a sender that answers as a test wants.
type liar struct {
	*peer
	manifest []byte // what it gives for the manifest
	bytes    []byte // the contents
	data     func(s *transport.BulkStream, offset int64)
	root     pb.FileCode // its answer to ROOT
	silent   bool        // it answers nothing
}

// lie has mallory offer one file of two chunks to bob, as a test has changed it, and bob accept it.
func lie(t *testing.T, w *world, change func(l *liar, o *Offer)) (l *liar, bob *peer, got Offered) {
	t.Helper()
	bob = w.start(Config{}, "bob")
	l = &liar{peer: w.start(Config{}, "mallory", "bob"), root: pb.FileCode_GIVEN}
	_ = l.Files.Close() // it answers by itself
	await(bob, time.Minute, func(e overlay.PeerJoined) bool { return e.ID == "mallory" })
	l.bytes = random(1, pb.FileChunk+1000)
	m, _, err := manifest.Build(t.Context(), []manifest.Root{{FS: fstest.MapFS{"f": {Data: l.bytes, Mode: 0o644}}, Name: "f"}})
	if err != nil {
		t.Fatal(err)
	}
	l.manifest = m.Encode()
	o := newOffer(m, "")
	change(l, &o)
	body, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.n.Post(t.Context(), "bob", overlay.Draft{Kind: overlay.KindFile, Body: string(body)}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			_, b, err := l.n.AcceptBulk(ctx)
			if err != nil {
				return
			}
			go func() {
				for {
					s, err := b.AcceptStream(ctx)
					if err != nil {
						return
					}
					go l.answer(s)
				}
			}()
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	got = await(bob, time.Minute, always[Offered])
	if _, err := bob.Accept(got.File, "", ""); err != nil {
		t.Fatal(err)
	}
	return l, bob, got
}

func (l *liar) answer(s *transport.BulkStream) {
	q, err := pb.ReadFileRequest(bufio.NewReader(s))
	if err != nil {
		s.Cancel(transport.CodeProtocol)
		return
	}
	if l.silent {
		return
	}
	code := pb.FileCode_GIVEN
	if q.GetWant() == pb.FileWant_ROOT {
		code = l.root
	}
	say(s, &pb.FileAnswer{Code: code})
	switch q.GetWant() {
	case pb.FileWant_MANIFEST:
		_, _ = s.Write(l.manifest)
	case pb.FileWant_DATA:
		if l.data != nil {
			l.data(s, int64(q.GetOffset()))
			return
		}
		l.give(s, int64(q.GetOffset()))
	}
	_ = s.CloseWrite()
}

// give gives the contents with right hashes.
func (l *liar) give(s *transport.BulkStream, offset int64) {
	for at := int(offset); at < len(l.bytes); at += pb.FileChunk {
		c := l.bytes[at:min(len(l.bytes), at+pb.FileChunk)]
		sum := sha256.Sum256(c)
		_, _ = s.Write(c)
		_, _ = s.Write(sum[:])
	}
}

func say(s *transport.BulkStream, a *pb.FileAnswer) {
	b, _ := pb.AppendFile(nil, a)
	_, _ = s.Write(b)
}

// entry is an encoded manifest with one entry of that path.
func encodedEntry(path string, size byte) []byte {
	e := append([]byte{0x0a, byte(len(path))}, path...)
	e = append(e, 0x18, size)
	return append([]byte{0x0a, byte(len(e))}, e...)
}

// A sender that lies is found out, with a reason, and nothing of it is left.
func TestLyingSender(t *testing.T) {
	for name, c := range map[string]struct {
		change func(l *liar, o *Offer)
		why    string // of the end
	}{
		"another manifest":    {func(l *liar, o *Offer) { l.manifest = append([]byte(nil), l.manifest...); l.manifest[3] ^= 1 }, "not the one that was offered"},
		"no manifest":         {func(l *liar, o *Offer) { l.manifest = nil }, "not the one that was offered"},
		"a huge manifest":     {func(l *liar, o *Offer) { l.manifest = make([]byte, manifest.MaxEncoded+1<<20) }, "longer than a manifest"},
		"another size":        {func(l *liar, o *Offer) { o.Size++ }, "were offered"},
		"another count":       {func(l *liar, o *Offer) { o.Files++ }, "were offered"},
		"another title":       {func(l *liar, o *Offer) { o.Name, o.Names = "holiday.jpg", nil }, `"holiday.jpg" was offered`},
		"another name":        {func(l *liar, o *Offer) { o.Names = []string{"g"} }, `"g" was offered`},
		"a climbing path":     {func(l *liar, o *Offer) { l.offers(o, encodedEntry("../x", 5)) }, `"../x"`},
		"an absolute path":    {func(l *liar, o *Offer) { l.offers(o, encodedEntry("/x", 5)) }, `"/x"`},
		"a name for a device": {func(l *liar, o *Offer) { l.offers(o, encodedEntry("aux.txt", 5)) }, `"aux.txt"`},
		"control characters":  {func(l *liar, o *Offer) { l.offers(o, encodedEntry("a\x1b[2Jb", 5)) }, "a"},
		"a drive of Windows":  {func(l *liar, o *Offer) { l.offers(o, encodedEntry("c:x", 5)) }, `"c:x"`},
		"a part of our own":   {func(l *liar, o *Offer) { l.offers(o, encodedEntry(".quicpeer-part-1", 5)) }, "part"},
		"another root":        {func(l *liar, o *Offer) { l.root = pb.FileCode_MISMATCH }, "changed"},
		"withdrawn": {func(l *liar, o *Offer) {
			l.data = func(s *transport.BulkStream, _ int64) { s.Cancel(transport.CodeWithdrawn) }
		}, "withdrawn"},
		"changed": {func(l *liar, o *Offer) {
			l.data = func(s *transport.BulkStream, _ int64) { s.Cancel(transport.CodeChanged) }
		}, "changed"},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				_, bob, _ := lie(t, w, c.change)
				e := await(bob, time.Hour, always[Ended])
				if !strings.Contains(e.Error, c.why) {
					t.Errorf("it ends with %q", e.Error)
				}
				if left := w.list(w.dir("bob", "in")); len(left) != 1 {
					t.Errorf("left: %v", left)
				}
			})
		})
	}
}

// offers puts another manifest into an offer.
func (l *liar) offers(o *Offer, encoded []byte) {
	l.manifest = encoded
	sum := sha256.Sum256(encoded)
	o.Manifest = hex.EncodeToString(sum[:])
	o.Size, o.Files, o.Names = 5, 1, nil
}

// What a sender only may do for a while is tried again, and nothing wrong is ever written.
func TestStubbornSender(t *testing.T) {
	var tries atomic.Int32
	for name, data := range map[string]func(l *liar, s *transport.BulkStream, offset int64){
		"a wrong hash": func(l *liar, s *transport.BulkStream, offset int64) {
			_, _ = s.Write(make([]byte, len(l.bytes)+64))
			_ = s.CloseWrite()
		},
		"too little": func(l *liar, s *transport.BulkStream, offset int64) {
			_, _ = s.Write(l.bytes[:100])
			_ = s.CloseWrite()
		},
		"nothing":    func(l *liar, s *transport.BulkStream, offset int64) {},
		"unreadable": func(l *liar, s *transport.BulkStream, offset int64) { s.Cancel(transport.CodeUnreadable) },
		"busy":       func(l *liar, s *transport.BulkStream, offset int64) { s.Cancel(transport.CodeInternal) },
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				tries.Store(0)
				l, bob, got := lie(t, w, func(l *liar, o *Offer) {
					l.data = func(s *transport.BulkStream, offset int64) {
						if tries.Add(1) < 3 {
							data(l, s, offset)
							return
						}
						l.give(s, offset)
						_ = s.CloseWrite()
					}
				})
				await(bob, time.Hour, func(e Waits) bool { return e.File == got.File })
				done := await(bob, time.Hour, always[Done])
				w.tree(w.dir("want"), map[string][]byte{"f": l.bytes})
				if b := w.list(w.dir("bob", "in"))["f"]; b == "" || done.Bytes != int64(len(l.bytes)) {
					t.Errorf("done: %+v", done)
				}
			})
		})
	}
}

// A receiver gets what it was offered, and nothing else, whatever it asks.
func TestHostileReceiver(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		alice, bob := w.pair(Config{}, Config{})
		mallory := w.start(Config{}, "mallory", "alice")
		await(alice, time.Minute, func(e overlay.PeerJoined) bool { return e.ID == "mallory" })
		await(mallory, time.Minute, func(e overlay.PeerJoined) bool { return e.ID == "alice" })
		src := w.dir("alice", "out")
		w.tree(src, map[string][]byte{"f": random(1, 2<<20)})
		sent, got := offer(t, alice, bob, src+"/f")
		asks := func(p *peer, q *pb.FileRequest) error {
			b, err := p.n.OpenBulk(t.Context(), "alice", alice.n.Key())
			if err != nil {
				t.Fatal(err)
			}
			defer closeBulk(b)
			_, err = ask(t.Context(), b, q, make([]byte, 100))
			return err
		}
		id := sent.Message[:]
		for name, q := range map[string]*pb.FileRequest{
			"another's offer":     {Offer: id, Want: pb.FileWant_DATA},
			"another's manifest":  {Offer: id, Want: pb.FileWant_MANIFEST},
			"says that it has it": {Offer: id, Want: pb.FileWant_HAVE},
			"declines for bob":    {Offer: id, Want: pb.FileWant_DECLINED},
		} {
			if err := asks(mallory, q); err == nil || !strings.Contains(err.Error(), "does not know") {
				t.Errorf("%s: %v", name, err)
			}
		}
		for name, q := range map[string]*pb.FileRequest{
			"no such offer":  {Offer: make([]byte, 16), Want: pb.FileWant_DATA},
			"behind the end": {Offer: id, Want: pb.FileWant_DATA, Offset: 1 << 40},
			"a crooked one":  {Offer: id, Want: pb.FileWant_DATA, Offset: 5},
			"a wrong root":   {Offer: id, Want: pb.FileWant_ROOT, Root: make([]byte, 32)},
			"no root":        {Offer: id, Want: pb.FileWant_ROOT},
			"an unknown one": {Offer: id, Want: 77},
			"a short ID":     {Offer: id[:5], Want: pb.FileWant_DATA},
		} {
			if err := asks(bob, q); err == nil {
				t.Errorf("%s is given", name)
			}
		}
		b, err := bob.n.OpenBulk(t.Context(), "alice", alice.n.Key())
		if err != nil {
			t.Fatal(err)
		}
		for range 20 { // streams on which nothing is said, or garbage
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			s, err := b.OpenStream(ctx)
			cancel()
			if err != nil {
				break
			}
			_, _ = s.Write([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xffgarbage"))
		}
		closeBulk(b)
		if _, err := bob.Accept(got.File, "", ""); err != nil {
			t.Fatal(err)
		}
		await(bob, time.Hour, always[Done])
		w.same(src, w.dir("bob", "in"))
	})
}

// A sender that says nothing does not hold up the end, of the transfer or of all.
func TestSilentSender(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		_, bob, got := lie(t, w, func(l *liar, o *Offer) { l.silent = true })
		time.Sleep(2 * time.Second)
		began := time.Now()
		if _, err := bob.Cancel(got.File); err != nil {
			t.Error(err)
		}
		if passed := time.Since(began); passed > time.Second {
			t.Errorf("it has taken %v", passed)
		}
	})
}
