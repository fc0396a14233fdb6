package transport_test

import (
	"bytes"
	"context"
	"hash/crc64"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	"quicpeer/certs"
	"quicpeer/pb"
	"quicpeer/transport"
	"quicpeer/transport/simtest"
)

// TestMain runs Go code on one processor: more crash the race detector in bubbles with
// many timers (https://go.dev/issue/78156, seen with Go 1.26).
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	goleak.VerifyTestMain(m)
}

// latency is the one-way latency of the tests' networks: 40 ms round trip.
const latency = 20 * time.Millisecond

// world is a simulated network with endpoints, made in a bubble.
type world struct {
	*simtest.Network
	t    *testing.T
	log  *logBuffer
	ends []*transport.Endpoint
	door *certs.Door // of all endpoints and hop peers
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{Network: simtest.New(seed, latency), t: t, log: new(logBuffer)}
	t.Cleanup(func() {
		for _, e := range w.ends {
			e.Close()
		}
		w.Close()
	})
	return w
}

// endpoint starts the node of this name; its name is also its identity.
func (w *world) endpoint(name string) *transport.Endpoint {
	w.t.Helper()
	e, err := transport.NewEndpoint(w.config(name, w.Node(name)))
	if err != nil {
		w.t.Fatal(err)
	}
	w.ends = append(w.ends, e)
	return e
}

func (w *world) config(name string, conn net.PacketConn) transport.Config {
	return transport.Config{
		Conn:     conn,
		Identity: identity(name),
		Door:     w.door,
		ResetKey: [32]byte([]byte(strings.Repeat(name, 32)[:32])),
		Tag:      tag(name),
		Log:      slog.New(slog.NewTextHandler(w.log, nil)),
	}
}

// dial connects to the endpoint of the name to, and says hello.
func (w *world) dial(from *transport.Endpoint, to string) *transport.Link {
	w.t.Helper()
	l, err := from.Dial(w.t.Context(), w.Addr(to), identity(to).Key())
	if err != nil {
		w.t.Fatalf("dialling %s: %v", to, err)
	}
	send(w.t, l, hello)
	return l
}

// connect makes a link between two endpoints and returns both its ends, after
// the dialer's hello.
func (w *world) connect(from, to *transport.Endpoint, name string) (dialed, accepted *transport.Link) {
	w.t.Helper()
	dialed = w.dial(from, name)
	accepted = accept(w.t, to)
	receive(w.t, accepted, hello)
	return dialed, accepted
}

func identity(name string) *certs.Identity {
	return certs.NewIdentity([]byte(strings.Repeat(name+" ", 32)[:32]))
}

// tag is the name of an endpoint to those who carry its packets.
func tag(name string) transport.Tag {
	return transport.Tag(crc64.Checksum([]byte(name), crc64.MakeTable(crc64.ISO)))
}

var hello = frame(&pb.Neighbour{Type: pb.NeighbourType_REQUEST})

func frame(content proto.Message) []byte {
	b, err := pb.Append(nil, pb.Wrap(content))
	if err != nil {
		panic(err)
	}
	return b
}

// numbered is a control frame of some size that can be told from the others.
func numbered(i, size int) []byte {
	payload := append([]byte{byte(i >> 8), byte(i)}, make([]byte, size)...)
	return frame(&pb.Broadcast{Content: &pb.Signed{Payload: payload, Signature: make([]byte, 64)}})
}

// message is a frame for message streams.
func message(content string) []byte {
	return frame(&pb.Message{Id: make([]byte, 16), Sender: "a", Receiver: "b", Content: content})
}

func send(t *testing.T, l *transport.Link, frames ...[]byte) {
	t.Helper()
	for _, f := range frames {
		if err := l.Send(f); err != nil {
			t.Fatalf("Send: %v", err)
		}
	}
}

func accept(t *testing.T, e *transport.Endpoint) *transport.Link {
	t.Helper()
	l, err := e.Accept(t.Context())
	if err != nil {
		t.Fatalf("Accept: %v", err)
	}
	l.Admit()
	return l
}

// receive fails unless exactly these frames come next.
func receive(t *testing.T, l *transport.Link, want ...[]byte) {
	t.Helper()
	for i, w := range want {
		m, err := l.Receive()
		if err != nil {
			t.Fatalf("frame %d: Receive: %v (%v)", i, err, l.Err())
		}
		if got, _ := pb.Append(nil, m); !bytes.Equal(got, w) {
			t.Fatalf("frame %d: got %d bytes, not the %d expected", i, len(got), len(w))
		}
	}
}

func receiveBye(t *testing.T, l *transport.Link) {
	t.Helper()
	if m, err := l.Receive(); err != io.EOF {
		t.Fatalf("got %v and error %v, not the goodbye", m, err)
	}
}

// within fails unless the channel is closed in this (virtual) time.
func within(t *testing.T, d time.Duration, what string, done <-chan struct{}) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	select {
	case <-done:
	case <-ctx.Done():
		t.Fatalf("%s: not within %v", what, d)
	}
}

// logBuffer collects a log. The zero value is ready.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// loopback starts an endpoint on a real socket.
func loopback(t *testing.T, name string) *transport.Endpoint {
	t.Helper()
	conn, err := transport.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return endpointOn(t, conn, name)
}

func endpointOn(t *testing.T, conn net.PacketConn, name string) *transport.Endpoint {
	t.Helper()
	e, err := transport.NewEndpoint(transport.Config{Conn: conn, Identity: identity(name)})
	if err != nil {
		t.Fatal(err)
	}
	return e
}
