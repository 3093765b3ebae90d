package journal

import (
	"context"
	"errors"
	"fmt"
)

// What a Store says when it did not simply append. Errors are wrapped: test with
// errors.Is.
var (
	// ErrMoved: the last message is not the expected one; nothing was stored.
	ErrMoved = errors.New("journal: the tail moved")
	// ErrInDoubt: not known whether the message was, or will yet be, stored.
	ErrInDoubt = errors.New("journal: not known whether stored")
	// ErrStopped: the store takes no more, as when the disk is full or an fsync
	// failed. It may still have stored the message. A retry can only do harm.
	ErrStopped = errors.New("journal: stopped")
	// ErrNoRoom is an ErrStopped: the disk is full, or what the server may use of it.
	ErrNoRoom = fmt.Errorf("%w, no room", ErrStopped)
)

// Store keeps the messages of one shard, in the order of their sequence, which
// counts from 1 without gaps. Append is called by one goroutine at a time, with
// one message at most in flight; the other methods may be called at any time.
type Store interface {
	// Append stores message durably as the one behind sequence expectLast, and
	// returns its own sequence, which is expectLast+1. It does not keep message.
	// Errors are ErrMoved, ErrInDoubt, or ErrStopped; never ctx's own, since a
	// context that ends in between leaves doubt.
	Append(ctx context.Context, expectLast uint64, message []byte) (seq uint64, err error)

	// Read calls fn for each message from sequence from (1 or more) up to the
	// last at the time of the call, in order and without a gap, as an Append
	// would see them. A message is valid only during fn. An error of fn ends the
	// reading and is returned as it is.
	Read(ctx context.Context, from uint64, fn func(seq uint64, message []byte) error) error

	// Last returns the sequence of the last message, 0 for none, as an Append
	// would see it.
	Last(ctx context.Context) (seq uint64, err error)

	// Tail calls fn as Read does, and then for each message that follows, until
	// ctx ends or fn fails. It returns the error of the one or the other.
	Tail(ctx context.Context, from uint64, fn func(seq uint64, message []byte) error) error
}
