//go:build !race

package overlay

// raceDetector says whether the tests are built with the race detector.
const raceDetector = false
