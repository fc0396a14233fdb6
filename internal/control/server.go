package control

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"quicpeer/internal/chat"
	"quicpeer/internal/chat/edit"
	"quicpeer/internal/jsonl"
	"quicpeer/internal/lines"
	"quicpeer/internal/service"
)

// How long the server waits for a client, guesses.
const (
	headerPatience = 10 * time.Second // for the head of a request
	idlePatience   = time.Minute      // for the next request on a connection
	writePatience  = 30 * time.Second // for a client that doesn't read; then it is cut off
	heartbeat      = 15 * time.Second // between two comments of a silent stream of events
	leavePatience  = 5 * time.Second  // for clients to read the last line
	maxHeader      = 16 << 10         // of a request
)

// Config says what a server needs to know.
type Config struct {
	Service  *service.Service
	StateDir string
	Version  string // of the program
	Getenv   func(string) string
	Log      *slog.Logger
	Leave    func()       // called by a client that says so; it must not wait
	Inputs   *edit.Inputs // what was typed before; nil: nothing is kept
	// More are further handlers, by their patterns, such as "GET /metrics".
	More map[string]http.Handler
}

// Server is the local socket of a running peer.
type Server struct {
	cfg  Config
	http *http.Server
	done chan struct{} // closed when serving has ended

	stop    context.CancelFunc // of all requests
	running sync.WaitGroup     // the requests
	gone    chan struct{}      // closed when the peer has left

	mu          sync.Mutex
	undelivered int
}

// Serve opens the socket and answers on it until Close.
func Serve(cfg Config) (*Server, error) {
	path, err := socketPath(cfg.StateDir, cfg.Getenv)
	if err != nil {
		return nil, err
	}
	l, err := listen(path, cfg.Log)
	if err != nil {
		return nil, err
	}
	if err := writePath(cfg.StateDir, path); err != nil {
		l.Close()
		return nil, err
	}
	s := newServer(cfg)
	cfg.Service.ListensAt(path)
	go s.serve(l)
	return s, nil
}

func newServer(cfg Config) *Server {
	ctx, stop := context.WithCancel(context.Background())
	s := &Server{cfg: cfg, done: make(chan struct{}), stop: stop, gone: make(chan struct{})}
	s.http = &http.Server{
		Handler: s.handler(ctx), ReadHeaderTimeout: headerPatience, IdleTimeout: idlePatience, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug),
	}
	s.http.BaseContext = baseContext(ctx)
	s.http.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, refusalKey{}, c.(*client).refused)
	}
	return s
}

// serve answers on connections, each of which is a *client.
func (s *Server) serve(l net.Listener) {
	defer close(s.done)
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		s.cfg.Log.Warn("the local socket has failed: this peer can't be asked any more", "error", err)
	}
}

// Left tells the clients that the peer has left, and Close that they may be waited for.
func (s *Server) Left(undelivered int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.undelivered = undelivered
	close(s.gone)
}

// Close ends the requests and removes the socket. After Left clients are given some time to read
// the rest.
func (s *Server) Close() {
	select {
	case <-s.gone:
		ctx, cancel := context.WithTimeout(context.Background(), leavePatience)
		_ = s.http.Shutdown(ctx)
		cancel()
	default:
	}
	s.stop()
	_ = s.http.Close()
	<-s.done
	s.running.Wait()
	forgetPath(s.cfg.StateDir)
}

// handler is what is answered until ctx ends.
func (s *Server) handler(ctx context.Context) http.Handler {
	mux := http.NewServeMux()
	for name, command := range map[string]struct{ json, typed string }{
		"status": {`{"cmd":"status"}`, "/status"},
		"peers":  {`{"cmd":"table"}`, "/table"},
		"net":    {`{"cmd":"net"}`, "/net"},
		"buffer": {`{"cmd":"buffer"}`, "/buffer"},
	} {
		mux.HandleFunc("GET /v1/"+name, func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, command.json, command.typed) })
	}
	mux.HandleFunc("GET /v1/history", s.history)
	mux.HandleFunc("GET /v1/files", s.transfers)
	mux.HandleFunc("GET /v1/events", s.events)
	mux.HandleFunc("POST /v1/commands", s.commands)
	mux.HandleFunc("POST /v1/chat", s.chat)
	mux.HandleFunc("POST /v1/terminal", s.terminal)
	for pattern, h := range s.cfg.More {
		mux.Handle(pattern, h)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusNotFound, "not_found", "there is nothing at "+r.Method+" "+r.URL.Path+": see docs/running.md")
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.running.Add(1)
		defer s.running.Done()
		out := s.writer(w)
		out.patience()
		defer out.patience() // for the end of the answer
		if why, _ := r.Context().Value(refusalKey{}).(*refusal); why != nil {
			w.Header().Set("Connection", "close")
			fail(w, why.status, why.code, why.problem)
			return
		}
		mux.ServeHTTP(w, r)
		if ctx.Err() != nil { // the peer stops in the middle: the answer must not look whole
			panic(http.ErrAbortHandler)
		}
	})
}

// fail answers a request that can't be carried out.
func fail(w http.ResponseWriter, status int, code, problem string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"event": "error", "error": problem, "code": code}) // the client has gone, if it fails
}

// answer answers with what a command line does, or for people with what a typed line does.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, command, typed string) {
	out := lines.NewOutput(s.writer(w))
	var err error
	if wantsText(r) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _, err = chat.New(out, chat.Look{Bare: true, Width: noWidth}).Execute(r.Context(), s.cfg.Service, []byte(typed))
	} else {
		w.Header().Set("Content-Type", "application/json")
		_, _, err = jsonl.New(out, s.cfg.Version).Execute(r.Context(), s.cfg.Service, []byte(command))
	}
	if err != nil {
		fail(w, http.StatusInternalServerError, lines.Code(err), err.Error()) // of the history, before anything was written
	}
}

func noWidth() int { return 0 }

func wantsText(r *http.Request) bool { return strings.HasPrefix(r.Header.Get("Accept"), "text/plain") }

// writer writes an answer, each piece at once, and gives up a client that doesn't read.
func (s *Server) writer(w http.ResponseWriter) *writer {
	return &writer{w, http.NewResponseController(w)}
}

type writer struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

// patience gives the client time to read what is written next. It fails if the client has gone, and
// then the next write does.
func (w *writer) patience() { _ = w.control.SetWriteDeadline(time.Now().Add(writePatience)) }

func (w *writer) Write(b []byte) (int, error) {
	w.patience()
	n, err := w.w.Write(b)
	if err == nil {
		err = w.control.Flush()
	}
	return n, err
}

// baseContext is the context of all requests.
func baseContext(ctx context.Context) func(net.Listener) context.Context {
	return func(net.Listener) context.Context { return ctx }
}
