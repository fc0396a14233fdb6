package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"quicpeer/certs"
	"quicpeer/internal/chat"
	"quicpeer/internal/chat/edit"
	"quicpeer/internal/chat/tui"
	"quicpeer/internal/control"
	"quicpeer/internal/lines"
	"quicpeer/internal/metrics"
	"quicpeer/internal/service"
	"quicpeer/internal/terminal"
	"quicpeer/overlay"
	"quicpeer/transport"
)

// node is the part of an [overlay.Node] that the command uses.
type node interface {
	service.Node
	ID() certs.ID
	Key() certs.PublicKey
	Figures() overlay.Figures
	History() *overlay.History
	Err() error
	Leave(ctx context.Context) (undelivered int, err error)
	Close() error
}

// session is one run of the peer, from joining to leaving.
type session struct {
	options options
	state   *overlay.State // nil: nothing is kept
	console *console
	log     *slog.Logger
	version string // of the program
	start   func(context.Context, overlay.Config) (node, error)
	getenv  func(string) string // nil: there is to be no local socket
	server  *control.Server     // nil: without a local socket
	inputs  *edit.Inputs        // what was typed before
	files   metrics.Files       // nil: none are exchanged
}

// outputPatience is how long, after the goodbye, to wait for the reader of standard
// output. A guess: long enough for a busy one.
const outputPatience = 5 * time.Second

var errOutputStuck = &lines.OutputError{Err: errors.New("nobody has read it for 5 s while leaving")}

// run joins, serves until it is time to leave, and leaves.
func (s *session) run(ctx context.Context) error {
	cfg, err := s.config()
	if err != nil {
		return err
	}
	port, err := s.openMetrics()
	if err != nil {
		return err
	}
	defer port.Close()
	n, err := s.enter(ctx, cfg)
	if err != nil || n == nil {
		return err
	}

	// leaving ends when it is time to leave: a signal, a command, the end of input, a
	// failed write to standard output, or because the node has stopped.
	leaving, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	running, endFiles, err := s.serviceOf(n)
	if err != nil {
		n.Close()
		return err
	}
	port.Serve(n, s.files)
	front, input := s.console.open(s.options, s.chatConfig(n, running), s.version)
	l := lines.NewListener(running, front, input, s.console.typed, s.log, leave)
	ready := make(chan struct{})
	shown := make(chan error, 1)
	served := make(chan struct{})
	endHook := s.startHook(n, running)
	go terminal.Guarded(func() {
		defer close(served)
		running.Run()
	})
	defer func() {
		n.Close()
		running.Abandon()
		<-served
	}()
	defer endFiles()
	s.serve(leaving, served, n, running, func() { leave(nil) })
	if s.server != nil {
		defer s.server.Close()
	}
	seen, detach := s.sit(running)
	defer detach()
	defer endHook()
	go terminal.Guarded(func() {
		shown <- show(leaving, running, front, ready, s.console.typed && s.console.stdout != nil, seen)
	})
	if !s.options.noInput {
		go terminal.Guarded(func() {
			select {
			case <-ready:
				leave(l.Listen(leaving))
			case <-leaving.Done():
			}
		})
	}
	select {
	case err := <-shown: // the node has stopped, or standard output has failed
		return s.ended(n, err)
	case <-leaving.Done():
		s.console.restore()
		detach()
		endHook() // while what it prints can still be sent back
		endFiles()
		return s.leave(n, running, front, l, context.Cause(leaving), shown)
	}
}

// sit notes, if this is at a terminal, that somebody sees what happens. It returns what was seen before, and what
// ends it, once.
func (s *session) sit(running *service.Service) (seen seenUntil, detach func()) {
	if s.console.opened == nil {
		return seen, func() {}
	}
	seen.since, seen.pos = running.Attach()
	return seen, sync.OnceFunc(running.Detach)
}

// enter is join, and notes whether this run has begun a private network.
func (s *session) enter(ctx context.Context, cfg overlay.Config) (node, error) {
	key := s.networkKey()
	isNew := s.options.private && !exists(key)
	n, err := s.join(ctx, cfg)
	if err == nil && n != nil && isNew && exists(key) {
		s.hasNewKey(key)
	}
	return n, err
}

// hasNewKey notes that this run has begun a private network.
func (s *session) hasNewKey(path string) {
	s.options.keyFile = path
	if s.options.json {
		s.log.Warn("keep a copy of the network's key in a safe place: without it nobody can name admins", "path", path)
	}
}

// openMetrics opens the port of --metrics, if it was given, before the peer shows itself to others.
func (s *session) openMetrics() (*metrics.Port, error) {
	if s.options.metrics == "" {
		return nil, nil
	}
	port, err := metrics.Listen(s.options.metrics)
	if err != nil {
		return nil, &metricsError{err}
	}
	url := "http://" + port.Addr().String() + "/metrics"
	if s.log.Info("serving metrics", "url", url); s.console.stderr != nil && !s.options.levelGiven { // where that is not shown
		fmt.Fprintln(s.console.log, "serving metrics at "+url)
	}
	return port, nil
}

func (s *session) config() (overlay.Config, error) {
	o := s.options
	cfg := overlay.Config{
		State:       s.state,
		ID:          o.id,
		Listen:      o.listen,
		Join:        o.join,
		JoinTimeout: o.joinTimeout,
		Tags:        o.tags,
		Network:     o.network,
		Private:     o.private,
		NoRejoin:    o.noRejoin,
		NoCustody:   o.noCustody,
		Visitor:     o.visitor,
		History:     o.history,
		Discover:    o.discover,
		MapPort:     o.mapPort,
		Software:    software(s.version),
		Qlog:        o.qlog,
		Log:         s.log,
	}
	if o.joinTimeout == 0 {
		cfg.JoinTimeout = -1 // forever
	}
	if o.cutFile != "" {
		conn, err := cutSocket(o.listen, o.cutFile)
		if err != nil {
			return cfg, err
		}
		cfg.Conn = conn
	}
	return cfg, nil
}

// cutSocket injects faults for scenario tests (--cut-file, which --help doesn't show): it
// returns a socket that drops packets to and from the addresses in the file.
func cutSocket(listen, file string) (net.PacketConn, error) {
	conn, err := transport.Listen(listen)
	if err != nil {
		return nil, err
	}
	return transport.Cut(conn, file), nil
}

// join starts the node. A signal before it has started ends the run in good order: no
// node, no error. The node does not get ctx itself, since at its end it still has to say
// goodbye.
func (s *session) join(ctx context.Context, cfg overlay.Config) (node, error) {
	starting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer context.AfterFunc(ctx, cancel)()
	type result struct {
		n   node
		err error
	}
	s.log.Debug("starting", "listen", cfg.Listen, "join", certs.HideTickets(strings.Join(cfg.Join, ",")))
	news := s.newJoinNews(&cfg)
	defer news.close()
	done := make(chan result, 1)
	go func() {
		n, err := s.start(starting, cfg)
		done <- result{n, err}
	}()
	for ctx.Err() == nil {
		select {
		case r := <-done:
			if r.err != nil && ctx.Err() != nil {
				return nil, nil
			}
			return r.n, r.err
		case p := <-news.told:
			news.take(p)
		case <-news.due:
			news.show()
		case <-ctx.Done():
		}
	}
	select {
	case r := <-done:
		if r.err != nil {
			return nil, nil
		}
		return r.n, nil
	case <-time.After(time.Second): // it is not in the network yet, so there is nobody to say goodbye to
		return nil, nil
	}
}

// seenUntil is what a terminal has shown before: up to a position of the history, at a time; zero: nothing is known.
type seenUntil struct {
	since time.Time
	pos   uint64
}

// chatConfig is what a chat on a terminal has to know of the peer.
func (s *session) chatConfig(n node, running *service.Service) tui.Config {
	path := ""
	if s.state != nil {
		path = filepath.Join(s.state.Dir, "inputs")
	}
	var err error
	if s.inputs, err = edit.OpenInputs(path); err != nil {
		s.log.Warn("what is typed is not kept for the next time", "error", err)
	}
	return tui.Config{Self: n.ID(), Key: n.Key(), Node: running, Inputs: s.inputs}
}

// show writes events until the node has stopped, and closes ready after the first. A
// message that could not be written is not acknowledged. A terminal begins with what was said
// before, unless ctx has ended.
func show(ctx context.Context, running *service.Service, front lines.Frontend, ready chan<- struct{}, terminal bool, seen seenUntil) error {
	first := true
	people, isChat := front.(*chat.Frontend)
	for event, shown := range running.Output() {
		var err error
		if isChat {
			err = people.ShowThen(event, shown)
		} else if err = front.Show(event); err == nil {
			shown()
		}
		if err != nil {
			return err
		}
		if first {
			if isChat && terminal {
				if err := people.Earlier(ctx, running, seen.since, seen.pos); err != nil {
					return err
				}
			}
			close(ready)
			first = false
		}
	}
	return nil
}

// ended returns the error of a run that ended without being asked to.
func (s *session) ended(n node, err error) error {
	if err != nil {
		return err // n.Close is deferred
	}
	if err := n.Err(); err != nil {
		return err
	}
	return errors.New("the peer has stopped for an unknown reason")
}

// leave waits for receipts, says goodbye, and writes the remaining output.
func (s *session) leave(n node, running *service.Service, front lines.Frontend, l *lines.Listener, cause error, shown <-chan error) error {
	if _, ok := errors.AsType[*lines.OutputError](cause); ok {
		return cause
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.options.drain)
	defer cancel()
	begin := time.Now()
	running.AwaitShown(ctx)
	waited := time.Since(begin)
	undelivered, err := n.Leave(ctx)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		s.log.Warn("leaving", "error", err)
	}
	late := time.After(outputPatience - waited)
	select {
	case err := <-shown:
		if err != nil {
			return err
		}
	case <-late:
		return errOutputStuck
	}
	select {
	case <-l.Settled():
	case <-late:
		return errOutputStuck
	}
	if err = n.Err(); err != nil {
		return err
	}
	if s.server != nil {
		s.server.Left(undelivered)
	}
	if err := front.Left(undelivered); err != nil {
		return err
	}
	if undelivered > 0 {
		err = &undeliveredError{count: undelivered, dir: s.stateDir()}
	}
	if refused := l.Refused(); refused.Count > 0 {
		return &refusedError{refused, err}
	}
	return err
}

// serve opens the local socket, once the peer is ready. Without one the peer runs all the same.
func (s *session) serve(leaving context.Context, served <-chan struct{}, n node, running *service.Service, leave func()) {
	if s.state == nil || s.getenv == nil {
		return
	}
	select {
	case <-running.Ready():
	case <-served: // it has failed before
		return
	case <-leaving.Done():
		return
	}
	server, err := control.Serve(control.Config{
		Service: running, StateDir: s.state.Dir, Version: s.version, Getenv: s.getenv, Log: s.log, Leave: leave, Inputs: s.inputs,
		More: map[string]http.Handler{"GET /metrics": metrics.Handler(n, s.files), "/debug/pprof/": metrics.Profiles()},
	})
	if err != nil {
		s.log.Warn("the local socket could not be opened, so this peer can't be asked by quicpeer send and the like", "error", err)
		return
	}
	s.server = server
}

// stateDir returns where messages are kept, empty if nowhere.
func (s *session) stateDir() string {
	if s.state == nil {
		return ""
	}
	return s.state.Dir
}

// networkKey is where the key of a private network is that this peer begins.
func (s *session) networkKey() string { return filepath.Join(s.stateDir(), "network.key") }

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}
