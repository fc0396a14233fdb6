//go:build race

package delivery

// seedsByDefault is so small because the race detector finds nothing in a package that
// starts no goroutine: one seed runs with it, as an example.
const seedsByDefault = 10
