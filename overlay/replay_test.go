package overlay

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"quicpeer/overlay/core"
	"quicpeer/overlay/replay"
	"quicpeer/overlay/replay/file"
	"quicpeer/pb"
)

// The recorded inputs of a node's core, also read from a file, make another core have the same
// effects: its decisions depend on nothing else.
func TestReplay(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		recordings := make([]*replay.Recording, 3)
		peers := make([]*peer, 3)
		for i, name := range []string{"alice", "bob", "carol"} {
			recordings[i] = new(replay.Recording)
			cfg := w.config(name, []string{"alice"}[:min(i, 1)]...)
			cfg.recording = recordings[i]
			n, err := Start(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			peers[i] = w.peer(n)
			peers[i].listen()
		}
		alice, bob, carol := peers[0], peers[1], peers[2]
		for i, p := range peers {
			p.eventually(5*time.Second, "everybody is known", func() bool { return len(p.here()) == 2 })
			if _, err := p.Broadcast(t.Context(), strings.Repeat("to all ", 100*i), ""); err != nil {
				t.Fatal(err)
			}
		}
		talk(alice, bob)
		w.Cut("bob", "carol")
		talk(alice, carol)
		bob.breakLinks(false)
		if _, err := bob.Send(t.Context(), "carol", "over others", ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		w.kill(bob)
		if _, err := alice.Send(t.Context(), "bob", "for later", ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		for _, p := range []*peer{alice, carol} {
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
		}
		for i, r := range recordings {
			if err := r.Run(); err != nil {
				t.Errorf("%s: %.2000v", peers[i].ID(), err)
			}
			var written bytes.Buffer
			if err := file.Write(&written, r); err != nil {
				t.Fatal(err)
			}
			again, err := file.Read(&written)
			if err != nil {
				t.Fatal(err)
			}
			if len(again.Steps) != len(r.Steps) || len(r.Steps) < 200 {
				t.Errorf("%s: %d steps of %d", peers[i].ID(), len(again.Steps), len(r.Steps))
			}
			again.Setup = r.Setup
			if err := again.Run(); err != nil {
				t.Errorf("%s, from the file: %.2000v", peers[i].ID(), err)
			}
			again.Setup.Seed[0]++
			if again.Run() == nil {
				t.Errorf("%s: another seed makes no difference", peers[i].ID())
			}
		}
	})
}

// The last inputs are kept within bounds, and logged without the text of broadcasts.
func TestTrail(t *testing.T) {
	var l trail
	for i := range 10_000 {
		l.remember(time.Duration(i), core.Broadcast{Body: strings.Repeat("secret", i%3000)})
		l.remember(time.Duration(i), core.Heard{})
		l.remember(time.Duration(i), core.Tick{})
		sum := 0
		for _, s := range l.steps {
			if s.in != nil {
				sum += s.bytes
			}
		}
		if sum != l.bytes || sum > trailBytes || len(l.steps) > trailInputs {
			t.Fatalf("%d inputs of %d bytes, counted as %d", len(l.steps), sum, l.bytes)
		}
	}
	l.remember(0, core.Received{Link: 7, Frame: pb.Wrap(&pb.Observed{Address: "bob"})})
	l.remember(0, core.Received{Link: 8, Frame: pb.Wrap(&pb.Broadcast{Content: &pb.Signed{Payload: []byte("secret")}})})
	if text := l.tail(3); strings.Count(text, "\n") != 3 || !strings.Contains(text, "Link:7") || !strings.Contains(text, `"bob"`) {
		t.Error(text)
	}
	text := l.tail(trailInputs)
	if strings.Contains(text, "secret") || !strings.Contains(text, "core.Broadcast of 5") || !strings.Contains(text, "core.Tick") {
		t.Error(text)
	}
}
