package api

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/journal"
)

const (
	marksMost = 4096 // places in the journal that are remembered
	markEvery = 64   // of the batches that are read through anyway
	nearby    = 256  // batches that are read through rather than asked for one by one
)

// marks remembers which message of the journal begins with which entry, for some
// of them, so that a page is found without asking the store for many messages:
// one that follows another is found at once. Messages never change.
type marks struct {
	// mu guards what follows. Nothing else is taken while it is held.
	mu    sync.Mutex
	known []mark // by seq, and so by first
}

// mark says that the message seq begins with the entry first, or that it has no
// entries and the next one does.
type mark struct{ seq, first uint64 }

func bySeq(m mark, seq uint64) int {
	switch {
	case m.seq < seq:
		return -1
	case m.seq > seq:
		return 1
	}
	return 0
}

// add remembers a place. When there are too many, every second one is forgotten.
func (m *marks) add(place mark) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, there := slices.BinarySearchFunc(m.known, place.seq, bySeq)
	if there {
		return
	}
	if m.known = slices.Insert(m.known, at, place); len(m.known) <= marksMost {
		return
	}
	kept := m.known[:0]
	for i := 0; i < len(m.known); i += 2 {
		kept = append(kept, m.known[i])
	}
	m.known = kept
}

// around returns the last place known that begins at or before an entry, and the
// first that begins behind it; zero if there is none.
func (m *marks) around(entry uint64) (low, high mark) {
	m.mu.Lock()
	defer m.mu.Unlock()
	at, _ := slices.BinarySearchFunc(m.known, entry, func(place mark, entry uint64) int {
		if place.first <= entry {
			return -1
		}
		return 1
	})
	if at > 0 {
		low = m.known[at-1]
	}
	if at < len(m.known) {
		high = m.known[at]
	}
	return low, high
}

// find returns a message from which on an entry is to be looked for: nearby
// batches before it at most. It guesses where the entry is by the entries that
// stand around it, and halves every second time, since batches differ in size.
func (m *marks) find(ctx context.Context, store journal.Store, entry uint64) (uint64, error) {
	last, err := store.Last(ctx)
	if err != nil || last == 0 {
		return 1, err
	}
	low, high := m.around(entry)
	if low.seq == 0 {
		low = mark{1, 1}
	}
	if high.seq == 0 {
		if high, err = m.look(ctx, store, last); err != nil || high.first <= entry {
			return high.seq, err
		}
	}
	for step := 0; high.seq-low.seq > nearby; step++ {
		middle := low.seq + (high.seq-low.seq)/2
		if span := high.first - low.first; step%2 == 0 && span > 0 {
			guess := float64(entry-low.first) / float64(span) * float64(high.seq-low.seq)
			middle = min(max(low.seq+uint64(guess), low.seq+1), high.seq-1)
		}
		place, err := m.look(ctx, store, middle)
		if err != nil {
			return 0, err
		}
		if place.first <= entry {
			low = place
		} else {
			high = place
		}
	}
	return low.seq, nil
}

// errEnough ends a reading early.
var errEnough = errors.New("enough")

// look reads the header of one message.
func (m *marks) look(ctx context.Context, store journal.Store, seq uint64) (mark, error) {
	place := mark{seq: seq}
	err := store.Read(ctx, seq, func(_ uint64, message []byte) error {
		b, err := journal.ParseBatch(message)
		if err != nil {
			return err
		}
		place.first = b.First
		return errEnough
	})
	if !errors.Is(err, errEnough) {
		return place, errors.Join(err, ctx.Err())
	}
	m.add(place)
	return place, nil
}

// lines reads up to limit entries from a number on.
func (m *marks) lines(ctx context.Context, store journal.Store, from uint64, limit int) ([]clearing.Line, error) {
	lines := []clearing.Line{}
	start, err := m.find(ctx, store, from)
	if err != nil {
		return nil, err
	}
	var epoch uint64
	// One message earlier, which may be the epoch record of those that count.
	err = store.Read(ctx, max(start, 2)-1, func(seq uint64, message []byte) error {
		b, err := journal.ParseBatch(message)
		if err != nil {
			return err
		}
		if b.Epoch < epoch { // a deposed writer's, which does not count
			return nil
		}
		epoch = b.Epoch
		if seq%markEvery == 0 {
			m.add(mark{seq, b.First})
		}
		for i, data := range b.Entries {
			if b.First+uint64(i) != from+uint64(len(lines)) {
				continue
			}
			e, err := clearing.ParseEntry(data)
			if err != nil {
				return err
			}
			if lines = append(lines, clearing.NewLine(&e, b.Number, data)); len(lines) == limit {
				m.add(mark{seq, b.First})
				return errEnough
			}
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return lines, err
}

// journal shows entries as they stand in the journal, from a number on.
func (c *call) journal() error {
	limit, err := c.limit(linesStandard, linesMost)
	if err != nil {
		return err
	}
	from, err := c.number("from", 1)
	if err != nil {
		return err
	}
	if c.cfg.Store == nil {
		return &tongma.Error{Op: "http.journal", Reason: tongma.OperationUnknown, Detail: "the journal is not read here"}
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), readWithin)
	defer cancel()
	lines, err := c.marks.lines(ctx, c.cfg.Store, max(from, 1), limit)
	if ctx.Err() != nil {
		return &tongma.Error{Op: "http.journal", Reason: tongma.Overloaded, Err: err}
	}
	if err != nil {
		return &tongma.Error{Op: "http.journal", Reason: tongma.Internal, Err: err}
	}
	return c.send(JournalPage{Lines: lines, Next: max(from, 1) + uint64(len(lines))})
}
