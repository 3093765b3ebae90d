package switching

import (
	"bytes"
	"context"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

// adapter returns how a scheme is reached, or nil.
func (e *Engine) adapter(id tongma.SchemeID) Adapter { return (*e.reached.Load())[id] }

// Reach has a scheme asked by this adapter from now on, and takes up what was left
// open for want of one.
func (e *Engine) Reach(id tongma.SchemeID, a Adapter) {
	e.mu.Lock()
	adapters := maps.Clone(*e.reached.Load())
	if adapters == nil {
		adapters = map[tongma.SchemeID]Adapter{}
	}
	adapters[id] = a
	e.reached.Store(&adapters)
	e.mu.Unlock()
	e.takeUpStranded()
}

// strand remembers an open payment whose scheme cannot be asked. It is tried again
// every LookAgain, and when an adapter comes: its hold counts until then.
func (e *Engine) strand(id tongma.PaymentID, scheme tongma.SchemeID) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stranded[id] = scheme; e.looking || e.ctx.Err() != nil {
		return
	}
	e.looking = true
	e.jobs.Go(func() {
		for e.looksOn() {
			select {
			case <-e.ctx.Done():
			case <-time.After(e.opts.LookAgain):
				e.takeUpStranded()
			}
		}
	})
}

// looksOn tells whether there is still something to try again.
func (e *Engine) looksOn() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.looking = len(e.stranded) > 0 && e.ctx.Err() == nil
	return e.looking
}

// takeUpStranded takes up those whose scheme is there now.
func (e *Engine) takeUpStranded() {
	e.mu.Lock()
	var found []tongma.PaymentID
	for id, scheme := range e.stranded {
		if _, known := e.Directory().Scheme(scheme); known && e.adapter(scheme) != nil {
			found = append(found, id)
			delete(e.stranded, id)
		}
	}
	e.mu.Unlock()
	slices.SortFunc(found, func(x, y tongma.PaymentID) int { return bytes.Compare(x[:], y[:]) })
	for _, id := range found {
		if !e.poke(id) { // else whoever found no adapter a moment ago takes it up when it ends
			e.takeUp(id)
		}
	}
}

// enter counts a payment of an asker in, unless too many are under way: no scheme takes
// more than it leaves for others, so that one that is silent, whose payments stay, does
// not keep theirs out.
func (e *Engine) enter(c *course) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	free := e.opts.MostOpen - len(e.courses)
	if free <= 0 || (c.scheme != nil && (e.open[c.scheme.ID] >= free || !e.mayWait(c.scheme.ID))) {
		return false
	}
	e.courses[c.id] = c
	e.count(c)
	return true
}

// mayWait tells whether one more asker may wait for a scheme. Those of one that is
// silent would take up all that the doors can serve at once. e.mu is held.
func (e *Engine) mayWait(id tongma.SchemeID) bool {
	free := e.opts.MostWaiting - e.waiters
	return free > 0 && e.waiting[id] < free
}

// waitFor counts an asker that waits for a scheme. It returns what ends that; nil if it
// may not wait, which only somebody who has a payment already has to bear.
func (e *Engine) waitFor(id tongma.SchemeID, holds bool) (done func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !holds && !e.mayWait(id) {
		return nil
	}
	e.waiters++
	e.waiting[id]++
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.waiters--
		if e.waiting[id]--; e.waiting[id] == 0 {
			delete(e.waiting, id)
		}
	}
}

// count counts a course for its scheme; its end takes it off. e.mu is held.
func (e *Engine) count(c *course) {
	if c.scheme != nil && c.counted == "" {
		c.counted = c.scheme.ID
		e.open[c.counted]++
	}
}

// discount ends what count began. e.mu is held.
func (e *Engine) discount(c *course) {
	if c.counted == "" {
		return
	}
	if e.open[c.counted]--; e.open[c.counted] == 0 {
		delete(e.open, c.counted)
	}
	c.counted = ""
}

func (e *Engine) under() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.courses)
}

// turn waits until a question to a scheme may be asked that nobody waits for, such
// as those about all that a crash left open. It returns what gives the turn back;
// nil if the engine stops.
func (e *Engine) turn(id tongma.SchemeID) func() {
	e.mu.Lock()
	turns := e.asking[id]
	if turns == nil {
		turns = make(chan struct{}, e.opts.AsksAtOnce)
		e.asking[id] = turns
	}
	e.mu.Unlock()
	if e.ctx.Err() != nil { // said apart: a select would toss a coin, and histories must replay
		return nil
	}
	select {
	case turns <- struct{}{}:
	default:
		select {
		case turns <- struct{}{}:
		case <-e.ctx.Done():
			return nil
		}
	}
	return func() { <-turns }
}

// openPayments is a figure; not a number while the books cannot be read.
func (e *Engine) openPayments() float64 {
	ctx, cancel := context.WithTimeout(e.ctx, time.Second)
	defer cancel()
	n := math.NaN()
	if e.ledger.Read(ctx, func(b *clearing.Book) { n = float64(b.Unfinished()) }) != nil {
		return math.NaN()
	}
	return n
}
