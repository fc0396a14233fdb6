package service

import (
	"sync"

	"quicpeer/internal/lines"
	"quicpeer/overlay"
	"quicpeer/overlay/files"
)

// Files are those that a peer offers and receives: a [files.Files].
type Files interface {
	lines.Files
	Handle(overlay.Event) []overlay.Event
}

// Use says which files the peer offers and receives. It is called before Run; a peer for which it is not has none.
func (s *Service) Use(f Files) { s.files = f }

// Files are those that the peer offers and receives; nil: none.
func (s *Service) Files() lines.Files { return s.files }

// telling keeps the events of files behind the event of the node that they are about: an offer is a message first.
type telling struct {
	mu    sync.Mutex
	holds bool // files handle an event of the node, which stands before what they tell meanwhile
	held  []overlay.Event
}

// Tell takes an event of the files, and waits for nobody.
func (s *Service) Tell(event overlay.Event) {
	s.telling.mu.Lock()
	defer s.telling.mu.Unlock()
	if s.telling.holds {
		s.telling.held = append(s.telling.held, event)
		return
	}
	s.publish(event, func() {})
}

// handle has the files handle an event of the node, publishes that, and then what they say of it.
func (s *Service) handle(event overlay.Event, shown func()) {
	s.telling.mu.Lock()
	s.telling.holds = true
	s.telling.mu.Unlock()
	var more []overlay.Event
	if s.files != nil {
		more = s.files.Handle(event)
	}
	s.telling.mu.Lock()
	defer s.telling.mu.Unlock()
	s.publish(event, shown)
	for _, e := range append(more, s.telling.held...) {
		s.publish(e, func() {})
	}
	s.telling.holds, s.telling.held = false, nil
}

// isProgress says that an event is one that nobody misses among many of its kind.
func isProgress(event overlay.Event) bool {
	_, ok := event.(files.Progress)
	return ok
}

// sizeOfFiles is what the texts of an event of files take, in bytes.
func sizeOfFiles(event overlay.Event) (size int) {
	switch e := event.(type) {
	case files.Offered:
		size = len(e.Name) + len(e.Note) + len(e.Dir) + len(e.Ref)
		for _, name := range e.Names {
			size += len(name)
		}
		for _, s := range e.Skipped {
			size += len(s.Path) + len(s.Why)
		}
	case files.Progress:
		size = len(e.Name) + len(e.Ref)
	case files.Waits:
		size = len(e.Name) + len(e.Reason) + len(e.Ref)
	case files.Done:
		size = len(e.Name) + len(e.Path) + len(e.Ref)
		for _, path := range e.Paths {
			size += len(path)
		}
	case files.Ended:
		size = len(e.Name) + len(e.Error) + len(e.Ref)
	}
	return size
}
