package journal

import (
	"crypto/rand"
	"encoding/binary"
	"time"
)

// Option is a choice made at Open.
type Option func(*options)

type options struct {
	from       Position
	checkpoint string
	every      time.Duration
	draw       func() uint64
}

// From goes on behind the position that a snapshot of the books was taken at,
// instead of reading from the beginning. The message at that position is read,
// and must have its hash.
func From(p Position) Option { return func(o *options) { o.from = p } }

// WithCheckpoint compares the stream with the checkpoint file at path, if there
// is one, and keeps the file up to date, at most once in every and at Close.
func WithCheckpoint(path string, every time.Duration) Option {
	return func(o *options) { o.checkpoint, o.every = path, every }
}

// WithWriters sets where the numbers of writers come from, in a simulation that
// must repeat. They must differ for every take-over of a shard, and not be 0.
func WithWriters(draw func() uint64) Option { return func(o *options) { o.draw = draw } }

// randomWriter draws the number of a writer. Two writers that take over behind
// the same batch in the same millisecond must not write the same bytes: each
// would find the other's record and take it for its own.
func randomWriter() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails, by its documentation
	return max(binary.BigEndian.Uint64(b[:]), 1)
}
