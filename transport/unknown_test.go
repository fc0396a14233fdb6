package transport_test

import (
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"quicpeer/pb"
	"quicpeer/transport"
)

// unknown is a frame of about so many bytes that no version knows.
func unknown(size int) []byte {
	b := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 900)
	b = protowire.AppendBytes(protowire.AppendTag(b, 900, protowire.BytesType), make([]byte, size))
	return append(protowire.AppendVarint(nil, uint64(len(b))), b...)
}

// Frames that this version does not know are skipped, on all streams, and the frames
// around them arrive.
func TestUnknownFramesAreSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		a, b := w.endpoint("a"), w.endpoint("b")
		dialed, accepted := w.connect(a, b, "b")
		send(t, dialed, unknown(0), numbered(1, 10), unknown(100_000), unknown(10), numbered(2, 10))
		receive(t, accepted, numbered(1, 10), numbered(2, 10))
		stream, err := dialed.OpenStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		frames := append(append(unknown(10), message("hi")...), unknown(20_000)...)
		if err := errors.Join(stream.Write(frames), stream.CloseWrite()); err != nil {
			t.Fatal(err)
		}
		other, err := accepted.AcceptStream(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		m, err := other.Read(pb.MaxMessageFrame)
		_, end := other.Read(pb.MaxMessageFrame)
		if err != nil || m.GetMessage().GetContent() != "hi" || end != io.EOF {
			t.Errorf("on a message stream: %v, %v, %v", m, err, end)
		}
		// Any number of unknown frames may come if they come slowly.
		go func() {
			for range 200 { // 6 MB
				send(t, dialed, unknown(30_000))
				time.Sleep(time.Second)
			}
			send(t, dialed, numbered(3, 10))
		}()
		receive(t, accepted, numbered(3, 10))
	})
}

// A flood of unknown frames ends the link, whether of many or of large ones.
func TestUnknownFramesAreBounded(t *testing.T) {
	for size, most := range map[int]int{1: 4096, 100_000: 45} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 1)
			a, b := w.endpoint("a"), w.endpoint("b")
			dialed, accepted := w.connect(a, b, "b")
			sent := 0
			var flood sync.WaitGroup
			flood.Go(func() {
				for dialed.Err() == nil {
					if dialed.Queued() < 1<<20 {
						_ = dialed.Send(unknown(size)) // the link may be ending
						sent++
					}
					time.Sleep(time.Millisecond)
				}
			})
			_, err := accepted.Receive()
			if !errors.Is(err, pb.ErrMalformed) || !strings.Contains(err.Error(), "too many frames that are not known") {
				t.Errorf("Receive: %v", err)
			}
			<-dialed.Done()
			flood.Wait()
			var closed *transport.ClosedError
			if !errors.As(dialed.Err(), &closed) || closed.Code != transport.CodeProtocol {
				t.Errorf("the other side is told %v", dialed.Err())
			}
			if sent < most*9/10 || sent > 2*most {
				t.Errorf("%d frames of %d bytes were sent", sent, size)
			}
		})
	}
}
