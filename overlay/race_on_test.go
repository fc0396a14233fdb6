//go:build race

package overlay

// raceDetector says that the tests are built with the race detector.
const raceDetector = true
