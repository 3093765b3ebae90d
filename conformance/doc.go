// Package conformance asks of a switch, from outside only, whether its doors
// behave. It speaks the protocols itself, down to the bytes: the ISO 8583 frames,
// the HTTP requests, the NATS connections and the codes that it sends are made
// here, and nothing of the switch's own adapters, engine or books is imported.
// What the switch and this package agree on is therefore what the documents say,
// and not what one of them happens to do.
//
// BadInputs is the suite of what people do wrong: each case says who does what,
// and what must come of it. A case passes if the door refused it for the right
// reason, no position moved, no hold stayed, and the switch is still alive.
//
// Recompute reads the lines of the journal and computes positions, windows and
// net sheets again, with arithmetic of its own.
package conformance
