package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrFenced: another writer has taken over, or this one never did. What was to
// be committed is not in the journal and never will be. Step down.
var ErrFenced = errors.New("journal: fenced, not the writer")

// errOthers: behind the chain there is a batch that counts and is not ours.
var errOthers = errors.New("journal: another writer's batch")

// Pauses between two tries to find out what became of a batch.
const (
	minPause = 5 * time.Millisecond
	maxPause = 50 * time.Millisecond // an election ends once, and everybody waits for who asks last
	staleFor = 3 * time.Second       // how long an end of the stream before ours may be an old one
)

// Log is one writer's view of a shard: the checked chain, and at most one batch
// in flight. TakeOver, Commit, CatchUp and Follow are called by one goroutine at
// a time; the other methods by any.
type Log struct {
	store  Store
	replay func(Batch) error
	draw   func() uint64
	mark   *Position // checkpoint not yet passed, or nil
	marker *marker   // keeps the checkpoint file, or nil

	chain  *Chain
	writer uint64 // who we are in the epoch that we opened; 0 while only reading
	dead   error  // ErrFenced or ErrStopped, and why; nothing may be written any more
	buf    []byte // the message in flight
	group  Group  // of Commit

	mu sync.Mutex // guards at, which others read; nothing is called while it is held
	at Position
}

// Open reads the stream of a shard, checks all of it, and calls replay for each
// batch that counts, epoch records included; entries are valid only during the
// call. A stream that is damaged, or ends before its checkpoint, is refused with
// the exact place. The Log only reads until TakeOver; Close it in the end.
func Open(ctx context.Context, store Store, shard uint16, replay func(Batch) error, choices ...Option) (*Log, error) {
	o := options{from: Position{Shard: shard}, draw: randomWriter}
	for _, choose := range choices {
		choose(&o)
	}
	if o.from.Shard != shard {
		return nil, fmt.Errorf("journal: the position to start from is of shard %d, want %d", o.from.Shard, shard)
	}
	l := &Log{store: store, replay: replay, draw: o.draw, chain: NewChain(o.from)}
	if err := l.readMark(o.checkpoint); err != nil {
		return nil, err
	}
	if err := l.checkStart(ctx); err != nil {
		return nil, err
	}
	if err := l.CatchUp(ctx); err != nil {
		return nil, err
	}
	if l.mark != nil {
		return nil, l.chain.fail(l.chain.at.Sequence+1, fmt.Sprintf("more, up to batch %d with hash %x at sequence %d, as the checkpoint has it",
			l.mark.Number, l.mark.Hash, l.mark.Sequence), "the end of the stream", nil)
	}
	if o.checkpoint != "" {
		l.marker = startMarker(o.checkpoint, o.every, l.Position)
	}
	return l, nil
}

// readMark loads the checkpoint that the stream must come up to.
func (l *Log) readMark(path string) error {
	if path == "" {
		return nil
	}
	mark, found, err := ReadCheckpoint(path)
	if err != nil || !found {
		return err
	}
	if mark.Shard != l.chain.at.Shard {
		return fmt.Errorf("journal: %s is of shard %d, want %d", path, mark.Shard, l.chain.at.Shard)
	}
	if mark.Number < l.chain.at.Number {
		return nil // the start was checked when it was made
	}
	l.mark = &mark
	return l.passMark()
}

// passMark compares the chain with the checkpoint when it comes to its batch.
func (l *Log) passMark() error {
	if l.mark == nil || l.chain.at.Number < l.mark.Number {
		return nil
	}
	if l.chain.at.Hash != l.mark.Hash {
		return &ChainError{Shard: l.chain.at.Shard, Sequence: l.chain.at.Sequence, Batch: l.mark.Number,
			Want: fmt.Sprintf("hash %x, as the checkpoint has it", l.mark.Hash), Got: fmt.Sprintf("%x", l.chain.at.Hash)}
	}
	l.mark = nil
	return nil
}

// errSeen ends a reading early.
var errSeen = errors.New("journal: seen")

// checkStart compares the message at the position to start from with its hash. A
// batch that does not count has no hash there; the next one's Prev tells then.
func (l *Log) checkStart(ctx context.Context) error {
	at := l.chain.at
	if at.Sequence == 0 {
		return nil
	}
	err := l.store.Read(ctx, at.Sequence, func(seq uint64, message []byte) error {
		if b, err := ParseBatch(message); err == nil && b.Epoch < at.Epoch {
			return errSeen
		}
		if h := Hash(message); h != at.Hash {
			return &ChainError{Shard: at.Shard, Sequence: seq, Batch: at.Number,
				Want: fmt.Sprintf("hash %x, as the snapshot has it", at.Hash), Got: fmt.Sprintf("%x", h)}
		}
		return errSeen
	})
	switch {
	case errors.Is(err, errSeen):
		return nil
	case err == nil:
		return &ChainError{Shard: at.Shard, Sequence: at.Sequence, Batch: at.Number,
			Want: fmt.Sprintf("hash %x, as the snapshot has it", at.Hash), Got: "the end of the stream"}
	}
	return err
}

// CatchUp reads what other writers have appended since, checks it, and calls
// replay for each batch that counts. A writer has nothing to catch up with.
func (l *Log) CatchUp(ctx context.Context) error {
	if l.dead != nil || l.writer != 0 {
		return l.dead
	}
	defer l.publish()
	return l.store.Read(ctx, l.chain.at.Sequence+1, l.take)
}

// Follow does what CatchUp does, and goes on until ctx ends: a standby keeps its
// book warm with it. Then TakeOver may be called.
func (l *Log) Follow(ctx context.Context) error {
	if l.dead != nil || l.writer != 0 {
		return l.dead
	}
	return l.store.Tail(ctx, l.chain.at.Sequence+1, func(seq uint64, message []byte) error {
		defer l.publish()
		return l.take(seq, message)
	})
}

// take is the one way in for a batch that another wrote, at start and behind. Its
// errors, unlike those of the store, are for good.
func (l *Log) take(seq uint64, message []byte) error {
	err := l.check(seq, message)
	if err != nil {
		l.stop(err)
	}
	return err
}

func (l *Log) check(seq uint64, message []byte) error {
	b, counts, err := l.chain.Check(seq, message)
	if err != nil || !counts {
		return err
	}
	if err := l.passMark(); err != nil {
		return err
	}
	if err := l.replay(b); err != nil {
		return fmt.Errorf("journal: replay of batch %d at sequence %d: %w", b.Number, seq, err)
	}
	return nil
}

// TakeOver appends an epoch record, from which on only this Log may write, and
// calls replay for it. If another writer is quicker it reads on and tries again,
// until ctx ends. It does nothing if the Log is the writer already.
func (l *Log) TakeOver(ctx context.Context, timeMillis int64) error {
	if l.writer != 0 {
		return l.dead
	}
	for {
		if err := l.CatchUp(ctx); err != nil {
			return err
		}
		b := l.next(l.chain.at.Epoch+1, l.draw())
		b.Time = timeMillis
		b.Root = MerkleRoot(nil)
		err := l.put(ctx, &b, b.AppendTo(nil))
		if errors.Is(err, errOthers) {
			continue
		}
		if err != nil {
			return err
		}
		l.writer = b.Writer
		l.publish()
		if err := l.replay(b); err != nil {
			return l.stop(fmt.Errorf("journal: replay of epoch record %d: %w", b.Epoch, err))
		}
		return nil
	}
}

// Commit is CommitGroup of entries as they are.
func (l *Log) Commit(ctx context.Context, entries [][]byte, timeMillis int64, directory uint64) error {
	if err := CheckEntries(entries); err != nil {
		return err
	}
	l.group.Reset()
	for _, e := range entries {
		l.group.Add(raw(e))
	}
	return l.CommitGroup(ctx, &l.group, timeMillis, directory)
}

// raw is an entry that is encoded already.
type raw []byte

func (r raw) AppendTo(b []byte) []byte { return append(b, r...) }

// CommitGroup stores a group as one batch, durably, and returns nil only then. It is
// the only batch in flight. If it cannot tell whether the batch was stored it
// reads the stream until it can, so that its errors are few:
//
//	ErrBounds   the entries do not fit a batch; nothing happened
//	ErrFenced   another writer took over; the batch is not and will not be stored
//	ErrStopped  stop accepting; what became of this batch, the next Open tells
//	ctx's       ctx ended; if before the batch was sent, nothing happened, else it
//	            is as ErrStopped, and every later call returns that
//
// Give ctx a deadline of some seconds: a server whose disk is full or broken does
// not answer at all, and this is how long CommitGroup will ask.
//
// Durable when it returns nil: a crash then loses nothing of it
// (TestKillLosesNothingAcknowledged). A crash before leaves the whole batch or
// nothing of it.
func (l *Log) CommitGroup(ctx context.Context, g *Group, timeMillis int64, directory uint64) error {
	if l.dead != nil {
		return l.dead
	}
	if l.writer == 0 {
		return fmt.Errorf("%w: commit before take-over", ErrFenced)
	}
	b := l.next(l.chain.at.Epoch, l.writer)
	b.Entries, b.Time, b.Directory = g.all(), timeMillis, directory
	if err := CheckEntries(b.Entries); err != nil {
		return err
	}
	g.Hash(len(b.Entries))
	b.Root = g.tree.root()
	b.appendHeader(g.message[:0])
	err := l.put(ctx, &b, g.message)
	if errors.Is(err, errOthers) {
		l.dead = fmt.Errorf("%w: %w", ErrFenced, err)
		return l.dead
	}
	if err == nil {
		l.publish()
	}
	return err
}

// next returns a batch that fits behind the chain.
func (l *Log) next(epoch, writer uint64) Batch {
	at := &l.chain.at
	return Batch{Shard: at.Shard, Epoch: epoch, Writer: writer, Number: at.Number + 1, First: at.nextEntry(), Prev: at.Hash}
}

// put gets the batch stored by its message as the next one that counts, and knows it
// when it returns nil. Sending the same bytes again behind the same sequence can store
// them only once: whichever copy comes first moves the tail for the other.
func (l *Log) put(ctx context.Context, b *Batch, message []byte) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.buf = message
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		_, err := l.store.Append(ctx, l.chain.at.Sequence, l.buf)
		switch {
		case err == nil:
			l.chain.advance(l.chain.at.Sequence+1, b, l.buf)
			return nil
		case !errors.Is(err, ErrMoved) && !errors.Is(err, ErrInDoubt):
			return l.stop(err)
		}
		stored, err := l.settle(ctx, b, err, pause)
		if stored || err != nil {
			return err
		}
	}
}

// settle finds out what became of a batch whose Append ended in because: stored,
// or not there (yet), or an error, errOthers if another's batch is in its place.
// While the store cannot be read it waits and asks again, until ctx ends.
func (l *Log) settle(ctx context.Context, b *Batch, because error, pause time.Duration) (stored bool, err error) {
	for {
		stored, err = l.look(ctx, b)
		var broken *ChainError
		switch {
		case stored || errors.Is(err, errOthers):
			return stored, err
		case errors.As(err, &broken), errors.Is(err, ErrStopped):
			return false, l.stop(err)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			l.stop(because)
			return false, fmt.Errorf("journal: batch %d: %w: %w", b.Number, ctx.Err(), because)
		}
		if err == nil {
			return false, nil
		}
		pause = min(2*pause, maxPause)
	}
}

// end returns where the stream ends. A server of a cluster that was asleep shows an
// old end, before ours, until it has heard of the new leader: it is asked again for a
// while before that counts.
func (l *Log) end(ctx context.Context) (uint64, error) {
	for began := time.Now(); ; {
		last, err := l.store.Last(ctx)
		if err != nil || last >= l.chain.at.Sequence || time.Since(began) > staleFor {
			return last, err
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(maxPause):
		}
	}
}

// look reads what stands behind the chain. It passes over batches that do not
// count, and stops at ours or at the first other one.
func (l *Log) look(ctx context.Context, b *Batch) (stored bool, err error) {
	last, err := l.end(ctx)
	if err != nil {
		return false, err
	}
	if last < l.chain.at.Sequence {
		return false, &ChainError{Shard: b.Shard, Sequence: last + 1, Batch: b.Number - 1,
			Want: fmt.Sprintf("messages up to sequence %d", l.chain.at.Sequence), Got: "the end of the stream"}
	}
	err = l.store.Read(ctx, l.chain.at.Sequence+1, func(seq uint64, message []byte) error {
		if bytes.Equal(message, l.buf) {
			l.chain.advance(seq, b, l.buf)
			stored = true
			return errSeen
		}
		probe := *l.chain
		_, counts, err := probe.Check(seq, message)
		if err != nil {
			return err
		}
		if counts {
			return fmt.Errorf("%w at sequence %d", errOthers, seq)
		}
		*l.chain = probe
		return nil
	})
	if errors.Is(err, errSeen) {
		err = nil
	}
	return stored, err
}

// stop ends all writing, for good, and returns why.
func (l *Log) stop(why error) error {
	if l.dead == nil {
		l.dead = why
		if !errors.Is(why, ErrStopped) {
			l.dead = fmt.Errorf("%w: %w", ErrStopped, why)
		}
	}
	return l.dead
}

// publish shows the chain's position to other goroutines.
func (l *Log) publish() {
	l.mu.Lock()
	l.at = l.chain.at
	l.mu.Unlock()
}

// Position returns how far the journal is known to reach.
func (l *Log) Position() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at
}

// Next returns the number that the next entry gets, from 1.
func (l *Log) Next() uint64 { p := l.Position(); return p.nextEntry() }

// Epoch returns the epoch of the last take-over; 0 if there was none.
func (l *Log) Epoch() uint64 { return l.Position().Epoch }

// Head returns number and hash of the last batch that counts.
func (l *Log) Head() (number uint64, hash [32]byte) {
	p := l.Position()
	return p.Number, p.Hash
}

// CheckpointErr returns why the checkpoint file could not be written the last
// time, or nil. Commits go on without it, but a lost tail would not be noticed.
func (l *Log) CheckpointErr() error {
	if l.marker == nil {
		return nil
	}
	return l.marker.lastError()
}

// Close writes the checkpoint a last time and ends the goroutine that keeps it.
// It does not close the store.
func (l *Log) Close() error {
	if l.marker == nil {
		return nil
	}
	return l.marker.close()
}
