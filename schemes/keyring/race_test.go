//go:build race

package keyring

// raceDetector is on: sync.Pool then drops items at random, to find misuse.
const raceDetector = true
