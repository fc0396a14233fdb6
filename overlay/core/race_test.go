//go:build race

package core

// Race says that the tests are built with the race detector, which finds nothing here: the core
// starts no goroutine, as scripts/arch enforces. So each simulation runs one seed with it, as an
// example, and all without it.
const Race = true
