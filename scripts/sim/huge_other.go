//go:build !linux

package main

// hugePages does nothing where the kernel needs no advice or takes none.
func hugePages(int64) {}
