package journal

import (
	"bytes"
	"context"
	"fmt"
	"sync"
)

// Fault is what the next Append to a Memory does instead of simply appending.
type Fault uint8

// Faults of a Memory.
const (
	NoFault        Fault = iota
	LostBefore           // in doubt, and not stored
	LostAfter            // in doubt, and stored
	LostLate             // in doubt, not stored yet, but just before the next Append
	StopBefore           // stopped, and not stored
	StopAfter            // stopped, and stored
	MovedByAnother       // the message given to Intrude gets in first
)

// Memory is a Store in memory, for tests and simulations: it fails on demand
// before and after taking effect, and its contents can be damaged.
type Memory struct {
	mu       sync.Mutex // guards all below; nothing is called while it is held
	messages [][]byte
	faults   []Fault
	intruder []byte
	late     []byte
	lateAt   uint64
	stopped  bool
	badReads int
	grown    chan struct{} // closed and replaced with each message
}

// NewMemory returns an empty store.
func NewMemory() *Memory { return &Memory{grown: make(chan struct{})} }

// Fail sets what the next calls of Append do, one after the other.
func (m *Memory) Fail(faults ...Fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults = append(m.faults, faults...)
}

// FailReads makes the next n calls of Read and Last fail.
func (m *Memory) FailReads(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.badReads = n
}

// Intrude sets what another writer appends at the next MovedByAnother.
func (m *Memory) Intrude(message []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.intruder = bytes.Clone(message)
}

// Put appends a message unseen by any writer.
func (m *Memory) Put(message []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.store(message)
}

// Lose drops the last n messages.
func (m *Memory) Lose(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.messages = m.messages[:len(m.messages)-n]
}

// Edit changes what is stored, as damage or an attacker would: fn gets all
// messages and returns those to keep.
func (m *Memory) Edit(fn func(messages [][]byte) [][]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.messages = fn(m.messages)
}

func (m *Memory) store(message []byte) {
	m.messages = append(m.messages, bytes.Clone(message))
	close(m.grown)
	m.grown = make(chan struct{})
}

func (m *Memory) nextFault() Fault {
	if len(m.faults) == 0 {
		return NoFault
	}
	f := m.faults[0]
	m.faults = m.faults[1:]
	return f
}

// Append implements Store.
func (m *Memory) Append(ctx context.Context, expectLast uint64, message []byte) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.late != nil && uint64(len(m.messages)) == m.lateAt {
		m.store(m.late)
	}
	m.late = nil
	fault := m.nextFault()
	switch {
	case m.stopped:
		return 0, fmt.Errorf("%w: memory", ErrStopped)
	case ctx.Err() != nil || fault == LostBefore:
		return 0, fmt.Errorf("%w: lost before it took effect", ErrInDoubt)
	case fault == StopBefore:
		m.stopped = true
		return 0, fmt.Errorf("%w: before it took effect", ErrStopped)
	case fault == LostLate:
		m.late, m.lateAt = bytes.Clone(message), expectLast
		return 0, fmt.Errorf("%w: on its way", ErrInDoubt)
	case fault == MovedByAnother:
		m.store(m.intruder)
	}
	if last := uint64(len(m.messages)); last != expectLast {
		return 0, fmt.Errorf("%w: last is %d, want %d", ErrMoved, last, expectLast)
	}
	m.store(message)
	switch fault {
	case LostAfter:
		return 0, fmt.Errorf("%w: lost after it took effect", ErrInDoubt)
	case StopAfter:
		m.stopped = true
		return 0, fmt.Errorf("%w: after it took effect", ErrStopped)
	}
	return expectLast + 1, nil
}

// snapshot returns the messages from a sequence on, and what closes when there
// are more.
func (m *Memory) snapshot(from uint64) ([][]byte, <-chan struct{}, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.badReads > 0 {
		m.badReads--
		return nil, nil, fmt.Errorf("journal: memory: reading fails on demand")
	}
	if from > uint64(len(m.messages)) {
		return nil, m.grown, nil
	}
	return m.messages[max(from, 1)-1 : len(m.messages) : len(m.messages)], m.grown, nil
}

// Read implements Store.
func (m *Memory) Read(ctx context.Context, from uint64, fn func(uint64, []byte) error) error {
	messages, _, err := m.snapshot(from)
	if err != nil {
		return err
	}
	for i, message := range messages {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(from+uint64(i), message); err != nil {
			return err
		}
	}
	return nil
}

// Last implements Store.
func (m *Memory) Last(context.Context) (uint64, error) {
	messages, _, err := m.snapshot(1)
	return uint64(len(messages)), err
}

// Tail implements Store.
func (m *Memory) Tail(ctx context.Context, from uint64, fn func(uint64, []byte) error) error {
	for {
		messages, grown, err := m.snapshot(from)
		if err != nil {
			return err
		}
		for _, message := range messages {
			if err := fn(from, message); err != nil {
				return err
			}
			from++
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
