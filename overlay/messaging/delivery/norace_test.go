//go:build !race

package delivery

// seedsByDefault is how many seeds the simulation runs.
const seedsByDefault = 500
