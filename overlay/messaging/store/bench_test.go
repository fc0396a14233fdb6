package store

import (
	"encoding/binary"
	"os"
	"sync"
	"testing"

	"quicpeer/certs"
)

// BenchmarkWrite writes groups of 128 values of 100 bytes, each of which is taken
// out again by the group after; ns/op is that of a value. One group at a time is
// under way.
func BenchmarkWrite(b *testing.B) {
	s, err := Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	value := make([]byte, 100)
	const group = 128
	number := func(n int) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }
	for n := 0; b.Loop(); n++ {
		if n%group != 0 {
			continue
		}
		var dones sync.WaitGroup
		for i := n; i < n+group; i++ {
			dones.Add(1)
			s.Write(func(err error) {
				if err != nil {
					b.Error(err)
				}
				dones.Done()
			}, Op{Unsettled, number(i), value}, Op{Unsettled, number(i - group), nil})
		}
		dones.Wait()
	}
	if err := s.Close(); err != nil {
		b.Error(err)
	}
}

// BenchmarkNote notes in the order of a receiver that is flooded; done is called
// for each, as receipts wait for it.
func BenchmarkNote(b *testing.B) {
	s, err := Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	done := func(err error) {
		if err != nil {
			b.Error(err)
		}
	}
	b.ReportAllocs()
	n := uint64(0)
	for b.Loop() {
		n++
		noteIn(s, certs.PublicKey{byte(n % 100)}, shown(1, n), done)
	}
	if err := s.Close(); err != nil {
		b.Error(err)
	}
}

// BenchmarkSync is what an fdatasync of 64 bytes takes here, to compare with.
func BenchmarkSync(b *testing.B) {
	f, err := os.Create(b.TempDir() + "/f")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := f.WriteAt(make([]byte, slotSize), 0); err != nil {
			b.Fatal(err)
		}
		if err := fdatasync(f); err != nil {
			b.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		b.Error(err)
	}
}
