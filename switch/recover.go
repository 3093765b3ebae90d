package switching

import (
	"context"
	"errors"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

const overloadPause = 100 * time.Millisecond // before the books are asked again

// recover takes up every payment that an earlier run left open, from what the
// books say of it:
//
//   - held without an answer: the scheme may or may not have been asked, so it is
//     inquired, and reversed if that does not settle it;
//   - the payer is confirming: inquired until the end or until the time is up;
//   - being reversed: the reversal is sent until it is acknowledged.
//
// The hold is released only by an entry; until then it counts against the cap.
func (e *Engine) recover(ctx context.Context) error {
	var open []clearing.Payment
	if err := e.ledger.Read(ctx, func(b *clearing.Book) { open = b.OpenPayments() }); err != nil {
		return err
	}
	for _, p := range open {
		e.resume(p)
		if e.opts.Pace != nil {
			e.opts.Pace()
		}
	}
	if len(open) > 0 {
		e.opts.Logger.Info("recovering", "payments", len(open))
	}
	return nil
}

// resume drives a payment of the books in the background, unless somebody does
// already.
func (e *Engine) resume(p clearing.Payment) {
	c := newCourse(p.ID)
	if !e.beginAlone(c) {
		return
	}
	if !e.outfit(c, &p) {
		e.end(c)
		return
	}
	e.background(c, next(c.state))
}

// outfit makes c the course of a payment of the books. A scheme that the directory
// no longer has keeps the payment open, and it is said so: it cannot be guessed
// what became of the money.
func (e *Engine) outfit(c *course, p *clearing.Payment) bool {
	d := e.Directory()
	scheme, ok := d.Scheme(p.Scheme)
	adapter := e.adapter(p.Scheme)
	if !ok || adapter == nil {
		e.opts.Logger.Error("no adapter for an open payment: its hold stays", "payment", p.ID.String(), "scheme", string(p.Scheme))
		e.strand(p.ID, p.Scheme)
		return false
	}
	c.op, c.scheme, c.by, c.adapter, c.held, c.expiry, c.state = p.Op, scheme, d, adapter, p.HeldAt, p.Expiry, StateOf(p)
	e.mu.Lock()
	e.count(c)
	e.mu.Unlock()
	c.late.Store(true)
	c.request = tongma.Request{Key: p.ID.String(), Payment: p.ID, Original: p.Original, Scheme: p.Scheme, Acquirer: p.Creditor, Issuer: p.Debtor}
	if p.Op == tongma.OpRefund {
		c.request.Acquirer, c.request.Issuer = p.Debtor, p.Creditor
	}
	c.tell(p) // by the books: nothing is quoted twice
	return true
}

// takeUpInDoubt takes up a payment whose entry may become durable though its
// submitter has stopped waiting for it, or has its driver look.
func (e *Engine) takeUpInDoubt(err error, id tongma.PaymentID) {
	if mayBeWritten(err) && !e.poke(id) {
		e.takeUp(id)
	}
}

// mayBeWritten tells whether an entry may become durable though its submitter has stopped
// waiting. One that the books had not come to never does.
func mayBeWritten(err error) bool {
	return tongma.ReasonOf(err) == tongma.JournalInDoubt && !errors.Is(err, clearing.ErrNotWritten)
}

// dropInDoubt takes up a hold whose asker went away before it was durable, and
// lets it go if it comes to be: the scheme was never asked, so there is nothing to
// inquire into and nothing to undo. Behind a journal that stood still for a while
// these are most of what was asked for.
func (e *Engine) dropInDoubt(err error, id tongma.PaymentID) {
	if !mayBeWritten(err) {
		return
	}
	e.takeUpBy(id, func(c *course, p clearing.Payment) {
		action := next(c.state)
		if p.Phase == clearing.KindHold {
			c.state = Held
			_, action = e.take(context.WithoutCancel(e.ctx), c, NotSent, &tongma.Answer{Reason: tongma.DeadlineTooShort}, p)
		}
		e.drive(c, action)
	})
}

// takeUp looks a payment up in the books, behind all that was submitted before,
// and drives it if it is open.
func (e *Engine) takeUp(id tongma.PaymentID) {
	e.takeUpBy(id, func(c *course, _ clearing.Payment) { e.drive(c, next(c.state)) })
}

// takeUpBy hands an open payment to drive, which ends its course. The course
// begins before the look into the books: from there on nobody else moves the
// payment, and what was seen stays true.
func (e *Engine) takeUpBy(id tongma.PaymentID, drive func(*course, clearing.Payment)) {
	c := newCourse(id)
	if !e.beginAlone(c) {
		return
	}
	started := e.spawn(func() {
		if p, ok := e.lookUp(id); ok && !p.Final() && e.outfit(c, &p) {
			drive(c, p)
			return
		}
		e.end(c)
	})
	if !started {
		e.end(c)
	}
}

// lookUp reads a payment, and waits for an overload to pass.
func (e *Engine) lookUp(id tongma.PaymentID) (clearing.Payment, bool) {
	for {
		var p clearing.Payment
		var ok bool
		err := e.ledger.Read(e.ctx, func(b *clearing.Book) { p, ok = b.Payment(id) })
		if err == nil {
			return p, ok
		}
		if tongma.ReasonOf(err) != tongma.Overloaded || e.ctx.Err() != nil {
			return clearing.Payment{}, false
		}
		time.Sleep(overloadPause)
	}
}
