package switching

import (
	"context"
	"fmt"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

// answerOf builds the answer from how the payment stands in the books, and from
// nothing else: a repeat gets the same bytes. It is the table that maps the
// switch's states to the public ones.
//
// An approved payment that was reversed since answers "reversed", also to a
// repeat of the payment itself: of the two truths, the till needs the later one.
func answerOf(p *clearing.Payment) tongma.Answer {
	a := tongma.Answer{Payment: p.ID, Original: p.Original, Scheme: p.Scheme, Issuer: p.Debtor, Acquirer: p.Creditor,
		Amount: p.Asked(), Exchange: exchangeOf(p), Reason: p.Reason, At: p.ChangedAt, Entry: p.Entry}
	if p.Op == tongma.OpRefund {
		a.Issuer, a.Acquirer = p.Creditor, p.Debtor
	}
	switch p.Phase {
	case clearing.KindHold:
		a.Outcome, a.Status, a.Reason = tongma.Unknown, tongma.Pending, tongma.SchemeSilent
	case clearing.KindPend:
		a.Outcome, a.Status, a.Reason = tongma.Unknown, tongma.Pending, tongma.PayerConfirming
	case clearing.KindReversing:
		a.Outcome, a.Status, a.Reason = tongma.Unknown, tongma.Pending, tongma.ReversalPending
	case clearing.KindPost:
		a.Outcome, a.Status, a.Reason = tongma.Approved, tongma.Paid, tongma.NoReason
		a.SchemeRef, a.Approval, a.Window = p.SchemeRef, p.Approval, p.Window
	case clearing.KindReversed, clearing.KindTombstone:
		a.Outcome, a.Status = tongma.Declined, tongma.ReversedBack
	default:
		a.Outcome, a.Status = tongma.Declined, tongma.Refused
	}
	if !p.Final() {
		a.After = askAgain
	}
	return a
}

// repeat answers a request whose key was used before: with the first answer, or
// with what is different about it. While the first is still being worked on, it
// waits for it as long as the asker would.
func (e *Engine) repeat(ctx context.Context, r *tongma.Request, res clearing.Result) (tongma.Answer, error) {
	if res.Reason != tongma.NoReason {
		return tongma.Answer{}, &tongma.Error{Op: "switch." + r.Op.String(), Reason: res.Reason, Field: "/key"}
	}
	p := *res.Payment
	if p.Phase == clearing.KindHold || p.Phase == clearing.KindReversing {
		if done := e.waitFor(p.Scheme, false); done != nil {
			e.await(ctx, p.ID)
			done()
		}
		p = e.settled(ctx, p)
	}
	a := answerOf(&p)
	a.Replayed = true
	return a, nil
}

// settled rereads a payment for somebody who will be told that it is pending if it
// still is: from here on its end is pushed.
func (e *Engine) settled(ctx context.Context, p clearing.Payment) clearing.Payment {
	if c := e.course(p.ID); c != nil {
		c.late.Store(true)
	}
	return e.reread(ctx, p)
}

// reread returns the payment as it stands now, or as it stood if the journal
// cannot say within ctx or a little more.
func (e *Engine) reread(ctx context.Context, p clearing.Payment) clearing.Payment {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rereadFor)
	defer cancel()
	// What a look has seen counts only when it returns: before that it may not be
	// durable (TestARepeatHearsNothingThatIsNotDurable).
	id := p.ID
	var now clearing.Payment
	var ok bool
	if err := e.ledger.Read(ctx, func(b *clearing.Book) { now, ok = b.Payment(id) }); err != nil || !ok {
		return p
	}
	return now
}

// approvalCode is the six digits of DE38 for a payment whose scheme gave none:
// they come from the payment's id, so that every repeat has the same.
func approvalCode(id tongma.PaymentID) string {
	n := uint32(id[12])<<24 | uint32(id[13])<<16 | uint32(id[14])<<8 | uint32(id[15])
	return fmt.Sprintf("%06d", n%1_000_000)
}
