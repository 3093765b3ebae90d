// Package adaptertest is the contract of an adapter, as a test suite: what the
// switch relies on when it asks any scheme in any protocol. Every adapter runs it
// over its real link, on loopback, against a far side that does as it is told by
// the code it is shown.
package adaptertest
