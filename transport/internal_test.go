package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"

	"quicpeer/certs"
	"quicpeer/pb"
	"quicpeer/transport/simtest"
)

func TestQueue(t *testing.T) {
	var q queue
	q.init(new(atomic.Int64))
	if err := errors.Join(q.put([]byte("one")), q.put([]byte("two"))); err != nil {
		t.Fatal(err)
	}
	taken, how := q.take(nil)
	if string(taken) != "onetwo" || how != nil {
		t.Fatalf("took %q, %v", taken, how)
	}
	// Frames that are taken and not yet written still count.
	if err := q.put(make([]byte, maxQueued-5)); err != ErrQueueFull {
		t.Errorf("above the limit: %v", err)
	}
	if err := q.put(make([]byte, maxQueued-6)); err != nil {
		t.Errorf("up to the limit: %v", err)
	}
	if err := q.put([]byte("x")); err != ErrQueueFull {
		t.Errorf("full: %v", err)
	}
	big, _ := q.take(taken)
	if err := q.put([]byte("three")); err != nil {
		t.Errorf("with place again: %v", err)
	}
	if taken, _ = q.take(big); string(taken) != "three" {
		t.Errorf("took %q", taken)
	}
	if q.take(taken); q.size != 0 || cap(q.frames) > maxSpare {
		t.Errorf("an empty queue has size %d and holds %d bytes", q.size, cap(q.frames))
	}
}

// Frames of SendLast are written when nothing else waits, a part at a time, in their order.
func TestQueueLast(t *testing.T) {
	var q queue
	q.init(new(atomic.Int64))
	large := make([]byte, lastPart)
	for _, frame := range [][]byte{[]byte("l1"), []byte("l2"), large, []byte("l3")} {
		if err := q.putLast(frame); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.put([]byte("first")); err != nil {
		t.Fatal(err)
	}
	var taken []byte
	for i, want := range []string{"first", "l1l2", string(large), "l3", ""} {
		taken, _ = q.take(taken)
		if string(taken) != want {
			t.Fatalf("took %d bytes, not %d", len(taken), len(want))
		}
		if i == 1 { // frames that come meanwhile go before the rest
			_ = q.put([]byte("between"))
			if taken, _ = q.take(taken); string(taken) != "between" {
				t.Errorf("took %d bytes", len(taken))
			}
		}
	}
	if q.size != 0 || q.last != nil {
		t.Errorf("an empty queue has size %d and holds %d frames", q.size, len(q.last))
	}
	if err := q.putLast(make([]byte, maxQueued+1)); err != ErrQueueFull {
		t.Errorf("above the limit: %v", err)
	}
}

func TestQueueEnds(t *testing.T) {
	bye := ending{code: CodeBye, goodbye: true, deadline: time.Now()}
	abort := ending{code: CodeSlow}
	other := ending{code: CodeInternal}
	for _, c := range []struct {
		name string
		ends []ending
		want ending
	}{
		{"goodbye", []ending{bye}, bye},
		{"abort", []ending{abort}, abort},
		{"the first abort counts", []ending{abort, other}, abort},
		{"a goodbye can be aborted", []ending{bye, abort, other}, abort},
		{"no goodbye after an abort", []ending{abort, bye}, abort},
	} {
		var q queue
		q.init(new(atomic.Int64))
		for _, how := range c.ends {
			q.end(how)
		}
		if got := q.how(); *got != c.want {
			t.Errorf("%s: %+v", c.name, *got)
		}
		if err := q.put(nil); err != net.ErrClosed {
			t.Errorf("%s: put: %v", c.name, err)
		}
	}
}

func TestPassing(t *testing.T) {
	wrap := func(err error) error {
		return &net.OpError{Op: "write", Err: os.NewSyscallError("sendmsg", err)}
	}
	for _, errno := range passingErrors {
		if !passing(wrap(errno)) {
			t.Errorf("%v is not passing", errno)
		}
	}
	for _, err := range []error{nil, net.ErrClosed, wrap(syscall.EMSGSIZE), wrap(syscall.EIO), wrap(syscall.EBADF)} {
		if passing(err) {
			t.Errorf("%v is passing", err)
		}
	}
}

func TestExplain(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{&quic.ApplicationError{Remote: true, ErrorCode: 3}, "closed by the peer: duplicate link"},
		{&quic.ApplicationError{ErrorCode: 99, ErrorMessage: "a\x1b[2Jb\nc"}, "closed here: code 99: a?[2Jb?c"},
		{&quic.StreamError{Remote: true, ErrorCode: 2}, "stream cancelled by the peer: refused"},
		{&quic.StreamError{ErrorCode: 2}, "stream cancelled here: refused"},
		{&quic.IdleTimeoutError{}, "the peer is silent for 15s"},
		{&quic.HandshakeTimeoutError{}, "no answer"},
		{&quic.StatelessResetError{}, "the peer has restarted"},
		{&quic.VersionNegotiationError{}, "the other side does not speak quicpeer/1: it has another version of QUIC"},
		{&quic.TransportError{Remote: true, ErrorCode: quic.ConnectionRefused}, ErrRefused.Error()},
		{&quic.TransportError{Remote: true, ErrorCode: 0x178}, "the other side does not speak quicpeer, or is a private network that this peer has no ticket for"},
		{&quic.TransportError{ErrorCode: 0x178}, "the other side does not speak quicpeer/1"},
		{certs.ErrOutside, "the other side is not in the private network of this peer"},
		{&quic.TransportError{Remote: true, ErrorCode: 0x128, ErrorMessage: "No common ALPN protocols"}, "the other side does not speak quicpeer/1: CRYPTO_ERROR 0x128 (remote): No common ALPN protocols"},
		{&quic.TransportError{Remote: true, ErrorCode: 0x12a}, "the peer does not accept our key (it may be its own, or it expects another peer)"},
		{&quic.TransportError{ErrorCode: quic.StreamLimitError}, "STREAM_LIMIT_ERROR (local)"},
		{quic.ErrTransportClosed, "use of closed network connection"},
	} {
		if got := explain(fmt.Errorf("wrapped: %w", c.err)); got.Error() != c.want {
			t.Errorf("%v becomes %q, want %q", c.err, got, c.want)
		}
		if got := errors.Is(explain(c.err), ErrProtocol); got != (strings.HasPrefix(c.want, "the other side does not speak quicpeer") || c.want == ErrOtherNetwork.Error()) {
			t.Errorf("%v is ErrProtocol: %v", c.err, got)
		}
	}
	if explain(nil) != nil {
		t.Error("no error becomes one")
	}
	if got := printable(strings.Repeat("ä", 200)); len(got) != pb.MaxReason {
		t.Errorf("a long text is cut to %d bytes", len(got))
	}
}

func TestHost(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"10.0.0.1", "10.0.0.1", true},
		{"10.0.0.1", "10.0.0.2", false},
		{"2001:db8::1", "2001:db8::2", true},
		{"2001:db8::1", "2001:db8:0:1::1", false},
		{"fe80::1%eth0", "fe80::1%eth1", true},
	} {
		if same := host(netip.MustParseAddr(c.a)) == host(netip.MustParseAddr(c.b)); same != c.same {
			t.Errorf("%s and %s: the same is %v", c.a, c.b, same)
		}
	}
}

// The gate's limits depend on the strangers that are in, and each one that leaves makes room.
func TestGate(t *testing.T) {
	var log strings.Builder
	var g gate
	welcomed := 0
	g.init(slog.New(slog.NewTextHandler(&log, nil)), outerLimits(), func(strangers int) { welcomed = strangers })
	end := map[int]context.CancelCauseFunc{}
	enter := func(host, port int) bool {
		ctx, cancel := context.WithCancelCause(context.Background())
		addr := &net.UDPAddr{IP: net.IPv4(10, 0, 0, byte(host)), Port: port}
		if _, err := g.enter(ctx, &quic.ClientInfo{RemoteAddr: addr}); err != nil {
			cancel(nil)
			return false
		}
		end[port] = cancel
		return true
	}
	for port := range maxHalfOpen + 10 {
		if in, want := enter(port/maxHalfOpenPerHost, port), port < maxHalfOpen; in != want {
			t.Fatalf("number %d: %v", port, in)
		}
		if port == doubtfulHalfOpen-2 && g.doubts(nil) || port == doubtfulHalfOpen-1 && !g.doubts(nil) {
			t.Errorf("after number %d the gate has the wrong doubts", port)
		}
	}
	if welcomed != maxHalfOpen {
		t.Errorf("%d of %d strangers are welcome", welcomed, maxHalfOpen)
	}
	end[0](errors.New("the handshake failed"))
	end[maxHalfOpenPerHost](errors.New("the handshake failed"))
	for g.inside() != maxHalfOpen-2 { // the gate learns of it a moment later
		runtime.Gosched()
	}
	if enter(200, 1000); !enter(0, 1001) || enter(201, 1002) {
		t.Error("two have left, and not two can enter")
	}
	end[1000](nil)
	for g.inside() != maxHalfOpen-1 {
		runtime.Gosched()
	}
	if enter(0, 1003) {
		t.Error("a host that is full can enter")
	}
	g.await()
	if g.inside() != maxHalfOpen-1 { // those that quic-go has dropped without a word
		t.Errorf("%d are inside", g.inside())
	}
	for _, want := range []string{"too many connections on their way in", "10.0.0.0:0", "the handshake failed"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, log.String())
		}
	}
}

// Goroutines take connections as many as quic-go needs them, and end when it does no more.
func TestAcceptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := simtest.New(1, time.Millisecond)
		defer net.Close()
		e, err := NewEndpoint(Config{Conn: net.Node("a"), Identity: certs.NewIdentity(make([]byte, 32))})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		expect := func(want int) {
			t.Helper()
			e.mu.Lock()
			defer e.mu.Unlock()
			if e.acceptors != want {
				t.Errorf("%d acceptors, not %d", e.acceptors, want)
			}
		}
		expect(1)
		e.welcome(acceptQueue + 1)
		expect(1)
		e.welcome(maxHalfOpen)
		expect(maxHalfOpen - acceptQueue)
		time.Sleep(2*acceptorIdle + time.Millisecond)
		expect(1)
	})
}

// A caller that waits for a queue to drain is released when it has drained, or when the link
// has ended.
func TestDrained(t *testing.T) {
	q := new(queue)
	q.init(new(atomic.Int64))
	isDrained := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	for range 3 {
		_ = q.put(make([]byte, 100))
	}
	if !isDrained(q.drained(300)) {
		t.Error("300 bytes are not above 300")
	}
	some, all := q.drained(150), q.drained(0)
	taken, _ := q.take(nil)
	if isDrained(some) || isDrained(all) {
		t.Error("what is taken is not written yet")
	}
	_ = q.put(make([]byte, 100))
	taken, _ = q.take(taken)
	if !isDrained(some) || isDrained(all) {
		t.Error("100 bytes wait")
	}
	if q.take(taken); !isDrained(all) {
		t.Error("nothing waits")
	}
	_ = q.put(make([]byte, 100))
	_ = q.putLast(make([]byte, 100))
	for range 100 {
		all = q.drained(0)
	}
	if len(q.drains) != 1 {
		t.Errorf("%d limits are waited for, of one", len(q.drains))
	}
	if q.finish(ending{}); !isDrained(all) || q.length() != 0 || !isDrained(q.drained(0)) {
		t.Error("something waits on a link that has ended")
	}
	if q.put(nil) == nil {
		t.Error("a link that has ended takes a frame")
	}
}

// TestWelcome: strangers that come while the endpoint is being made wait in quic-go's queue, since
// there is nothing yet to take them with.
func TestWelcome(t *testing.T) {
	e := new(Endpoint)
	if e.welcome(2 * acceptQueue); e.acceptors != 0 {
		t.Errorf("%d goroutines take connections of an endpoint that is not ready", e.acceptors)
	}
}
