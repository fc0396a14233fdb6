package service

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"quicpeer/internal/lines/linestest"
	"quicpeer/overlay"
	"quicpeer/overlay/files"
)

// names lists what a watch has for its reader, in short.
func names(t *testing.T, w *Watch) string {
	t.Helper()
	var list []string
	for {
		items, err := w.r.now()
		if err != nil {
			t.Fatal(err)
		}
		if len(items) == 0 {
			return strings.Join(list, " ")
		}
		for _, i := range items {
			list = append(list, fmt.Sprintf("%T", i.Event))
		}
	}
}

// An offer is a message first; what the files tell meanwhile comes behind it.
func TestOffersFollowTheirMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		var s *Service
		f := &linestest.Files{Answers: func(e overlay.Event) []overlay.Event {
			if m, ok := e.(overlay.Message); ok && m.Kind == overlay.KindFile {
				s.Tell(files.Waits{File: 1})
				return []overlay.Event{files.Offered{File: 1}}
			}
			return nil
		}}
		s = New(n, n.past, "1.0", "")
		s.Use(f)
		w := s.Watch()
		defer w.Close()
		var shown []string
		go s.Run()
		go func() {
			for e, done := range s.Output() {
				shown = append(shown, fmt.Sprintf("%T", e))
				done()
			}
		}()
		n.events <- overlay.Message{From: "bob", Kind: overlay.KindFile}
		synctest.Wait()
		s.Tell(files.Done{File: 1})
		synctest.Wait()
		const want = "messaging.Message files.Offered files.Waits files.Done"
		if got := names(t, w); got != want {
			t.Errorf("a reader got %s", got)
		}
		if got := strings.Join(shown, " "); got != want {
			t.Errorf("standard output got %s", got)
		}
		close(n.events)
		synctest.Wait()
	})
}

// When nothing is read, the files do not wait, and only the last of their progress is kept. An event that comes when there
// would be no room for messages is not lost.
func TestProgressCrowdsOutNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNode()
		s := start(t, n, t.Context().Done())
		synctest.Wait()
		slow := s.Watch()
		defer slow.Close()
		for i := range 2 * maxFeed {
			s.Tell(files.Progress{File: 1 + i%2, Peer: "bob", Bytes: int64(i)})
		}
		if kept := len(s.output.items); kept != 3 { // with Ready
			t.Errorf("%d events wait for standard output", kept)
		}
		if last := s.output.items[2].event.(files.Progress); last.Bytes != 2*maxFeed-1 {
			t.Errorf("the last progress is at %d bytes", last.Bytes)
		}
		s.Tell(files.Done{File: 1})
		if got := names(t, slow); strings.Count(got, "files.Progress") != maxFeed/2 || !strings.HasSuffix(got, " files.Done") {
			t.Errorf("a slow reader got %d events", strings.Count(got, " ")+1)
		}
		s.output.waiting += maxUnshown
		s.Tell(files.Ended{File: 2})
		if kept := len(s.output.items); kept != 5 {
			t.Errorf("%d events wait for standard output when it is full", kept)
		}
		s.output.waiting -= maxUnshown
	})
}

// The texts of an offer count.
func TestSizeOfAnOffer(t *testing.T) {
	i := &Item{Event: files.Offered{Names: []string{strings.Repeat("x", 5000)}, Skipped: []files.Skipped{{Path: "abc", Why: "de"}}}}
	if got := i.size(); got < 5005 {
		t.Errorf("an offer counts as %d bytes", got)
	}
}
