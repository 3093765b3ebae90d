package clearing

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/tongma/tongma/clearing/journal"
)

// SnapshotOptions say whether a Ledger and a Standby keep a snapshot of the Book, so
// that a start reads it and what is behind it, not the whole journal. A snapshot is
// only a cache: one that is damaged, of another shard or version, or not of this
// journal is passed over, and the journal read from its beginning.
//
// It is written when the Ledger or the Standby is closed and, with Every, now and
// then: by a reader of its own, which takes the last snapshot, reads on in the
// journal, and writes the next one. The writer is never held up for it, but for a
// while there are two Books in memory.
type SnapshotOptions struct {
	Path  string              // file; empty keeps none
	Every uint64              // entries after which another one is written; zero: only at Close
	See   uint64              // first entry that OnReplay has to see even if the snapshot is behind it; zero: none that the snapshot holds
	Told  func(SnapshotEvent) // what became of one, from any goroutine; may be nil
}

// SnapshotEvent is what became of a snapshot.
type SnapshotEvent struct {
	Read bool // it was read at a start; otherwise written
	At   journal.Position
	Took time.Duration
	Err  error // why it was passed over, or could not be written
}

// WriteSnapshotFile replaces the snapshot at path, durably: whenever a crash comes,
// the file is the old one or the new one. The Book must not change meanwhile.
func WriteSnapshotFile(path string, b *Book, at journal.Position) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails, and should, once it is renamed
	err = b.WriteSnapshot(f, at)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	// Until here a crash leaves the old one, and a temporary file that nobody reads.
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// ReadSnapshotFile reads the snapshot at path; nil if there is none.
func ReadSnapshotFile(path string) (*Book, journal.Position, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, journal.Position{}, nil
	}
	if err != nil {
		return nil, journal.Position{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, journal.Position{}, err
	}
	return ReadSnapshot(f, info.Size())
}

// snapshots keeps the snapshot of one shard.
type snapshots struct {
	SnapshotOptions
	store   journal.Store
	shard   uint16
	life    context.Context
	end     context.CancelFunc
	working sync.WaitGroup

	mu      sync.Mutex // guards what follows; nothing is called while it is held
	last    uint64     // entry that is next behind the last one
	writing bool
}

func newSnapshots(o SnapshotOptions, store journal.Store, shard uint16) *snapshots {
	s := &snapshots{SnapshotOptions: o, store: store, shard: shard}
	s.life, s.end = context.WithCancel(context.Background())
	return s
}

func (s *snapshots) tell(e SnapshotEvent) {
	if s.Told != nil {
		s.Told(e)
	}
}

// load returns the Book of the snapshot, if there is one that fits the journal in
// store: the message at its position has to have the hash that it names. What see
// has to see although the snapshot holds it is shown to it.
func (s *snapshots) load(ctx context.Context, see func([]Entry)) (*Book, journal.Position) {
	if s.Path == "" {
		return nil, journal.Position{}
	}
	began := time.Now()
	b, at, err := ReadSnapshotFile(s.Path)
	if b == nil && err == nil {
		return nil, at
	}
	if err == nil && at.Shard != s.shard {
		err = fmt.Errorf("clearing: the snapshot is of shard %d, this is shard %d", at.Shard, s.shard)
	}
	if err == nil {
		err = s.fits(ctx, at)
	}
	if err == nil {
		err = s.show(ctx, at, see)
	}
	if s.tell(SnapshotEvent{Read: true, At: at, Took: time.Since(began), Err: err}); err != nil {
		return nil, journal.Position{}
	}
	s.mu.Lock()
	s.last = at.Next
	s.mu.Unlock()
	return b, at
}

var errFits = errors.New("clearing: it fits")

// fits holds a position against the stream. What stands there of a writer that was
// deposed does not count and has no hash: then the next batch tells.
func (s *snapshots) fits(ctx context.Context, at journal.Position) error {
	if at.Sequence == 0 {
		return errors.New("clearing: the snapshot stands behind no batch")
	}
	err := s.store.Read(ctx, at.Sequence, func(_ uint64, message []byte) error {
		if b, err := journal.ParseBatch(message); err == nil && b.Epoch < at.Epoch {
			return errFits
		}
		if journal.Hash(message) != at.Hash {
			return fmt.Errorf("clearing: the journal has another batch at sequence %d than the snapshot", at.Sequence)
		}
		return errFits
	})
	switch {
	case errors.Is(err, errFits):
		return nil
	case err == nil:
		return fmt.Errorf("clearing: the journal ends before sequence %d, where the snapshot stands", at.Sequence)
	}
	return err
}

// write writes a snapshot, if there is anything new in it.
func (s *snapshots) write(b *Book, at journal.Position) {
	s.mu.Lock()
	old := s.Path == "" || at.Next <= s.last || at.Number == 0
	s.mu.Unlock()
	if old {
		return
	}
	began := time.Now()
	err := WriteSnapshotFile(s.Path, b, at)
	if err == nil {
		s.mu.Lock()
		s.last = at.Next
		s.mu.Unlock()
	}
	s.tell(SnapshotEvent{At: at, Took: time.Since(began), Err: err})
}

// passed hears that the journal goes on behind an entry, and has another snapshot
// made if it is time.
func (s *snapshots) passed(next uint64) {
	if s.Path == "" || s.Every == 0 {
		return
	}
	s.mu.Lock()
	due := !s.writing && next >= s.last+s.Every && s.life.Err() == nil
	if due {
		s.writing = true
		s.working.Add(1)
	}
	s.mu.Unlock()
	if !due {
		return
	}
	go func() {
		defer s.working.Done()
		s.renew()
		s.mu.Lock()
		s.writing = false
		if s.last < next {
			s.last = next // it failed: not before as many entries again
		}
		s.mu.Unlock()
	}()
}

// renew makes the next snapshot of the last one and of the journal behind it.
func (s *snapshots) renew() {
	b, at, err := ReadSnapshotFile(s.Path)
	if err != nil || b == nil || at.Shard != s.shard || s.fits(s.life, at) != nil {
		b, at = NewBook(), journal.Position{Shard: s.shard}
	}
	log, err := journal.Open(s.life, s.store, s.shard, func(batch journal.Batch) error { return b.Replay(batch, nil) }, journal.From(at))
	if err != nil {
		s.tell(SnapshotEvent{At: at, Err: err})
		return
	}
	s.write(b, log.Position())
	if err := log.Close(); err != nil {
		s.tell(SnapshotEvent{At: at, Err: err})
	}
}

// close ends what is being made in the background.
func (s *snapshots) close() {
	s.end()
	s.working.Wait()
}

// show shows the batches with entries from See on that stand in front of a position
// to OnReplay. They are linked by their hashes to the batch of the position.
func (s *snapshots) show(ctx context.Context, at journal.Position, see func([]Entry)) error {
	if s.See == 0 || s.See >= at.Next || see == nil {
		return nil
	}
	from, err := s.sequenceOf(ctx, s.See, at.Sequence)
	if err != nil {
		return err
	}
	var before journal.Batch
	var hash [32]byte
	var shown [][]Entry
	err = s.store.Read(ctx, from, func(seq uint64, message []byte) error {
		b, err := journal.ParseBatch(message)
		switch {
		case err != nil:
			return err
		case b.Epoch < before.Epoch: // of a writer that was deposed: it does not count
		case seq > from && b.Prev != hash, seq == from && b.First > s.See:
			return fmt.Errorf("clearing: the batch at sequence %d is not linked to the one before it", seq)
		default:
			before, hash = b, journal.Hash(message)
			es, err := entriesOf(b)
			if err != nil {
				return err
			}
			shown = append(shown, es)
		}
		if seq >= at.Sequence {
			return errFits
		}
		return nil
	})
	if err != nil && !errors.Is(err, errFits) {
		return err
	}
	if hash != at.Hash {
		return fmt.Errorf("clearing: the batches in front of sequence %d are not linked to it", at.Sequence)
	}
	for _, es := range shown {
		see(es)
	}
	return nil
}

func entriesOf(b journal.Batch) (es []Entry, err error) {
	for _, data := range b.Entries {
		e, err := ParseEntry(data)
		if err != nil {
			return nil, err
		}
		es = append(es, e)
	}
	return es, nil
}

// sequenceOf finds a message at or in front of the one with an entry, by halving.
func (s *snapshots) sequenceOf(ctx context.Context, entry, last uint64) (uint64, error) {
	low, high := uint64(1), last // the message at low is not behind it
	for low < high {
		middle := low + (high-low+1)/2
		first := uint64(0)
		err := s.store.Read(ctx, middle, func(_ uint64, message []byte) error {
			b, err := journal.ParseBatch(message)
			first = b.First
			return errors.Join(errFits, err)
		})
		if err != nil && !errors.Is(err, errFits) {
			return 0, err
		}
		if first <= entry {
			low = middle
		} else {
			high = middle - 1
		}
	}
	return low, nil
}
