package metrics

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener in memory, so that slow clients take no time.
type pipes struct {
	dialled  chan net.Conn
	accepted atomic.Int32
	closed   chan struct{}
}

func newPipes() *pipes { return &pipes{dialled: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.dialled:
		p.accepted.Add(1)
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// dial connects, or waits until the test ends.
func (p *pipes) dial() net.Conn {
	ours, theirs := net.Pipe()
	go func() {
		select {
		case p.dialled <- theirs:
		case <-p.closed:
		}
	}()
	return ours
}

// onPipes runs a test with a port in memory.
func onPipes(t *testing.T, test func(t *testing.T, p *pipes)) {
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		port := &Port{listener: p}
		port.Serve(new(fake), nil)
		defer port.Close()
		test(t, p)
	})
}

// ask writes a request and returns the answer's status; 0: the connection was closed.
func ask(t *testing.T, c net.Conn, request string) int {
	t.Helper()
	go func() { _, _ = io.WriteString(c, request) }() // it may not be read to its end
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, r.Body)
	_ = r.Body.Close()
	return r.StatusCode
}

// TestPort: strangers get /metrics, and nothing else.
func TestPort(t *testing.T) {
	onPipes(t, func(t *testing.T, p *pipes) {
		for request, want := range map[string]int{
			"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n":                                                     200,
			"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc":                            405,
			"GET / HTTP/1.1\r\nHost: x\r\n\r\n":                                                            404,
			"GET /debug/pprof/ HTTP/1.1\r\nHost: x\r\n\r\n":                                                404,
			"GET /metrics/.. HTTP/1.1\r\nHost: x\r\n\r\n":                                                  307, // to /, which is not there
			"GET /metrics HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 2*maxHeaderBytes) + "\r\n\r\n": 431,
			"GET /" + strings.Repeat("x", 2*maxHeaderBytes) + " HTTP/1.1\r\nHost: x\r\n\r\n":               431,
			"nonsense\r\n\r\n": 400,
		} {
			c := p.dial()
			if status := ask(t, c, request); status != want {
				t.Errorf("%.60q is answered with %d, want %d", request, status, want)
			}
			_ = c.Close()
		}
	})
}

// TestSlowHeaders: a client that sends its request a byte a second is cut off.
func TestSlowHeaders(t *testing.T) {
	onPipes(t, func(t *testing.T, p *pipes) {
		c := p.dial()
		defer c.Close()
		go func() { _, _ = io.Copy(io.Discard, c) }() // the answer, if one comes
		began := time.Now()
		for _, b := range []byte("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n") {
			if _, err := c.Write([]byte{b}); err != nil {
				if took := time.Since(began); took > headerTimeout+time.Second {
					t.Errorf("it was cut off after %v", took)
				}
				return
			}
			time.Sleep(time.Second)
		}
		t.Error("it was served")
	})
}

// TestSlowReader: a client that takes no answer is cut off.
func TestSlowReader(t *testing.T) {
	onPipes(t, func(t *testing.T, p *pipes) {
		c := p.dial()
		defer c.Close()
		if _, err := io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * requestTimeout)
		if _, err := io.ReadAll(c); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Error(err)
		}
		if _, err := c.Write([]byte("x")); err == nil {
			t.Error("the connection is still open")
		}
	})
}

// TestManyConnections: so many are served at once, and others wait until those are gone.
func TestManyConnections(t *testing.T) {
	onPipes(t, func(t *testing.T, p *pipes) {
		var list []net.Conn
		for range 5 * maxConnections {
			list = append(list, p.dial())
		}
		synctest.Wait()
		if n := p.accepted.Load(); n != maxConnections {
			t.Errorf("%d connections are accepted, want %d", n, maxConnections)
		}
		for _, c := range list {
			_ = c.Close()
		}
		time.Sleep(headerTimeout) // for those that were not accepted
		c := p.dial()
		defer c.Close()
		if status := ask(t, c, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"); status != 200 {
			t.Errorf("after all have gone: %d", status)
		}
	})
}

// TestListen: a port on the system, one that is in use, and none.
func TestListen(t *testing.T) {
	p, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.Serve(new(fake), nil)
	defer p.Close()
	if _, err := Listen(p.Addr().String()); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a port in use: %v", err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get("http://" + p.Addr().String() + "/metrics")
	if err != nil || r.StatusCode != 200 {
		t.Fatal(r, err)
	}
	_ = r.Body.Close()
	unserved, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	unserved.Close()
	var none *Port
	none.Serve(nil, nil)
	none.Close()
}
