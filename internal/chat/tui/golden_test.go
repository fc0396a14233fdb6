package tui

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"quicpeer/certs"
	"quicpeer/internal/chat"
	"quicpeer/internal/emulator"
	"quicpeer/overlay"
)

var update = flag.Bool("update", false, "write the screens of testdata/*.golden")

// stage is a chat in which a story is played. Its clock begins on Friday, 2026-03-06, at 09:12.
type stage struct {
	*rig
	front *chat.Frontend
	ahead atomic.Int64 // of the clock of the bubble, where an hour is 200,000 frames to be drawn
}

// story is what happens, and what its screen shows.
type story struct {
	name, shows string
	play        func(*stage)
	full        bool
}

// TestGolden compares whole screens with those of testdata, which people have looked at.
func TestGolden(t *testing.T) {
	for _, story := range append(lineStories(), fullStories()...) {
		for _, size := range []Size{{Width: 80, Height: 24}, {Width: 40, Height: 24}, {Width: 200, Height: 50}} {
			name := fmt.Sprintf("%s-%dx%d", story.name, size.Width, size.Height)
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { golden(t, story, size, filepath.Join("testdata", name+".golden")) })
			})
		}
	}
}

func golden(t *testing.T, story story, size Size, path string) {
	began, nine := time.Now(), time.Date(2026, time.March, 6, 9, 12, 0, 0, time.UTC)
	s := &stage{}
	s.rig = begin(t, emulator.New(size.Width, size.Height), func(c *Config) {
		c.Full, c.Bye = story.full, "leaves the network"
		c.Now = func() time.Time { return nine.Add(time.Since(began) + time.Duration(s.ahead.Load())) }
	})
	s.front = chat.NewOn(s.chat, false)
	story.play(s)
	s.settle()
	x, y := s.Cursor()
	got := fmt.Sprintf("# %s\n# The cursor is in column %d of row %d.\n%s\n", story.shows, x, y, s.Text())
	for row := range strings.SplitSeq(s.Text(), "\n") {
		if n := s.chat.model.measure(row); n > size.Width {
			t.Errorf("a row has %d columns: %q", n, row)
		}
	}
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; go test ./internal/chat/tui -run TestGolden -update writes it: then read it", err)
	}
	if got != strings.ReplaceAll(string(want), "\r\n", "\n") {
		t.Errorf("not the screen of %s: %s\nIf it is better, go test ./internal/chat/tui -run TestGolden -update writes it", path, differences(got, string(want)))
	}
}

// ready begins as every chat does, among those who are here.
func (s *stage) ready(here ...certs.ID) {
	_ = s.front.Show(overlay.Ready{ID: "me", Key: certs.PublicKey{1}, Listen: []string{"192.0.2.7:5000"}})
	s.join(here...)
}

func (s *stage) join(ids ...certs.ID) {
	for _, id := range ids {
		_ = s.front.Show(overlay.PeerJoined{ID: id})
		s.node.peers = append(s.node.peers, overlay.Peer{ID: id})
	}
	s.settle()
}

func (s *stage) leave(reason overlay.Reason, ids ...certs.ID) {
	for _, id := range ids {
		_ = s.front.Show(overlay.PeerLeft{ID: id, Reason: reason})
	}
}

// hear has a peer say something, by the clock of the stage.
func (s *stage) hear(from, to certs.ID, body string) overlay.MessageID {
	return s.event(overlay.Message{From: from, To: to, Body: body})
}

// event completes a message of another.
func (s *stage) event(m overlay.Message) overlay.MessageID {
	s.serial++
	m.ID, m.Key = overlay.MessageID{s.serial}, certs.PublicKey{m.From[0]}
	if m.SentAt.IsZero() {
		m.SentAt = s.chat.cfg.Now()
	}
	_ = s.front.Show(m)
	return m.ID
}

// say has this peer say something.
func (s *stage) say(to certs.ID, body string) overlay.MessageID {
	return s.sent(overlay.Sent{To: to, Body: body})
}

func (s *stage) sent(m overlay.Sent) overlay.MessageID {
	s.serial++
	m.Message, m.SentAt = overlay.MessageID{s.serial}, s.chat.cfg.Now()
	_ = s.front.Show(m)
	return m.Message
}

func (s *stage) has(to certs.ID, id overlay.MessageID) {
	_ = s.front.Show(overlay.Delivered{To: to, Message: id})
}

// later lets some time pass.
func (s *stage) later(d time.Duration) {
	s.settle()
	s.ahead.Add(int64(d))
}
