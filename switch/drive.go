package switching

import (
	"context"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/schemes"
)

const (
	askAgain   = 2 * time.Second        // hint in a pending answer
	rereadFor  = 200 * time.Millisecond // grace for reading the books when the asker's time is over
	replyGrace = 20 * time.Millisecond  // kept back from a leg, for writing the answer down and sending it
)

// course is one payment being driven. At any time one goroutine drives it: the
// asker's own during the first leg, a background one after that.
type course struct {
	id      tongma.PaymentID
	op      tongma.Operation
	state   State
	request tongma.Request // for the scheme; without the code after a restart
	debit   tongma.Money   // what the debtor pays: of a payment in two currencies not always the request's amount
	scheme  *schemes.Scheme
	by      *schemes.Directory // that scheme is of
	adapter Adapter
	held    int64           // Unix milliseconds
	expiry  int64           // of the hold
	asked   int             // questions of the present kind so far
	late    atomic.Bool     // the asker was told "pending", or may have been
	owed    *owed           // what the scheme said, and the journal has not taken yet
	unsaid  bool            // and the entry on its way does not say that somebody waits for the end
	counted tongma.SchemeID // for which it is counted; Engine.mu guards it
	poked   chan struct{}
	done    chan struct{} // closed when the course has ended
}

// owed is an answer of the scheme that is still to be written: the journal stood
// still when it came, and its asker could not wait for that.
type owed struct {
	event  Event
	answer tongma.Answer
}

// run takes the hold, asks the scheme, and answers. What cannot be finished while
// the asker waits goes on in the background.
func (e *Engine) run(ctx context.Context, r *tongma.Request, draft *clearing.Draft) (tongma.Answer, error) {
	d, hold := e.Directory(), &draft.Entry
	scheme, ok := d.Scheme(hold.Scheme)
	adapter := e.adapter(hold.Scheme)
	if !ok || adapter == nil {
		return e.refuse(ctx, r, *hold, tongma.AdapterDown)
	}
	if a, elsewhere, err := e.claim(ctx, r, hold); elsewhere {
		return a, err
	}
	switch spent, err := e.spentBefore(ctx, hold); {
	case err != nil:
		return tongma.Answer{}, err
	case spent:
		return e.refuseHere(ctx, r, *hold, tongma.CodeSpent)
	}
	hold.Expiry = e.opts.Now().Add(scheme.ConfirmWithin).UnixMilli()
	ctx, span := e.opts.Tracer.Start(ctx, "payment "+r.Op.String(), trace.WithAttributes(attribute.String("tongma.scheme", string(hold.Scheme))))
	defer span.End()
	c := newCourse(hold.Payment)
	c.op, c.scheme, c.by, c.adapter, c.held, c.expiry = hold.Op, scheme, d, adapter, e.opts.Now().UnixMilli(), hold.Expiry
	c.request = *r
	c.request.Payment, c.request.From, c.request.PayIn, c.request.Quote = c.id, "", 0, ""
	if !e.enter(c) && !e.keyUsed(ctx, r) { // before the books know it, so that a reversal finds who is driving; a repeat drives nothing
		return tongma.Answer{}, &tongma.Error{Op: "switch." + r.Op.String(), Reason: tongma.Overloaded}
	}
	// Durable before the scheme hears of it. If we stop right after this line,
	// recover finds a hold without an answer, inquires, and reverses.
	asked := *hold
	res, err := e.submitHold(ctx, draft)
	if err != nil || !res.Write || res.Entry.Kind != clearing.KindHold {
		e.end(c)
		switch {
		case err != nil:
			e.dropInDoubt(err, c.id)
			return tongma.Answer{}, err
		case res.Exists:
			return e.repeat(ctx, r, res)
		case res.Elsewhere != 0 && WayOf(ctx).Claimed:
			// The key was claimed here and never used, and its payer is not at home here, or
			// not any more. It is used up now: the end is the same at every door.
			return e.refuse(ctx, r, asked, tongma.KeyUsedUp)
		case res.Elsewhere != 0:
			return e.opts.Shards.Belongs(ctx, original(ctx, r), res.Elsewhere)
		case !res.Write:
			return tongma.Answer{}, &tongma.Error{Op: "switch." + r.Op.String(), Reason: res.Reason}
		}
		return answerOf(res.Payment), nil
	}
	if c.state, _, err = Step(c.op, Received, HoldGranted); err != nil {
		return tongma.Answer{}, err
	}
	c.tell(res.Payment)
	e.warn(&res)
	held := *res.Payment
	e.done(draft)
	defer e.waitFor(scheme.ID, true)() // not before: behind a journal that stands still nobody waits for a scheme
	event, answer := e.ask(ctx, c, legTime(ctx, scheme))
	writing, cancel := beforeEnd(ctx)
	p, next := e.take(writing, c, event, &answer, held)
	cancel()
	if c.state.Final() {
		e.end(c)
		return answerOf(&p), nil
	}
	c.late.Store(true)
	confirming, inDoubt := c.state == Confirming, c.owed != nil // c is the driver's from the next line on
	e.background(c, next)
	if inDoubt { // as the books stand, on the disk: nobody hears of more
		return answerOf(&p), nil
	}
	if !confirming {
		e.await(ctx, c.id)
	}
	p = e.reread(ctx, p)
	return answerOf(&p), nil
}

// beforeEnd is ctx with an end that leaves time to answer.
func beforeEnd(ctx context.Context) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok {
		return context.WithDeadline(ctx, deadline.Add(-replyGrace/2))
	}
	return ctx, func() {}
}

func newCourse(id tongma.PaymentID) *course {
	return &course{id: id, poked: make(chan struct{}, 1), done: make(chan struct{})}
}

// legTime is how long the first question may take: the scheme's own limit, or
// what the asker's patience leaves.
func legTime(ctx context.Context, s *schemes.Scheme) time.Duration {
	leg := s.AuthoriseTimeout
	if deadline, ok := ctx.Deadline(); ok {
		leg = min(leg, time.Until(deadline)-replyGrace)
	}
	return leg
}

// beginAlone begins a course unless the payment has one.
func (e *Engine) beginAlone(c *course) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.courses[c.id] != nil {
		return false
	}
	e.courses[c.id] = c
	return true
}

// end takes a course off. Whoever poked it too late for it to notice, since its
// last entry was on the way already, has the payment taken up again.
func (e *Engine) end(c *course) {
	e.mu.Lock()
	if e.courses[c.id] == c {
		delete(e.courses, c.id)
	}
	e.discount(c)
	e.mu.Unlock()
	close(c.done)
	select {
	case <-c.poked:
		e.takeUp(c.id)
	default:
	}
}

func (e *Engine) course(id tongma.PaymentID) *course {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.courses[id]
}

// poke tells the payment's driver to look at the books, and whether there is one.
func (e *Engine) poke(id tongma.PaymentID) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.courses[id]
	if c == nil {
		return false
	}
	select {
	case c.poked <- struct{}{}:
	default:
	}
	return true
}

// background drives a course that has begun, and waits for none.
func (e *Engine) background(c *course, action Action) {
	if !e.spawn(func() { e.drive(c, action) }) {
		e.end(c)
	}
}

// spawn runs f in the background, unless the engine is stopping: Close waits for
// all that was started before it, and nothing is started after.
func (e *Engine) spawn(f func()) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ctx.Err() != nil {
		return false
	}
	e.jobs.Go(f)
	return true
}

// await returns when nobody drives the payment any more, or so long before ctx
// ends that there is time to say how it stands. It tells whether there was a
// course, and it has ended.
func (e *Engine) await(ctx context.Context, id tongma.PaymentID) bool {
	c := e.course(id)
	if c == nil {
		return false
	}
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-replyGrace))
		defer cancel()
	}
	select {
	case <-c.done:
		return true
	case <-ctx.Done():
	case <-e.ctx.Done():
	}
	return false
}

// take lets an event act: Step says to which state and what to write; it is
// written. If that takes longer than ctx, the course owes it, and takes it again in
// the background: what was submitted is in the journal's queue, so that the second
// time finds it there. If the books say that somebody else moved the payment in between, the
// books are right, and the course goes on from there. It returns how the payment
// stands, and what to do next.
func (e *Engine) take(ctx context.Context, c *course, event Event, a *tongma.Answer, p clearing.Payment) (clearing.Payment, Action) {
	from := c.state
	state, actions, err := Step(c.op, from, event)
	if err != nil {
		e.opts.Logger.Error("step", "payment", c.id.String(), "err", err)
		return p, next(c.state)
	}
	c.state = state
	for _, action := range actions {
		d := e.draft()
		if !e.entry(&d.Entry, c, action, from, event, a) {
			e.done(d)
			return p, action
		}
		late := d.Entry.Late
		err := e.submit(ctx, c, d)
		if tongma.ReasonOf(err) == tongma.JournalInDoubt && ctx.Err() != nil && e.ledger.Err() == nil {
			// The answer is known and must not be lost to an asker that has hung up.
			c.state, c.owed, c.unsaid = from, &owed{event, *a}, !late
			return p, next(c.state)
		}
		if err == nil && written(d).Payment.ID.IsZero() { // the books would not even look at it
			err = &tongma.Error{Op: "switch.take", Reason: d.Verdict.Reason}
		}
		if err != nil {
			// Not written, or not known to be. Nothing moves on what the books do not
			// have: the course stays where it was, a hold without an answer is in doubt,
			// and the scheme is asked again. If the journal has stopped so does
			// everything, and the next start finds the hold.
			e.opts.Logger.Error("journal", "payment", c.id.String(), "err", err)
			if c.state = from; from == Held {
				c.state = InDoubt
			}
			return p, next(c.state)
		}
		p = *d.Verdict.Payment
		moved, exists := d.Verdict.Write, d.Verdict.Exists
		e.done(d)
		if !moved {
			c.state, c.asked = StateOf(&p), 0
			if exists && c.unsaid && c.state.Final() {
				e.tellEnd(&p)
			}
			return p, next(c.state)
		}
		c.asked = 0
	}
	return p, next(c.state)
}

// next is what a course does in a state when nothing else was said.
func next(s State) Action {
	if s == Reversing {
		return SendUndo
	}
	return Inquire
}

// entry is what an action writes; false if it writes nothing.
func (e *Engine) entry(entry *clearing.Entry, c *course, action Action, from State, event Event, a *tongma.Answer) bool {
	*entry = clearing.Entry{Payment: c.id, Late: c.late.Load(), Reason: a.Reason, SchemeRef: cut(a.SchemeRef, 64)}
	switch action {
	case WritePend:
		entry.Kind, entry.Reason = clearing.KindPend, tongma.PayerConfirming
	case WritePost:
		entry.Kind, entry.Reason, entry.Approval = clearing.KindPost, tongma.NoReason, a.Approval
		if len(entry.Approval) != 6 {
			entry.Approval = approvalCode(c.id)
		}
		entry.Legs = e.fees(c)
	case WriteVoid:
		entry.Kind, entry.KeepCode = clearing.KindVoid, c.scheme.CodeReusableAfterDecline || event == NotSent
		if entry.Reason == tongma.NoReason || !entry.Reason.Known() {
			entry.Reason = tongma.DoNotHonour
		}
	case WriteUndo:
		entry.Kind, entry.Reason = clearing.KindReversing, tongma.ReversedBySwitch
		if from == Confirming && event == TimeUp {
			entry.Reason = tongma.HoldExpired
		}
	case WriteEnded:
		entry.Kind, entry.Reason = clearing.KindReversed, tongma.NoReason
	default:
		return false
	}
	return true
}

// ask puts the first question to the scheme: authorise, accept or refund.
func (e *Engine) ask(ctx context.Context, c *course, within time.Duration) (Event, tongma.Answer) {
	if within <= 0 {
		return NotSent, tongma.Answer{Reason: tongma.DeadlineTooShort}
	}
	r := c.request
	r.Budget = within
	r.Attempt = c.asked + 1
	switch c.op {
	case tongma.OpPay:
		r.Op = tongma.OpAuthorise
		return e.leg(ctx, c, r, c.adapter.Authorise)
	case tongma.OpTransfer:
		r.Op = tongma.OpAccept
		return e.leg(ctx, c, r, c.adapter.Accept)
	}
	r.Op = tongma.OpRefund
	return e.leg(ctx, c, r, c.adapter.Refund)
}

// about is a question about the payment, rather than for it. It carries no code.
func (c *course) about(op tongma.Operation, within time.Duration) tongma.Request {
	r := tongma.Request{Op: op, Key: c.id.String(), Payment: c.id, Original: c.id, Scheme: c.scheme.ID, Amount: c.request.Amount, Exchange: c.request.Exchange,
		Acquirer: c.request.Acquirer, Issuer: c.request.Issuer, Budget: within, Attempt: c.asked}
	if op == tongma.OpReverse {
		r.Reason = tongma.ReversedBySwitch
	}
	return r
}

// leg asks one question under its own deadline, and says what came of it.
func (e *Engine) leg(ctx context.Context, c *course, r tongma.Request, ask func(context.Context, tongma.Request) (tongma.Answer, error)) (Event, tongma.Answer) {
	ctx, cancel := context.WithTimeout(ctx, r.Budget)
	defer cancel()
	ctx, span := e.opts.Tracer.Start(ctx, r.Op.String()+" "+string(c.scheme.ID))
	start := e.opts.Now()
	a, err := ask(ctx, r)
	event := classify(r.Op, &a, err)
	e.opts.Metrics.leg(c.scheme.ID, r.Op, event, e.opts.Now().Sub(start))
	if span.IsRecording() {
		span.SetAttributes(attribute.String("tongma.event", event.String()))
	}
	span.End()
	return event, a
}

// classify turns a scheme's answer into an event. Only a clear yes is a yes, and
// only a clear no is a no; everything else is silence. A scheme that declines a refund
// because it has no record of its original has answered: nothing would end by asking
// again.
func classify(op tongma.Operation, a *tongma.Answer, err error) Event {
	if err != nil {
		reason := tongma.ReasonOf(err)
		*a = tongma.Answer{Reason: reason}
		switch reason {
		case tongma.AdapterDown, tongma.AdapterBusy, tongma.DeadlineTooShort:
			return NotSent
		}
		return Silence // also for a wallet that says "malformed": who knows which of its own legs was?
	}
	switch {
	case contradicts(a):
		return Silence
	case a.Outcome == tongma.Approved:
		return Yes
	case a.Reason == tongma.UnknownToScheme && (a.Outcome == tongma.Unknown || op != tongma.OpRefund):
		return NoRecord
	case a.Outcome == tongma.Declined:
		return No
	case a.Reason == tongma.PayerConfirming:
		return Waiting
	}
	return Silence
}

// contradicts tells whether an answer says of the money both that it moved and
// that it did not.
func contradicts(a *tongma.Answer) bool {
	switch a.Outcome {
	case tongma.Approved:
		return a.Status == tongma.Refused || a.Status == tongma.ReversedBack
	case tongma.Declined:
		return a.Status == tongma.Paid || (a.Reason.Known() && a.Reason.Info().Money == tongma.MayHaveMoved)
	}
	return false
}

// undone classifies the answer to a reversal: only an acknowledgement ends it.
func undone(event Event, a *tongma.Answer) Event {
	if event == Yes || a.Status == tongma.ReversedBack {
		return UndoAcked
	}
	return Silence
}

// drive carries a course to its end in the background: inquire, then reverse,
// again and again until the scheme has acknowledged. It stops only when the
// engine does, and the next start goes on from the books.
func (e *Engine) drive(c *course, action Action) {
	defer e.end(c)
	if due := c.owed; due != nil {
		c.owed = nil
		_, action = e.take(context.WithoutCancel(e.ctx), c, due.event, &due.answer, clearing.Payment{ID: c.id})
	}
	for !c.state.Final() {
		poked := e.pause(c, e.pauseBefore(c, action))
		if e.ctx.Err() != nil || e.ledger.Err() != nil {
			return // the stop cuts pauses short, and that is no time to ask or to write
		}
		if poked {
			// Behind all that was submitted before, however long that takes: who poked may
			// have stopped waiting for its entry (TestAReversalThatIsWrittenLateReachesWhoDrives).
			if p, ok := e.lookUp(c.id); ok && p.Phase == clearing.KindReversing && c.state != Reversing {
				c.state, c.asked, action = Reversing, 0, SendUndo
				continue
			}
		}
		done := e.turn(c.scheme.ID)
		if done == nil {
			return
		}
		event, a := e.act(c, action)
		done()
		c.asked++
		_, action = e.take(context.WithoutCancel(e.ctx), c, event, &a, clearing.Payment{ID: c.id})
	}
}

// act does what the course is to do next, and says what came of it.
func (e *Engine) act(c *course, action Action) (Event, tongma.Answer) {
	within := c.scheme.AuthoriseTimeout
	switch action {
	case SendUndo:
		event, a := e.leg(e.ctx, c, c.about(tongma.OpReverse, within), c.adapter.Reverse)
		return undone(event, &a), tongma.Answer{SchemeRef: a.SchemeRef}
	case AskScheme:
		return e.ask(e.ctx, c, within)
	}
	if c.op == tongma.OpRefund {
		return e.ask(e.ctx, c, within)
	}
	now := e.opts.Now().UnixMilli()
	if c.state == Confirming && now > c.expiry {
		return TimeUp, tongma.Answer{}
	}
	if c.state == InDoubt && c.asked > 0 && now > c.held+c.scheme.AuthoriseTimeout.Milliseconds()+e.opts.DoubtFor.Milliseconds() {
		return TimeUp, tongma.Answer{}
	}
	event, a := e.leg(e.ctx, c, c.about(tongma.OpInquire, within), c.adapter.Inquire)
	if event == NoRecord && c.state == InDoubt {
		// The scheme has not seen it. Reversing now makes sure that it never acts
		// on a copy that is still under way.
		return TimeUp, tongma.Answer{}
	}
	return event, a
}

// pauseBefore is how long to wait before an action: nothing before the first
// inquiry and the first reversal, the scheme's own pace after that, and ever
// longer between reversals.
func (e *Engine) pauseBefore(c *course, action Action) time.Duration {
	switch {
	case c.asked == 0 && (c.state != Confirming || action == SendUndo):
		return 0
	case action == SendUndo:
		return min(c.scheme.ReverseEvery<<min(c.asked-1, 10), e.opts.PauseMost)
	}
	return c.scheme.InquireEvery
}

// pause waits, and tells whether somebody poked the course.
func (e *Engine) pause(c *course, d time.Duration) bool {
	select {
	case <-c.poked: // it came before, and no pause, not even of nothing, may outrun it
		return true
	default:
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-c.poked:
		return true
	case <-t.C:
	case <-e.ctx.Done():
	}
	return false
}

// undo writes that p is being reversed, has it driven, and waits for the end as
// long as the asker does. Whatever the scheme still says, a yes no longer counts.
func (e *Engine) undo(ctx context.Context, p clearing.Payment) (tongma.Answer, error) {
	// Durable before the scheme hears of it. If we stop right after this line,
	// recover finds a payment that is being reversed, and sends the reversal.
	res, err := e.ledger.Submit(ctx, clearing.Entry{Kind: clearing.KindReversing, Payment: p.ID, Reason: tongma.ReversedByAcquirer})
	if err != nil {
		e.takeUpInDoubt(err, p.ID)
		return tongma.Answer{}, err
	}
	if !res.Write && !res.Exists && (!res.Payment.Final() || res.Reason != tongma.StateConflict) { // as if it is disputed
		return tongma.Answer{}, &tongma.Error{Op: "switch.reverse", Reason: res.Reason}
	}
	p = *res.Payment
	for ended := true; ended && p.Phase == clearing.KindReversing; {
		if !e.poke(p.ID) {
			e.resume(p)
		}
		done := e.waitFor(p.Scheme, false)
		if done == nil {
			break
		}
		// A course that ends and leaves it open had written its last entry before ours.
		ended = e.await(ctx, p.ID) && e.ctx.Err() == nil && e.ledger.Err() == nil
		done()
		p = e.reread(ctx, p)
	}
	a := answerOf(&p)
	a.Replayed = res.Exists
	return a, nil
}
