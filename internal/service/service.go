// Package service runs a peer for everybody who listens to it. It alone reads the events of the
// node, and passes each to the files before it counts as handled: standard output gets each with a function to call when it was shown, and any number of
// readers follow them by their position in the history.
//
//	node ── Deliveries ──▶ service ──▶ output ──▶ standard output, which says what was shown
//	                       ▲  │
//	files ──── Tell ───────┘  └──────▶ feed ────▶ readers: history first, then live
//
// Standard output may stop reading: then those who write to this peer get no receipts, and
// nobody else notices. A reader of the feed that stops reading is cut off.
package service

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"sync"
	"time"

	"quicpeer/certs"
	"quicpeer/internal/lines"
	"quicpeer/overlay"
	"quicpeer/pb"
)

// Node is the part of an [overlay.Node] that a service runs.
type Node interface {
	lines.Peer
	Deliveries() iter.Seq2[overlay.Event, func()]
}

// History is the part of an [overlay.History] that it reads.
type History interface {
	First() uint64
	End() uint64
	Events(from uint64) iter.Seq2[overlay.Past, error]
	Messages(context.Context, overlay.Query) ([]overlay.Said, error)
	Place(reader string) (uint64, error)
	SetPlace(reader string, pos uint64) error
}

// Service is a running peer, and a [lines.Node].
type Service struct {
	Node
	past    History
	feed    feed
	output  *output
	ready   chan struct{} // closed when there was the first event
	version string
	dir     string // the state directory; empty: there is none
	began   time.Time
	files   Files // nil: none
	telling telling

	mu     sync.Mutex
	socket string // on which the peer is asked; empty: on none
	seen   seen
}

// New returns a service that runs n, of which past is the history and dir the state directory.
func New(n Node, past History, version, dir string) *Service {
	s := &Service{Node: n, past: past, output: newOutput(), ready: make(chan struct{}), version: version, dir: dir, began: time.Now()}
	s.feed.present, s.feed.changed, s.feed.readers = map[certs.ID]*Item{}, map[certs.ID]*Item{}, map[*reader]struct{}{}
	return s
}

// Run reads the events of the node until it has stopped.
func (s *Service) Run() {
	defer s.output.finish()
	defer s.feed.end()
	for event, shown := range s.Deliveries() {
		s.output.awaitRoom()
		s.handle(event, shown)
		if _, first := event.(overlay.Ready); first {
			close(s.ready)
		}
	}
}

// publish passes an event on to all who read, and waits for none of them.
func (s *Service) publish(event overlay.Event, shown func()) {
	s.feed.publish(s.item(event, time.Now(), positionOf(event)))
	s.output.push(event, shown)
}

func (s *Service) item(event overlay.Event, at time.Time, pos uint64) *Item {
	return &Item{Event: event, At: at, Pos: pos, version: s.version}
}

// Ready is closed at the first event.
func (s *Service) Ready() <-chan struct{} { return s.ready }

// Output yields the events for standard output until the last, each with a function to call when
// it was shown. Only one loop may run.
func (s *Service) Output() iter.Seq2[overlay.Event, func()] { return s.output.events() }

// AwaitShown waits until standard output has what there is for it, for at most a second or until ctx ends. It comes
// before the peer leaves: the receipts of messages that came over others go out when they were shown.
func (s *Service) AwaitShown(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, shownPatience)
	defer cancel()
	s.output.awaitShown(ctx)
}

// Abandon says that nobody reads Output any more.
func (s *Service) Abandon() { s.output.abandon() }

// ListensAt notes the socket on which this peer is asked.
func (s *Service) ListensAt(socket string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.socket = socket
}

// Status sums up the peer.
func (s *Service) Status() lines.Status {
	peers, waiting := s.Peers(), s.Waiting()
	st := lines.Status{
		Version: s.version, Protocol: pb.Version, PID: os.Getpid(), Since: s.began, StateDir: s.dir, Disk: sizeOf(s.dir),
		Peers: len(peers), First: s.past.First(), End: s.past.End(), Listen: []string{},
	}
	for _, p := range peers {
		if p.Direct {
			st.Direct++
		}
	}
	for _, w := range waiting {
		st.Waiting += w.Count
	}
	s.mu.Lock()
	st.Socket = s.socket
	s.mu.Unlock()
	if r, ok := s.feed.beginning().(overlay.Ready); ok {
		st.ID, st.Key, st.Network, st.Listen = r.ID, r.Key, r.Network, r.Listen
	}
	return st
}

// beginning is the Ready, once there was one.
func (f *feed) beginning() overlay.Event {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ready == nil {
		return nil
	}
	return f.ready.Event
}

// sizeOf is how many bytes the files of a directory have.
func sizeOf(dir string) (size int64) {
	if dir == "" {
		return 0
	}
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				size += info.Size()
			}
		}
		return nil // what can't be read now is not counted
	})
	return size
}

// Bounds of what Past returns, guesses. The rest is asked for with Before.
const (
	maxPastBytes = 8 << 20 // of bodies
	usualPast    = 100
)

// Past returns the last messages that a query selects. It ends with ctx.
func (s *Service) Past(ctx context.Context, q overlay.Query) ([]overlay.Said, error) {
	q.Last, q.Bytes = min(cmp.Or(q.Last, usualPast), lines.MaxPast), maxPastBytes
	list, err := s.past.Messages(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("reading the history: %w", err)
	}
	return list, nil
}
