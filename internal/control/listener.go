package control

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
)

const (
	// maxClients is how many connections the socket has at once (a guess: each costs some 100 KiB
	// while it follows the events); further ones are refused.
	maxClients = 256
	// maxRefused is how many connections are told at once that they are refused, and why (a guess:
	// each costs some 10 KiB until its request has come); further ones are closed without a word.
	maxRefused = 256
)

// listener accepts connections, so many at once, and says of each whether it is refused.
type listener struct {
	*net.UnixListener
	log *slog.Logger

	mu               sync.Mutex
	clients, refused int
}

// refusal says why the request of a connection is not carried out. It is an answer to it: a
// connection that is closed before may fail the client while it still writes the request.
type refusal struct {
	status        int
	code, problem string
}

// refusalKey is the key of a connection's *refusal, nil if it is served, in the context of its requests.
type refusalKey struct{}

var (
	notYours = &refusal{http.StatusForbidden, "not_yours", "this peer belongs to another user"}
	tooMany  = &refusal{http.StatusServiceUnavailable, "too_many", fmt.Sprintf("%d connections to this peer are open: close one", maxClients)}
)

// listen opens the socket. One that a peer has left behind is removed: the caller holds the state
// directory, so that peer does not run.
func listen(path string, log *slog.Logger) (*listener, error) {
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() == os.ModeSocket {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	return &listener{UnixListener: l, log: log}, nil
}

func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.UnixListener.Accept()
		if err != nil {
			return nil, err
		}
		var why *refusal
		if !isUser(c) {
			l.log.Warn("another user has tried to use the local socket, and was refused")
			why = notYours
		}
		if entered := l.enter(c, why); entered != nil {
			return entered, nil
		}
		_ = c.Close()
	}
}

// enter counts a connection, as served or refused; nil: too many are refused already.
func (l *listener) enter(c net.Conn, why *refusal) *client {
	l.mu.Lock()
	defer l.mu.Unlock()
	if why == nil && l.clients == maxClients {
		why = tooMany
	}
	count := &l.clients
	if why != nil {
		count = &l.refused
		if *count == maxRefused {
			return nil
		}
	}
	*count++
	return &client{Conn: c, refused: why, leave: sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		*count--
	})}
}

// client is a connection that is counted until it is closed.
type client struct {
	net.Conn
	refused *refusal // nil: it is served
	leave   func()
}

func (c *client) Close() error {
	c.leave()
	return c.Conn.Close()
}
