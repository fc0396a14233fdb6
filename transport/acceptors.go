package transport

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quic-go/quic-go"
)

// Connections are taken from quic-go by goroutines of which there are as many as it needs: its
// queue holds acceptQueue, and it refuses further ones when their dialers already believe them
// established (of 1000 dials at once one goroutine lost 10 to 31 %, measured). One stays, the
// others end when they have been idle (a guess: longer than a handshake takes).
const (
	acceptQueue  = 32
	acceptorIdle = 10 * time.Second
)

// welcome starts goroutines until these and quic-go's queue together hold so many strangers.
func (e *Endpoint) welcome(strangers int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for e.ready && !e.closed && e.acceptors < acceptorsFor(strangers) {
		e.acceptors++
		e.group.Go(e.acceptConnections)
	}
}

func acceptorsFor(strangers int) int { return max(1, strangers-acceptQueue) }

// acceptConnections takes authenticated connections from quic-go until it is not needed any more,
// the listener is closed, or the socket breaks, which ends the endpoint. The gate bounds how many
// admissions run at once.
func (e *Endpoint) acceptConnections() {
	for {
		conn, err := e.acceptConnection()
		switch {
		case err == nil:
			e.group.Go(func() { e.admit(conn) })
		case errors.Is(err, context.DeadlineExceeded):
			if e.dismiss() {
				return
			}
		default:
			e.cancel(fmt.Errorf("the socket: %w", explain(err)))
			return
		}
	}
}

func (e *Endpoint) acceptConnection() (*quic.Conn, error) {
	e.mu.Lock()
	alone := e.acceptors == 1
	e.mu.Unlock()
	if alone {
		return e.listener.Accept(context.Background())
	}
	ctx, cancel := context.WithTimeout(context.Background(), acceptorIdle)
	defer cancel()
	return e.listener.Accept(ctx)
}

// acceptCarried takes the connections that are carried to us until the endpoint is closed. Its gate
// lets in fewer than quic-go's queue holds.
func (e *Endpoint) acceptCarried() {
	for {
		conn, err := e.inside.listener.Accept(context.Background())
		if err != nil {
			return
		}
		e.group.Go(func() { e.admit(conn) })
	}
}

// dismiss says that one goroutine less is needed.
func (e *Endpoint) dismiss() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.acceptors <= acceptorsFor(e.gate.inside()) {
		return false
	}
	e.acceptors--
	return true
}

// spawn runs a goroutine that Close waits for; false says that the endpoint is closed.
func (e *Endpoint) spawn(f func()) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		e.group.Go(f)
	}
	return !e.closed
}
