package files

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"quicpeer/certs"
	"quicpeer/overlay"
)

// BenchmarkLoopback sends a GiB between two nodes of this process over loopback, disk to disk.
func BenchmarkLoopback(b *testing.B) {
	dir := os.Getenv("FILESBENCH")
	if dir == "" {
		dir = b.TempDir()
	}
	start := func(name string, join ...string) (*overlay.Node, *Files, chan overlay.Event) {
		n, err := overlay.Start(b.Context(), overlay.Config{ID: certs.ID(name), Listen: "127.0.0.1:0", Join: join})
		if err != nil {
			b.Fatal(err)
		}
		events := make(chan overlay.Event, 1000)
		into := filepath.Join(dir, name)
		os.MkdirAll(into, 0o755)
		f, err := Start(Config{Node: n, Into: into, Accept: Rule{All: true}, Tell: func(e overlay.Event) { events <- e }})
		if err != nil {
			b.Fatal(err)
		}
		go func() {
			for e := range n.Events() {
				f.Handle(e)
			}
		}()
		b.Cleanup(func() { f.Close(); n.Close() })
		return n, f, events
	}
	n, alice, _ := start("alice")
	_, bob, got := start("bob", n.Net().Addresses[0].Address)
	_ = bob
	src := filepath.Join(dir, "src")
	if err := os.WriteFile(src, random(1, 1<<30), 0o644); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(1 << 30)
	for b.Loop() {
		began := time.Now()
		if _, err := alice.Offer(b.Context(), "bob", Source{Paths: []string{src}}, ""); err != nil {
			b.Fatal(err)
		}
		for e := range got {
			if _, ok := e.(Done); ok {
				break
			}
			if e, ok := e.(Ended); ok {
				b.Fatal(e)
			}
		}
		fmt.Println(time.Since(began))
	}
}
