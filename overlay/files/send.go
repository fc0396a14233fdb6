package files

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay"
	"quicpeer/overlay/files/manifest"
	"quicpeer/overlay/messaging/store"
	"quicpeer/pb"
)

// maxSourceBytes is how much the named paths of an offer may take in its record, in bytes. A guess.
const maxSourceBytes = 384 << 10

// locations are where the paths of a source are.
func (s Source) locations() (all []location, err error) {
	bytes := 0
	for _, path := range s.Paths {
		l, err := locate(path)
		if err != nil {
			return nil, err
		}
		all = append(all, l)
		if bytes += len(l.Dir) + len(l.Name) + len(`{"dir":"","name":""},`); bytes > maxSourceBytes {
			return nil, errors.New("too many paths are named: send the directory that they are in, or fewer at a time")
		}
	}
	switch n := len(s.Paths) + len(s.Names); {
	case n == 0:
		return nil, errors.New("no file is named")
	case (s.FS == nil) != (len(s.Names) == 0) || s.FS != nil && s.Paths != nil:
		return nil, errors.New("a source has either paths, or names in a file system")
	case s.As != "" && n > 1:
		return nil, errors.New("only one file can be given another name")
	case len(s.Note) > maxNote:
		return nil, fmt.Errorf("a note has at most %d bytes", maxNote)
	}
	return all, nil
}

// location is a path of the operating system: a name in a directory.
type location struct {
	Dir  string `json:"dir"` // absolute
	Name string `json:"name"`
}

// locate finds what a path is: a link that it names is followed.
func locate(path string) (p location, err error) {
	path, err = filepath.Abs(path)
	if err != nil {
		return p, err
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return p, err
	}
	if real == filepath.Dir(real) {
		return p, fmt.Errorf("%s can't be sent as a whole", path)
	}
	return location{filepath.Dir(real), filepath.Base(real)}, nil
}

// Offer offers files to a peer, a room or Everyone; ref comes back in its events. It walks the directories, and returns
// when the offer was sent: the event Offered has what was skipped. Errors: those of [overlay.Node.Post], of the paths, and
// ErrManyOffers.
func (f *Files) Offer(ctx context.Context, to certs.ID, s Source, ref string) (Transfer, error) {
	sources, err := s.locations()
	if err != nil {
		return Transfer{}, err
	}
	t := newTransfer(f.book)
	t.record = record{
		Ours: true, From: f.node.ID(), Key: f.node.Key(), To: to, Since: time.Now(), State: StateOffered, Ref: ref,
		Sources: sources, Temporary: s.Temporary, Volatile: s.FS != nil,
	}
	for _, name := range s.Names {
		t.roots = append(t.roots, manifest.Root{FS: s.FS, Name: name, As: s.As})
	}
	skipped, err := t.build(ctx, s.As)
	if err != nil {
		return Transfer{}, err
	}
	body, err := t.describe(s.Note)
	if err != nil {
		return Transfer{}, err
	}
	if err := f.book.add(t); err != nil {
		return Transfer{}, err
	}
	f.mu.Lock()
	t.using++
	f.mu.Unlock()
	err = f.begin(ctx, t, body)
	f.server.leaveManifest(t)
	if err != nil {
		f.book.remove(t)
		return Transfer{}, err
	}
	who, err := f.node.Whois(to) // of a room, everyone, or a peer that was never met it says nothing
	f.mu.Lock()
	t.Relayed = t.Relayed || err == nil && who.How == overlay.HowRelayed
	f.mu.Unlock()
	now := t.snapshot()
	f.book.tell(Offered{
		File: now.File, Message: now.Message, From: now.From, To: to, Name: now.Name, Size: now.Size, Files: now.Files, Names: now.Names, Note: now.Note,
		Path: now.How, Skipped: skippedOf(skipped), Ref: ref,
	})
	return now, nil
}

// build makes the manifest of an offer of ours.
func (t *transfer) build(ctx context.Context, as string) ([]manifest.Skipped, error) {
	roots := t.roots
	dirs := directories{}
	defer dirs.closeAll()
	for _, l := range t.Sources {
		root, err := dirs.fsOf(l.Dir)
		if err != nil {
			return nil, err
		}
		roots = append(roots, manifest.Root{FS: root, Name: l.Name, As: as})
	}
	m, skipped, err := manifest.Build(ctx, roots)
	t.manifest = m
	return skipped, err
}

// maxSkipped is how many skipped things an event names.
const maxSkipped = 100

func skippedOf(skipped []manifest.Skipped) (all []Skipped) {
	for _, s := range skipped[:min(len(skipped), maxSkipped)] {
		all = append(all, Skipped{s.Path, s.Why})
	}
	return all
}

// describe makes the offer, and the body of its message.
func (t *transfer) describe(note string) (body []byte, err error) {
	t.Offer = newOffer(t.manifest, note)
	if body, err = json.Marshal(t.Offer); err == nil && len(body) > pb.MaxOffer { // names that JSON makes six times as long
		t.Offer.Names = nil
		body, err = json.Marshal(t.Offer)
	}
	return body, err
}

// begin stores an offer of ours and sends it.
func (f *Files) begin(ctx context.Context, t *transfer, body []byte) error {
	own, err := t.manifest.EncodeOwn()
	if err != nil {
		return err
	}
	if err := store.ReplaceFile(t.path(manifestFile), own); err != nil {
		return err
	}
	if err := t.save(); err != nil { // without it the receiver would ask for what nobody knows
		return err
	}
	id, err := f.node.Post(ctx, t.To, overlay.Draft{Body: string(body), Kind: overlay.KindFile, Ref: t.Ref})
	if err != nil {
		return err
	}
	f.book.named(t, id)
	return t.save()
}
