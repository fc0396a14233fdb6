// Command picture plays a scene with the chat on an emulated terminal, and writes the screen as
// docs/chat.svg. It needs no network, and its clock is the scene's: the same code gives the same
// picture. Run it by "make picture"; a test sees to it that this was done.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"quicpeer/certs"
	"quicpeer/internal/chat"
	"quicpeer/internal/chat/edit"
	"quicpeer/internal/chat/tui"
	"quicpeer/internal/emulator"
	"quicpeer/overlay"
)

// The chat shows local times. This is done before there are other goroutines, which read it.
func init() { time.Local = time.UTC }

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: picture FILE.svg")
		os.Exit(2)
	}
	svg, err := picture()
	if err == nil {
		err = os.WriteFile(os.Args[1], []byte(svg), 0o644)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "picture:", err)
		os.Exit(1)
	}
}

const width, height = 90, 24

// picture plays the scene and draws the screen.
func picture() (string, error) {
	inputs, err := edit.OpenInputs("")
	if err != nil {
		return "", err
	}
	s := &scene{term: emulator.New(width, height)}
	s.screen = tui.New(tui.Config{
		Self: "alice", Key: certs.PublicKey{'a'}, Node: nobody{}, Inputs: inputs, Keys: s.term, Out: s.term,
		Size: tui.Size{Width: width, Height: height}, Term: "xterm-256color", Colour: true, Full: true, Now: s.now,
	})
	s.front = chat.NewOn(s.screen, true)
	ctx, end := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { s.failed = s.screen.Run(ctx) })
	running.Go(func() { // nothing is entered, but Alt-2 puts a conversation in front
		for {
			if _, err := s.screen.Next(); err != nil {
				return
			}
		}
	})
	problem := s.play()
	svg := s.term.SVG("quicpeer --id alice --full")
	end()
	running.Wait()
	s.screen.Finish(nil)
	return svg, errors.Join(problem, s.failed, s.term.Close())
}

// nobody is a node that knows nothing: all there is to see comes as events.
type nobody struct{}

func (nobody) Peers() []overlay.Peer                                       { return nil }
func (nobody) Rooms() []overlay.Room                                       { return nil }
func (nobody) Past(context.Context, overlay.Query) ([]overlay.Said, error) { return nil, nil }

// scene is a chat in which things happen.
type scene struct {
	term   *emulator.Terminal
	screen *tui.Chat
	front  *chat.Frontend
	clock  atomic.Int64 // minutes since midnight
	failed error
}

func (s *scene) now() time.Time {
	return time.Date(2026, time.May, 8, 0, int(s.clock.Load()), 0, 0, time.UTC)
}

// patience is how long something may take to be seen: long, as the machine may have much else to do.
const patience = time.Minute

// until waits until the screen is as wanted.
func (s *scene) until(what string, seen func() bool) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for !seen() {
		select {
		case <-tick.C:
		case <-late:
			return fmt.Errorf("%s is not seen after %v, but\n%s", what, patience, s.term.Text())
		}
	}
	return nil
}

// show has the chat show an event, and returns when it has it.
func (s *scene) show(e overlay.Event) error {
	shown := make(chan struct{})
	if err := s.front.ShowThen(e, func() { close(shown) }); err != nil {
		return err
	}
	select {
	case <-shown:
		return nil
	case <-time.After(patience):
		return fmt.Errorf("%T is not shown after %v", e, patience)
	}
}
