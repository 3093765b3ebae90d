package sim

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/tongma/tongma"
)

// fate is what a wallet's own books say of a payment.
type fate uint8

const (
	unheard    fate = iota
	confirming      // the payer is being asked
	done            // debited; or credited, or given back
	refused
	never  // reversed before it came: it will not be done
	undone // done, and reversed
)

func (f fate) String() string {
	return [...]string{"unheard", "confirming", "done", "refused", "never", "undone"}[f]
}

// wallet is a scheme's own system, with its durable books. It does what the
// Adapter interface asks of a scheme, and is as slow, silent and garbled as the
// plan says.
type wallet struct {
	h      *history
	scheme tongma.SchemeID
	who    tongma.ParticipantID
	link   *link
	down   int // spells of now
	gone   int // of its adapter
	boots  int // by the last crash
	lines  map[tongma.PaymentID]*line
	order  []*line
}

// line is one payment in a wallet's books.
type line struct {
	id       tongma.PaymentID
	fate     fate
	op       tongma.Operation
	amount   tongma.Money
	original tongma.PaymentID
	returned int64 // of amount, by refunds
}

// question names the questions about one payment that one switch asks.
type question struct {
	plant   uint64
	payment tongma.PaymentID
}

// adapter is one switch's way to a wallet. It implements switching.Adapter.
type adapter struct {
	h *history
	p *plant
	w *wallet
}

type told struct {
	a   tongma.Answer
	err error
}

func subject(r *tongma.Request) tongma.PaymentID {
	if r.Op == tongma.OpInquire || r.Op == tongma.OpReverse {
		return r.Original
	}
	return r.Payment
}

func unanswered(err error) error {
	return &tongma.Error{Op: "sim", Reason: tongma.SchemeSilent, Err: err}
}

func (a *adapter) ask(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	h := a.h
	h.mu.Lock()
	if a.p.dead {
		h.mu.Unlock()
		return tongma.Answer{}, unanswered(errPower)
	}
	about := question{a.p.number, subject(&r)}
	h.questions[about]++
	s := h.stream('q', about.plant, binary.BigEndian.Uint64(about.payment[8:]), h.questions[about])
	reply := make(chan told, 4)
	hiccup := between(s, 0, grain)
	switch {
	case a.w.gone > 0:
		h.count(AdapterGone)
		h.after(between(s, time.Microsecond, time.Millisecond), func() { reply <- told{err: &tongma.Error{Op: "sim", Reason: tongma.AdapterDown}} })
	case chance(s, h.rate(h.plan.busy)):
		h.count(AdapterBusy)
		h.after(between(s, time.Microsecond, time.Millisecond), func() { reply <- told{err: &tongma.Error{Op: "sim", Reason: tongma.AdapterBusy}} })
	default:
		h.send(a.w.link, asking, s, func() { a.w.receive(&r, reply) })
	}
	h.mu.Unlock()
	select {
	case t := <-reply:
		return t.a, t.err
	case <-a.p.killed:
		return tongma.Answer{}, unanswered(errPower)
	case <-ctx.Done():
		time.Sleep(hiccup) // those whose time is over together come back one by one
		return tongma.Answer{}, unanswered(ctx.Err())
	}
}

// Authorise implements switching.Adapter.
func (a *adapter) Authorise(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	return a.ask(ctx, r)
}

// Accept implements switching.Adapter.
func (a *adapter) Accept(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	return a.ask(ctx, r)
}

// Inquire implements switching.Adapter.
func (a *adapter) Inquire(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	return a.ask(ctx, r)
}

// Reverse implements switching.Adapter.
func (a *adapter) Reverse(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	return a.ask(ctx, r)
}

// Refund implements switching.Adapter.
func (a *adapter) Refund(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	return a.ask(ctx, r)
}

// Consult implements switching.Adapter.
func (a *adapter) Consult(ctx context.Context, r tongma.Request) (tongma.Answer, error) {
	return a.ask(ctx, r)
}

// receive is when a question comes to the wallet, which takes its time over it.
func (w *wallet) receive(r *tongma.Request, reply chan<- told) {
	h := w.h
	if w.down > 0 {
		h.count(SchemeDown)
		return
	}
	work, slow := between(h.rand, 2*time.Millisecond, 250*time.Millisecond), false
	if (r.Op == tongma.OpAuthorise || r.Op == tongma.OpAccept || r.Op == tongma.OpRefund) && chance(h.rand, h.rate(h.plan.slowScheme)) {
		work, slow = between(h.rand, 3*time.Second, 30*time.Second), true
	}
	boots := w.boots
	h.after(work, func() {
		if w.boots != boots || w.down > 0 {
			return // it was being worked on when the wallet crashed
		}
		a := w.decide(r)
		h.tell("%s: %s %d -> %s %s", w.scheme, r.Op, name(subject(r)), w.line(subject(r)).fate, a.Reason)
		if slow && a.Outcome == tongma.Approved {
			h.count(SchemeYesLate)
		}
		t := told{a: a}
		if chance(h.rand, h.rate(h.plan.garbage)) {
			t = w.garble(r, a)
		}
		h.send(w.link, answering, h.rand, func() {
			select {
			case reply <- t:
			default:
			}
		})
	})
}

func name(id tongma.PaymentID) uint64 { return binary.BigEndian.Uint64(id[:8]) }

// garble says something that cannot be believed: nonsense, or an answer whose
// halves contradict each other.
func (w *wallet) garble(r *tongma.Request, a tongma.Answer) told {
	kinds := []told{
		{err: &tongma.Error{Op: "sim", Reason: tongma.SchemeAnswerMalformed}},
		{a: tongma.Answer{Outcome: 7, Status: tongma.Pending}},
		{a: tongma.Answer{Outcome: tongma.Approved, Status: tongma.Refused, Amount: a.Amount}},
		{a: tongma.Answer{Outcome: tongma.Declined, Status: tongma.Paid, Amount: a.Amount}},
		{a: tongma.Answer{Outcome: tongma.Declined, Reason: tongma.SchemeSilent}},
	}
	n := w.h.rand.IntN(len(kinds))
	w.h.count(SchemeGarbage)
	if n >= 2 {
		w.h.count(SchemeContradiction)
	}
	w.h.tell("%s: garbles its answer to %s %d", w.scheme, r.Op, name(subject(r)))
	return kinds[n]
}

func (w *wallet) line(id tongma.PaymentID) *line {
	if l := w.lines[id]; l != nil {
		return l
	}
	return &line{id: id}
}

func (w *wallet) book(l *line, f fate) *line {
	if w.lines[l.id] == nil {
		w.lines[l.id] = l
		w.order = append(w.order, l)
	}
	l.fate = f
	return l
}

// decide is what a sound scheme does: the same question has the same answer, and
// what was reversed before it came is never done.
func (w *wallet) decide(r *tongma.Request) tongma.Answer {
	l := w.line(subject(r))
	switch r.Op {
	case tongma.OpReverse:
		return w.reverse(l)
	case tongma.OpAuthorise, tongma.OpAccept, tongma.OpRefund:
		if l.fate == unheard {
			l.op, l.amount, l.original = r.Op, r.Amount, r.Original
			w.first(l)
		}
	}
	switch l.fate {
	case done:
		if r.Op != tongma.OpInquire && l.amount != r.Amount {
			w.h.fail("amount", "%s was asked for %v of payment %d, and before for %v", w.scheme, r.Amount, name(l.id), l.amount)
		}
		return tongma.Answer{Payment: l.id, Outcome: tongma.Approved, Amount: l.amount, SchemeRef: fmt.Sprintf("%s-%d", w.scheme, name(l.id))}
	case confirming:
		return tongma.Answer{Outcome: tongma.Unknown, Reason: tongma.PayerConfirming}
	case refused:
		return tongma.Answer{Outcome: tongma.Declined, Status: tongma.Refused, Reason: tongma.InsufficientFunds}
	case never, undone:
		return tongma.Answer{Outcome: tongma.Declined, Status: tongma.ReversedBack, Reason: tongma.ReversedBySwitch}
	}
	return tongma.Answer{Reason: tongma.UnknownToScheme}
}

// first decides on a payment that is new.
func (w *wallet) first(l *line) {
	h := w.h
	switch roll := h.rand.Float64(); {
	case l.op == tongma.OpRefund:
		w.giveBack(l, roll)
	case roll < h.plan.decline:
		w.book(l, refused)
	case l.op == tongma.OpAuthorise && chance(h.rand, h.rate(h.plan.confirm)):
		w.book(l, confirming)
		w.wait(l)
	default:
		w.book(l, done)
	}
}

// giveBack carries out a refund, of a payment of its own books if it knows it.
func (w *wallet) giveBack(l *line, roll float64) {
	of := w.lines[l.original]
	if roll < w.h.plan.decline {
		w.book(l, refused)
		return
	}
	if of != nil {
		if of.fate != done || of.returned+l.amount.Minor > of.amount.Minor {
			w.h.fail("refund", "%s was asked to give back %v of payment %d of %v, which is %v with %d given back", w.scheme, l.amount, name(l.original), of.amount, of.fate, of.returned)
			return
		}
		of.returned += l.amount.Minor
	}
	w.book(l, done)
}

// wait has the payer say yes, or no, or nothing.
func (w *wallet) wait(l *line) {
	h := w.h
	say, how := between(h.rand, time.Second, 70*time.Second), h.rand.IntN(4)
	if how == 3 {
		h.count(PayerNever)
		return
	}
	h.after(say, func() {
		if l.fate != confirming {
			return
		}
		if how == 0 {
			h.count(PayerNo)
			w.book(l, refused)
		} else {
			h.count(PayerYes)
			w.book(l, done)
		}
		h.tell("%s: payer says of payment %d: %s", w.scheme, name(l.id), l.fate)
	})
}

// reverse undoes a payment, or makes that it is never done.
func (w *wallet) reverse(l *line) tongma.Answer {
	switch l.fate {
	case done:
		if l.returned > 0 {
			w.h.fail("reversal", "%s was asked to reverse payment %d, of which %d was given back", w.scheme, name(l.id), l.returned)
		}
		w.book(l, undone)
	case unheard, confirming:
		w.book(l, never)
	}
	if w.h.rand.IntN(2) == 0 {
		return tongma.Answer{Outcome: tongma.Declined, Status: tongma.ReversedBack}
	}
	return tongma.Answer{Outcome: tongma.Approved}
}
