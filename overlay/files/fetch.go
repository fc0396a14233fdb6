package files

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"quicpeer/overlay/files/manifest"
	"quicpeer/overlay/messaging/store"
	"quicpeer/pb"
	"quicpeer/transport"
)

// fetchManifest asks for the manifest of another's offer, checks it, and keeps it.
func (t *transfer) fetchManifest(ctx context.Context, b *transport.Bulk) (*manifest.Manifest, error) {
	s, r, err := request(ctx, b, &pb.FileRequest{Offer: t.Message[:], Want: pb.FileWant_MANIFEST})
	if err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { s.Cancel(transport.CodeShutdown) })()
	defer s.Cancel(transport.CodeBye)
	var all bytes.Buffer
	piece := make([]byte, 64<<10)
	for all.Len() <= manifest.MaxEncoded {
		s.SetReadDeadline(time.Now().Add(stallPatience))
		n, err := r.Read(piece)
		all.Write(piece[:n])
		if errors.Is(err, io.EOF) {
			return t.keepManifest(all.Bytes())
		}
		if err != nil {
			return nil, explain(err)
		}
	}
	return nil, &fatal{"refused: its manifest is longer than a manifest may be"}
}

func (t *transfer) keepManifest(b []byte) (*manifest.Manifest, error) {
	if sha256.Sum256(b) != t.Offer.hash() {
		return nil, &fatal{"refused: its manifest is not the one that was offered"}
	}
	m, err := manifest.Decode(b)
	switch {
	case err != nil:
		return nil, &fatal{"refused: " + err.Error()}
	case m.Len() != t.Offer.Files || m.Size() != t.Offer.Size:
		return nil, &fatal{fmt.Sprintf("refused: it has %d files and directories of %d bytes, and %d of %d bytes were offered", m.Len(), m.Size(), t.Offer.Files, t.Offer.Size)}
	}
	if name := newOffer(m, "").Name; t.Offer.Name != name { // people have seen that, and perhaps no more
		return nil, &fatal{fmt.Sprintf("refused: it is %q, and %q was offered", name, t.Offer.Name)}
	}
	for i, name := range t.Offer.Names {
		if name != shown(m.Entry(i)) {
			return nil, &fatal{fmt.Sprintf("refused: it has %q, and %q was offered", shown(m.Entry(i)), name)}
		}
	}
	t.saving.Lock() // Names may have asked for it as well
	defer t.saving.Unlock()
	return m, store.ReplaceFile(t.path(manifestFile), b)
}
