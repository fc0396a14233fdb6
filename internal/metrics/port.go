package metrics

import (
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
)

// Bounds of the port, guesses: whoever can reach it may be anybody.
const (
	maxConnections = 16      // at once; more wait in the system's queue
	maxHeaderBytes = 8 << 10 // of a request
	headerTimeout  = 5 * time.Second
	requestTimeout = 10 * time.Second // to read a request, and to take the answer
	idleTimeout    = 2 * time.Minute  // of a connection between two requests: longer than a scrape's pace
)

// Port is the port of --metrics. A nil Port does nothing.
type Port struct {
	listener net.Listener
	server   *http.Server
	served   chan struct{} // closed when nothing is accepted any more; nil: nothing was
}

// Listen opens a TCP port at HOST:PORT; without a host, on all addresses. Requests wait until Serve.
func Listen(address string) (*Port, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	return &Port{listener: l}, nil
}

// Addr is the address of the port.
func (p *Port) Addr() net.Addr { return p.listener.Addr() }

// Serve serves /metrics, and nothing else, until Close.
func (p *Port) Serve(n Node, f Files) {
	if p == nil {
		return
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", Handler(n, f))
	p.server = &http.Server{
		Handler: mux, ReadHeaderTimeout: headerTimeout, ReadTimeout: requestTimeout, WriteTimeout: requestTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: maxHeaderBytes, ErrorLog: log.New(io.Discard, "", 0), // what strangers do wrong
	}
	p.served = make(chan struct{})
	go func() {
		defer close(p.served)
		_ = p.server.Serve(netutil.LimitListener(p.listener, maxConnections)) // until Close
	}()
}

// Close closes the port.
func (p *Port) Close() {
	switch {
	case p == nil:
	case p.server == nil:
		_ = p.listener.Close()
	default:
		_ = p.server.Close()
		<-p.served
	}
}
