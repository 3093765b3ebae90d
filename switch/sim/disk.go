package sim

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/tongma/tongma/clearing/journal"
)

// publishWait is how long who appends waits for the disk's word.
const publishWait = 3 * time.Second

// disk is the journal's server and its disk. What it has acknowledged it keeps,
// whatever happens; of what it has not, anything may be left.
type disk struct {
	h        *history
	messages [][]byte
	tail     []byte // of a frame that was being written when the power went
	slow     int    // spells of now
	full     int
	away     int
	damaged  bool
}

// cable is one switch's way to the disk. It implements journal.Store.
type cable struct {
	d       *disk
	p       *plant
	count   uint64
	pending *write // at most one
}

// write is one append on its way.
type write struct {
	message []byte
	expect  uint64
	reply   chan written
	lost    bool // it will not reach the disk
	done    bool // it has reached it
}

type written struct {
	seq uint64
	err error
}

func (w *write) answer(seq uint64, err error) {
	select {
	case w.reply <- written{seq, err}:
	default: // the asker has been told something before
	}
}

var errPower = fmt.Errorf("%w: the switch is dead", journal.ErrStopped)

// Append implements journal.Store.
func (c *cable) Append(ctx context.Context, expectLast uint64, message []byte) (uint64, error) {
	h := c.d.h
	h.mu.Lock()
	if c.p.dead {
		h.mu.Unlock()
		return 0, errPower
	}
	c.count++
	r := h.stream('d', c.p.number, c.count)
	w := &write{message: bytes.Clone(message), expect: expectLast, reply: make(chan written, 1)}
	c.pending = w
	c.d.plan(w, r.Float64())
	delay, back := between(r, 50*time.Microsecond, 3*time.Millisecond), between(r, 20*time.Microsecond, time.Millisecond)
	if c.d.slow > 0 {
		h.count(DiskSlow)
		delay = between(r, 300*time.Millisecond, 6*time.Second)
	}
	unsaid := chance(r, h.rate(h.plan.unsaid))
	if !w.lost && chance(r, h.rate(h.plan.stale)) {
		delay = between(r, publishWait, 3*publishWait)
		h.count(AppendStoredLate)
	}
	if !w.lost {
		h.after(delay, func() { c.d.write(c, w, back, unsaid) })
	}
	patience, hiccup := time.NewTimer(publishWait+between(r, 0, time.Second)), between(r, 0, grain)
	defer patience.Stop()
	h.mu.Unlock()
	select {
	case a := <-w.reply:
		return a.seq, a.err
	case <-patience.C:
		return 0, fmt.Errorf("%w: no answer", journal.ErrInDoubt)
	case <-c.p.killed:
		return 0, errPower
	case <-ctx.Done():
		time.Sleep(hiccup)
		return 0, fmt.Errorf("%w: %w", journal.ErrInDoubt, ctx.Err())
	}
}

// plan decides whether a write gets to the disk at all.
func (d *disk) plan(w *write, roll float64) {
	switch {
	case d.away > 0:
		w.lost = true
		d.h.count(DiskAway)
	case d.full > 0: // the server does not answer when it has no room
		w.lost = true
		d.h.count(DiskFull)
	case roll < d.h.rate(d.h.plan.lost):
		w.lost = true
		d.h.count(AppendNotStored)
	}
}

// write is the moment in which an append takes effect, or not.
func (d *disk) write(c *cable, w *write, back time.Duration, unsaid bool) {
	h := d.h
	if w.lost {
		return
	}
	w.done = true
	if c.pending == w {
		c.pending = nil
	}
	last := uint64(len(d.messages))
	if last != w.expect {
		h.tell("disk: switch %d wants to write behind %d, last is %d", c.p.number, w.expect, last)
		h.after(back, func() { w.answer(0, fmt.Errorf("%w: last is %d, want %d", journal.ErrMoved, last, w.expect)) })
		return
	}
	d.messages = append(d.messages, w.message)
	h.tell("disk: switch %d stored %d, %d bytes", c.p.number, last+1, len(w.message))
	h.oracle.message(last+1, w.message)
	if unsaid {
		h.count(AppendStored)
		return
	}
	h.after(back, func() { w.answer(last+1, nil) })
}

// powerLost decides what is left of an append that was under way when the switch
// and its disk lost their power: all, nothing, or a torn piece of it.
func (d *disk) powerLost(c *cable) {
	w, r := c.pending, d.h.rand
	if w == nil || w.done || w.lost {
		return
	}
	if r.IntN(3) == 0 {
		return // the disk is another machine's, and the message is on its way to it
	}
	w.lost = true
	d.h.count(TailLost)
	if r.IntN(2) == 0 {
		return
	}
	frame := binary.BigEndian.AppendUint32(nil, uint32(len(w.message)))
	frame = append(binary.BigEndian.AppendUint32(frame, crc32.ChecksumIEEE(w.message)), w.message...)
	if uint64(len(d.messages)) == w.expect {
		d.tail = frame[:1+r.IntN(len(frame))]
		d.h.count(TornWrite)
		d.mend(w.message)
	}
}

// mend is what a disk does at its start with the end of its file: a frame that is
// whole counts, a torn one is cut off.
func (d *disk) mend(message []byte) {
	whole := len(d.tail) == 8+len(message) && crc32.ChecksumIEEE(d.tail[8:]) == binary.BigEndian.Uint32(d.tail[4:])
	d.tail = nil
	if whole {
		d.messages = append(d.messages, message)
		d.h.oracle.message(uint64(len(d.messages)), message)
	}
}

var errAway = errors.New("sim: the disk is away")

// Read implements journal.Store.
func (c *cable) Read(ctx context.Context, from uint64, fn func(uint64, []byte) error) error {
	c.d.h.mu.Lock()
	messages := c.d.messages
	err := c.reachable()
	c.d.h.mu.Unlock()
	if err != nil {
		return err
	}
	for i := max(from, 1); i <= uint64(len(messages)); i++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(i, messages[i-1]); err != nil {
			return err
		}
	}
	return nil
}

func (c *cable) reachable() error {
	switch {
	case c.p.dead:
		return errPower
	case c.d.away > 0:
		return errAway
	}
	return nil
}

// Last implements journal.Store.
func (c *cable) Last(context.Context) (uint64, error) {
	c.d.h.mu.Lock()
	defer c.d.h.mu.Unlock()
	return uint64(len(c.d.messages)), c.reachable()
}

// Tail implements journal.Store; nobody here follows for long.
func (c *cable) Tail(ctx context.Context, from uint64, fn func(uint64, []byte) error) error {
	for {
		err := c.Read(ctx, from, func(seq uint64, m []byte) error {
			from = seq + 1
			return fn(seq, m)
		})
		if err != nil {
			return err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-c.p.killed:
			return errPower
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// stored is the journal as an auditor reads it.
type stored [][]byte

// Append implements journal.Store, and never stores.
func (stored) Append(context.Context, uint64, []byte) (uint64, error) {
	return 0, fmt.Errorf("%w: read only", journal.ErrStopped)
}

// Read implements journal.Store.
func (s stored) Read(_ context.Context, from uint64, fn func(uint64, []byte) error) error {
	for i := max(from, 1); i <= uint64(len(s)); i++ {
		if err := fn(i, s[i-1]); err != nil {
			return err
		}
	}
	return nil
}

// Last implements journal.Store.
func (s stored) Last(context.Context) (uint64, error) { return uint64(len(s)), nil }

// Tail implements journal.Store as Read: nothing follows.
func (s stored) Tail(ctx context.Context, from uint64, fn func(uint64, []byte) error) error {
	return s.Read(ctx, from, fn)
}
