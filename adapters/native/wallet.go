package native

import (
	"context"
	"errors"

	"github.com/tongma/tongma"
)

// Wallet is what a scheme's adapter does: the six things that a switch asks of
// a wallet, a bank or an acquirer. Methods are called at once from many
// goroutines, and again with the same payment id when an answer was lost: wrap
// the wallet with Dedupe unless it is idempotent by itself.
//
// An answer says Approved, Declined with a reason, or Unknown; what it leaves
// zero of Payment, Original, Scheme, Amount and Status is filled in. An error
// says that the wallet could not find out:
//
//   - a *tongma.Error whose reason says not executed (AdapterBusy,
//     DeadlineTooShort, FieldInvalid, ...) promises that nothing was done and
//     nothing will be;
//   - any other error is answered as unknown, so that the switch inquires.
//
// ctx ends when the switch has stopped waiting. An answer that comes later is
// sent all the same; an error is not.
type Wallet interface {
	// Authorise debits the payer whose code r.Code is by r.Amount.
	Authorise(ctx context.Context, r tongma.Request) (tongma.Answer, error)
	// Accept credits the merchant r.Merchant with r.Amount.
	Accept(ctx context.Context, r tongma.Request) (tongma.Answer, error)
	// Inquire says what became of r.Original, or of r.Payment if that is none: of a
	// refund too, by its own id. No record of it is Unknown with the reason
	// UnknownToScheme, which is believed: a refund is then given again.
	Inquire(ctx context.Context, r tongma.Request) (tongma.Answer, error)
	// Reverse undoes r.Original, or r.Payment if that is none. Approved says that it
	// is undone; also for a payment never seen, which must be declined from then on.
	Reverse(ctx context.Context, r tongma.Request) (tongma.Answer, error)
	// Refund gives back r.Amount of r.Original. The refund's own id is r.Payment. It is
	// asked again, by Dedupe too, if Inquire has no record of it a while after the last
	// call: a wallet whose record may be longer on its way must say so to Inquire,
	// by an error, or have a larger DedupeOptions.Settle.
	Refund(ctx context.Context, r tongma.Request) (tongma.Answer, error)
	// Consult says whether r.Code is the wallet's own. No money moves.
	Consult(ctx context.Context, r tongma.Request) (tongma.Answer, error)
}

// Unimplemented is embedded by a wallet that does not offer everything. It
// declines what moves money, and knows nothing of any payment.
type Unimplemented struct{}

var _ Wallet = Unimplemented{}

func notOffered() (tongma.Answer, error) {
	return tongma.Answer{Outcome: tongma.Declined, Reason: tongma.NotPermitted, Detail: "not offered by this wallet"}, nil
}

// Authorise declines with NotPermitted.
func (Unimplemented) Authorise(context.Context, tongma.Request) (tongma.Answer, error) {
	return notOffered()
}

// Accept declines with NotPermitted.
func (Unimplemented) Accept(context.Context, tongma.Request) (tongma.Answer, error) {
	return notOffered()
}

// Inquire answers unknown.
func (Unimplemented) Inquire(context.Context, tongma.Request) (tongma.Answer, error) {
	return tongma.Answer{Detail: "inquiries are not offered by this wallet"}, nil
}

// Reverse declines with NotPermitted: nothing is undone.
func (Unimplemented) Reverse(context.Context, tongma.Request) (tongma.Answer, error) {
	return notOffered()
}

// Refund declines with NotPermitted.
func (Unimplemented) Refund(context.Context, tongma.Request) (tongma.Answer, error) {
	return notOffered()
}

// Consult declines with NotPermitted: not this wallet's code, as far as it says.
func (Unimplemented) Consult(context.Context, tongma.Request) (tongma.Answer, error) {
	return notOffered()
}

// call asks the wallet for one operation.
func call(ctx context.Context, w Wallet, r tongma.Request) (tongma.Answer, error) {
	switch r.Op {
	case tongma.OpAuthorise:
		return w.Authorise(ctx, r)
	case tongma.OpAccept:
		return w.Accept(ctx, r)
	case tongma.OpInquire:
		return w.Inquire(ctx, r)
	case tongma.OpReverse:
		return w.Reverse(ctx, r)
	case tongma.OpRefund:
		return w.Refund(ctx, r)
	case tongma.OpConsult:
		return w.Consult(ctx, r)
	}
	return tongma.Answer{}, &tongma.Error{Op: "native", Reason: tongma.OperationUnknown}
}

// complete fills in what a wallet may leave zero. What it says wrongly is left
// as it is: the switch must see it, and treat it as unknown.
func complete(scheme tongma.SchemeID, r *tongma.Request, a *tongma.Answer) {
	if a.Payment.IsZero() {
		a.Payment = subjectOf(r.Op, r)
	}
	if a.Original.IsZero() {
		a.Original = r.Original
	}
	if a.Scheme == "" {
		a.Scheme = scheme
	}
	if a.Amount == (tongma.Money{}) && a.Outcome == tongma.Approved {
		a.Amount = r.Amount
	}
	settle(r.Op, a)
}

// refusal returns the error by which a wallet promises that it did nothing.
func refusal(err error) (*tongma.Error, bool) {
	var e *tongma.Error
	if errors.As(err, &e) && e.Reason != tongma.NoReason && e.Reason.Known() && e.Reason.Info().Money == tongma.NotMoved {
		return e, true
	}
	return nil, false
}
