package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// memory is a listener whose connections hold nothing: each write waits for a read.
type memory struct {
	conns  chan net.Conn
	closed chan struct{}
	close  func()
}

func (m *memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.conns:
		return c, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

func (m *memory) Close() error   { m.close(); return nil }
func (m *memory) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }

// dial connects; ended gets the time at which the server closes the connection.
func (m *memory) dial() (c net.Conn, ended <-chan time.Time) {
	c, its := net.Pipe()
	at := make(chan time.Time, 1)
	m.conns <- &client{Conn: its, leave: sync.OnceFunc(func() { at <- time.Now() })}
	return c, at
}

// startInMemory runs a peer whose clients come over memory, for tests in bubbles.
func startInMemory(t *testing.T) (*peer, *memory) {
	t.Helper()
	p := run(t)
	m := &memory{conns: make(chan net.Conn), closed: make(chan struct{})}
	m.close = sync.OnceFunc(func() { close(m.closed) })
	p.server = newServer(p.config())
	go p.server.serve(m)
	p.client = newClient("memory", nil)
	p.client.http.Transport.(*http.Transport).DialContext = func(context.Context, string, string) (net.Conn, error) {
		c, _ := m.dial()
		return c, nil
	}
	t.Cleanup(p.client.Close)
	return p, m
}

// request writes the head of a request.
func request(t *testing.T, c net.Conn, head string) {
	t.Helper()
	if _, err := io.WriteString(c, strings.ReplaceAll(head+"\nHost: x\n\n", "\n", "\r\n")); err != nil {
		t.Fatal(err)
	}
}

// next returns the next line with that text.
func next(t *testing.T, r *bufio.Reader, text string) string {
	t.Helper()
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(line, text) {
			return line
		}
	}
}

// A silent stream of server-sent events has a comment now and then, counted from the last event;
// one of JSON lines has none.
func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, m := startInMemory(t)
		c, _ := m.dial()
		defer c.Close()
		request(t, c, "GET /v1/events HTTP/1.1\nAccept: text/event-stream")
		r := bufio.NewReader(c)
		next(t, r, `data: {"event":"ready"`)
		begun := time.Now()
		comments := func(n int) {
			t.Helper()
			for i := range n {
				if line, after := next(t, r, ":"), time.Since(begun); line != ":\n" || after != time.Duration(i+1)*heartbeat {
					t.Errorf("%q after %v", line, after)
				}
			}
		}
		comments(2)
		time.Sleep(heartbeat - time.Second)
		p.said("one")
		next(t, r, `"body":"one"`)
		begun = time.Now()
		comments(1)

		c, _ = m.dial()
		defer c.Close()
		request(t, c, "GET /v1/events HTTP/1.1")
		r = bufio.NewReader(c)
		next(t, r, `"event":"ready"`)
		if err := c.SetReadDeadline(time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if rest, err := io.ReadAll(r); !errors.Is(err, os.ErrDeadlineExceeded) || strings.Trim(string(rest), "\r\n") != "" {
			t.Errorf("JSON lines: %q, %v", rest, err)
		}
	})
}

// A client that stops reading is cut off after a while. Until then it holds up nobody, and it can
// go on where it was.
func TestFollowerThatStopsReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, m := startInMemory(t)
		const all = 400
		say := func(from, to int) {
			for i := from; i <= to; i++ {
				p.said(fmt.Sprint(i))
			}
		}
		follow := func(from, to uint64) {
			t.Helper()
			if err := p.client.Events(t.Context(), from, true, nil, func(a Answer) bool {
				var e struct {
					Event string
					Pos   uint64
				}
				if err := json.Unmarshal(a.Line, &e); err != nil || e.Event == "message" && e.Pos != from {
					t.Errorf("%s instead of position %d, %v", a.Line, from, err)
				}
				if e.Event == "message" {
					from++
				}
				return from <= to
			}); err != nil {
				t.Error(err)
			}
		}
		say(1, 3)
		stuck, ended := m.dial()
		defer stuck.Close()
		request(t, stuck, "GET /v1/events?from=1 HTTP/1.1")
		next(t, bufio.NewReader(stuck), `"pos":3`)
		synctest.Wait()
		begun := time.Now()
		say(4, all)
		follow(1, all)
		if got := p.post("", `{"cmd":"status","ref":"r"}`); got != "status r" {
			t.Errorf("another client got %q", got)
		}
		if took := time.Since(begun); took != 0 {
			t.Errorf("others were held up for %v", took)
		}
		if after := (<-ended).Sub(begun); after != writePatience {
			t.Errorf("cut off after %v", after)
		}
		follow(4, all)
	})
}

// One that reads on in time, but too late for all that has happened, is told where it can go on.
func TestFollowerThatFallsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, m := startInMemory(t)
		p.said("1")
		late, ended := m.dial()
		defer late.Close()
		request(t, late, "GET /v1/events?from=1 HTTP/1.1")
		r := bufio.NewReader(late)
		next(t, r, `"pos":1`)
		const all = 50000 // more than is kept for it
		for i := 2; i <= all; i++ {
			p.said(fmt.Sprint(i))
		}
		synctest.Wait()
		time.Sleep(writePatience - time.Second)
		last := 1
		for {
			line := next(t, r, `"event"`)
			if got := fmt.Sprintf(`"pos":%d`, last+1); strings.Contains(line, got) {
				last++
				continue
			}
			if !strings.Contains(line, fmt.Sprintf(`it can go on from position %d"`, last+1)) || !strings.Contains(line, `"code":"behind"`) || last == all {
				t.Errorf("behind position %d comes %s", last, line)
			}
			break
		}
		late.Close()
		<-ended
		if err := p.client.Events(t.Context(), uint64(last+1), false, nil, func(a Answer) bool {
			if a.Event == "message" {
				last++
			}
			return true
		}); err != nil || last != all {
			t.Errorf("up to position %d, %v", last, err)
		}
	})
}

// So is a client that doesn't read the answers to what it asks for, while it goes on asking.
func TestAskerThatDoesNotRead(t *testing.T) {
	for head, line := range map[string]string{
		"POST /v1/commands HTTP/1.1":         `{"cmd":"net"}`,
		"POST /v1/chat HTTP/1.1":             `{"line":"L25ldA=="}`, // /net
		"POST /v1/chat?follow=true HTTP/1.1": `{"line":"L25ldA=="}`,
	} {
		synctest.Test(t, func(t *testing.T) {
			p, m := startInMemory(t)
			c, ended := m.dial()
			defer c.Close()
			request(t, c, head+"\nTransfer-Encoding: chunked")
			begun := time.Now()
			var asking sync.WaitGroup
			asking.Go(func() {
				for {
					if _, err := fmt.Fprintf(c, "%x\r\n%s\n\r\n", len(line)+1, line); err != nil {
						return
					}
				}
			})
			const linger = 500 * time.Millisecond // of net/http, if the request has not ended
			if after := (<-ended).Sub(begun); after != writePatience && after != writePatience+linger {
				t.Errorf("%s: cut off after %v", head, after)
			}
			asking.Wait()
			p.server.running.Wait()
		})
	}
}

// An answer ends well, however long nothing was written before its end.
func TestEndAfterSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := startInMemory(t)
		for path, line := range map[string]string{
			"/v1/commands": `{"cmd":"net"}`,
			"/v1/chat":     `{"line":"L25ldA=="}`, // /net
		} {
			r, w := io.Pipe()
			go func() {
				fmt.Fprintln(w, line)
				time.Sleep(10 * writePatience)
				w.Close()
			}()
			answer, err := p.client.do(t.Context(), "POST", path, nil, r, "")
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(answer.Body); err != nil || len(b) == 0 {
				t.Errorf("%s: %q, %v", path, b, err)
			}
			answer.Body.Close()
		}
	})
}
