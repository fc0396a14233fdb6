//go:build race

package coretest

// raceDetector says whether the tests are built with the race detector.
const raceDetector = true
