//go:build !race

package core

// Race says that the tests are built with the race detector: see race_test.go.
const Race = false
