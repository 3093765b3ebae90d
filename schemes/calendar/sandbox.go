package calendar

import (
	"bytes"
	_ "embed"
)

//go:embed sandbox.yaml
var sandbox []byte

// Sandbox returns the source of the calendars that the demonstration runs with.
// Their holidays are made up, and must settle no real money.
func Sandbox() []byte { return bytes.Clone(sandbox) }
