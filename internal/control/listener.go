package control

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"
)

// maxClients is how many connections the socket has at once (a guess: each costs some 100 KiB while
// it follows the events); further ones are refused.
const maxClients = 256

// listener accepts connections of this user, so many at once.
type listener struct {
	*net.UnixListener
	log *slog.Logger

	mu      sync.Mutex
	clients int
}

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
		switch {
		case !isUser(c):
			l.log.Warn("another user has tried to use the local socket, and was refused")
			turnAway(c, "403 Forbidden", "not_yours", "this peer belongs to another user")
		case !l.enter():
			turnAway(c, "503 Service Unavailable", "too_many", fmt.Sprintf("%d connections to this peer are open: close one", maxClients))
		default:
			return &client{Conn: c, leave: sync.OnceFunc(l.left)}, nil
		}
	}
}

func (l *listener) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.clients >= maxClients {
		return false
	}
	l.clients++
	return true
}

func (l *listener) left() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.clients--
}

// client is a connection that is counted until it is closed.
type client struct {
	net.Conn
	leave func()
}

func (c *client) Close() error {
	c.leave()
	return c.Conn.Close()
}

// turnAway answers a connection of which nothing was read. It fits into the socket's buffer.
func turnAway(c net.Conn, status, code, problem string) {
	body := fmt.Sprintf("{\"event\":\"error\",\"error\":%q,\"code\":%q}\n", problem, code)
	_ = c.SetWriteDeadline(time.Now().Add(time.Second))
	fmt.Fprintf(c, "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", status, len(body))
	_, _ = io.WriteString(c, body)
	_ = c.Close()
}
