package tui

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"quicpeer/certs"
	"quicpeer/internal/chat/edit"
	"quicpeer/internal/emulator"
	"quicpeer/overlay"
)

func TestMain(m *testing.M) {
	time.Local = time.UTC // screens show local times
	goleak.VerifyTestMain(m)
}

// fakeNode is a peer that knows some others, and has a history.
type fakeNode struct {
	peers []overlay.Peer
	rooms []overlay.Room
	past  []overlay.Said
	hold  chan struct{} // until it is closed, the history does not answer; nil: it does
}

func (n *fakeNode) Peers() []overlay.Peer { return n.peers }
func (n *fakeNode) Rooms() []overlay.Room { return n.rooms }

func (n *fakeNode) Past(_ context.Context, q overlay.Query) (list []overlay.Said, err error) {
	if n.hold != nil {
		<-n.hold
	}
	for _, s := range n.past {
		with := q.With == "" || s.To == q.With || s.From == q.With && s.To == "me"
		if with && (q.Before == 0 || s.Pos < q.Before) && !s.SentAt.Before(q.Since) && strings.Contains(s.Body, q.Search) {
			list = append(list, s)
		}
	}
	if q.Last > 0 && len(list) > q.Last {
		list = list[len(list)-q.Last:]
	}
	return list, nil
}

// rig is a chat on an emulated terminal, in a bubble.
type rig struct {
	*emulator.Terminal
	t       *testing.T
	chat    *Chat
	node    *fakeNode
	resized chan Size
	err     error
	ended   chan struct{}
	stop    context.CancelFunc

	mu     sync.Mutex
	lines  []string // that were entered
	fronts []certs.ID
	serial byte
}

// start begins a chat of "me" on a terminal, and waits until it is drawn.
func start(t *testing.T, term *emulator.Terminal, change func(*Config)) *rig {
	t.Helper()
	r := begin(t, term, change)
	r.settle()
	return r
}

// begin is start, without waiting.
func begin(t *testing.T, term *emulator.Terminal, change func(*Config)) *rig {
	t.Helper()
	width, height := term.Size()
	inputs, _ := edit.OpenInputs("")
	r := &rig{Terminal: term, t: t, node: &fakeNode{}, resized: make(chan Size), ended: make(chan struct{})}
	cfg := Config{
		Self: "me", Key: certs.PublicKey{1}, Node: r.node, Inputs: inputs, Keys: term, Out: term, Size: Size{Width: width, Height: height}, Resized: r.resized,
		Term: "xterm-256color", Colour: false, Bye: "leaves", Now: time.Now,
	}
	if change != nil {
		change(&cfg)
	}
	r.chat = New(cfg)
	r.chat.Front(func(id certs.ID) { r.mu.Lock(); defer r.mu.Unlock(); r.fronts = append(r.fronts, id) })
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	go func() {
		defer close(r.ended)
		r.err = r.chat.Run(ctx)
		r.chat.Finish(nil)
	}()
	read := make(chan struct{})
	go func() {
		defer close(read)
		for {
			line, err := r.chat.Next()
			if err != nil {
				return
			}
			r.mu.Lock()
			r.lines = append(r.lines, string(line))
			r.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-r.ended
		<-read
		time.Sleep(time.Minute) // timers of the program run out
		_ = term.Close()
	})
	return r
}

// settle returns when everything has been drawn, and what is collected was shown.
func (r *rig) settle() {
	synctest.Wait()
	time.Sleep(time.Second)
	synctest.Wait()
}

// typed returns what was entered, and forgets it.
func (r *rig) typed() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.lines
	r.lines = nil
	return list
}

func (r *rig) resize(width, height int) {
	r.Resize(width, height)
	r.resized <- Size{Width: width, Height: height}
	r.settle()
}

// hear has a peer say something.
func (r *rig) hear(from, to certs.ID, body string) overlay.MessageID {
	r.serial++
	id := overlay.MessageID{r.serial}
	_ = r.chat.Event(overlay.Message{ID: id, From: from, To: to, Key: certs.PublicKey{byte(from[0])}, Body: body, SentAt: time.Now()}, func() {})
	return id
}

// say has this peer say something.
func (r *rig) say(to certs.ID, body string) overlay.MessageID {
	r.serial++
	id := overlay.MessageID{r.serial}
	_ = r.chat.Event(overlay.Sent{Message: id, To: to, Body: body, SentAt: time.Now()}, func() {})
	return id
}

// want compares the screen, without blank rows above.
func (r *rig) want(screen string) {
	r.t.Helper()
	got := strings.TrimLeft(r.Text(), "\n")
	if want := strings.Trim(screen, "\n"); got != want {
		r.t.Errorf("the screen is\n%s\nwant\n%s", frame(got), frame(want))
	}
}

func frame(s string) string {
	var b strings.Builder
	for _, row := range strings.Split(s, "\n") {
		fmt.Fprintf(&b, "  |%s\n", row)
	}
	return b.String()
}

// The first look at it.
func TestLineMode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, emulator.New(40, 12), nil)
		_ = r.chat.Event(overlay.PeerJoined{ID: "bob"}, func() {})
		r.settle()
		r.hear("bob", "*", "hello everyone, this is a text of more than one row, and you好世界")
		r.hear("bob", "me", "psst")
		r.Send("@bob 你好世界abc")
		r.settle()
		r.want(`
00:00 * nobody else is here yet
00:00 * bob joined
00:00 bob: hello everyone, this is a
        text of more than one row, and
        you好世界
00:00 bob -> you: psst
me> @bob 你好世界abc`)
		r.Press("ctrl+u")
		r.settle()
		if got := r.Row(6); strings.TrimSpace(got) != "me>" {
			t.Errorf("after ctrl+u: %q\n%s", got, frame(r.Text()))
		}
	})
}
