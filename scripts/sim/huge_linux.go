package main

import (
	"runtime"
	"syscall"
)

// hugePages has the heap grow in huge pages, up to so many bytes: the tables of thousands of peers
// are read all over, and each look into 10 GiB of small pages misses the processor's list of pages
// too. The memory that is asked for so is given back at once, untouched, and the heap takes it from
// there.
func hugePages(bytes int64) {
	_ = syscall.Madvise(make([]byte, bytes), syscall.MADV_HUGEPAGE) // without them it is just slower
	runtime.GC()
}
