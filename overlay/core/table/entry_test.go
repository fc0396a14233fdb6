package table

import (
	"testing"
	"unsafe"
)

// TestEntryIsSmall: a network of n peers has n² entries, and the next size of the allocator
// above 64 bytes is 80.
func TestEntryIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(Entry{}); n > 64 {
		t.Errorf("an entry has %d bytes", n)
	}
}
