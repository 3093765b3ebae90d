package native

import (
	"github.com/nats-io/nats.go"

	"github.com/tongma/tongma"
)

// adapterOps are the operations that a switch asks of a scheme.
var adapterOps = [...]tongma.Operation{
	tongma.OpAuthorise, tongma.OpAccept, tongma.OpInquire, tongma.OpReverse, tongma.OpRefund, tongma.OpConsult,
}

// aboutAnother tells whether an operation is about a payment made before.
func aboutAnother(op tongma.Operation) bool { return op == tongma.OpInquire || op == tongma.OpReverse }

// subjectOf returns the payment that a question is about: for an inquiry and a
// reversal the original if one is named, otherwise the payment itself.
func subjectOf(op tongma.Operation, r *tongma.Request) tongma.PaymentID {
	if aboutAnother(op) && !r.Original.IsZero() {
		return r.Original
	}
	return r.Payment
}

// readAnswer reads a reply and checks that it answers r. Any doubt is an error
// whose reason says unknown; an adapter's own refusal keeps its reason.
func readAnswer(op tongma.Operation, scheme tongma.SchemeID, r *tongma.Request, m *nats.Msg) (tongma.Answer, error) {
	if isProblem(m) {
		return tongma.Answer{}, readProblem(op, m.Data)
	}
	a, err := tongma.ParseAnswer(m.Data)
	if err != nil {
		return tongma.Answer{}, malformed(op, "", "cannot be read", err)
	}
	if err := checkAnswer(op, scheme, r, &a); err != nil {
		return tongma.Answer{}, err
	}
	return a, nil
}

// readProblem turns an adapter's problem document into an error. One that cannot
// be read says nothing about the money.
func readProblem(op tongma.Operation, data []byte) error {
	p, err := ParseProblem(data)
	if err != nil {
		return malformed(op, "", "problem cannot be read", err)
	}
	return p.Err("native." + op.String())
}

func malformed(op tongma.Operation, field, detail string, cause error) error {
	return &tongma.Error{Op: "native." + op.String(), Reason: tongma.SchemeAnswerMalformed, Field: field, Detail: detail, Err: cause}
}

// checkAnswer holds an answer against its question, and completes what a scheme
// may leave out: the scheme, the status, a decline's reason.
func checkAnswer(op tongma.Operation, scheme tongma.SchemeID, r *tongma.Request, a *tongma.Answer) error {
	switch {
	case a.Payment != subjectOf(op, r) && (a.Payment != r.Payment || r.Payment.IsZero()):
		return malformed(op, "/payment", "of another payment", nil)
	case !a.Original.IsZero() && a.Original != r.Original:
		return malformed(op, "/original", "of another payment", nil)
	case a.Scheme != "" && a.Scheme != scheme:
		return malformed(op, "/scheme", "of another scheme", nil)
	case movesMoney(op) && a.Outcome == tongma.Approved && a.Amount != r.Amount:
		return malformed(op, "/amount", "another amount was approved", nil)
	case op == tongma.OpInquire && a.Outcome == tongma.Approved && r.Amount != tongma.Money{} && a.Amount != r.Amount:
		return malformed(op, "/amount", "another amount was approved", nil)
	case a.Outcome == tongma.Declined && a.Reason.Info().Money == tongma.MayHaveMoved:
		return malformed(op, "/reason", "declined for a reason that leaves the outcome open", nil)
	}
	a.Original, a.Scheme = r.Original, scheme
	settle(op, a)
	return nil
}

func movesMoney(op tongma.Operation) bool {
	return op == tongma.OpAuthorise || op == tongma.OpAccept || op == tongma.OpRefund
}

// settle gives an answer the status that its outcome means in an operation. An
// inquiry about a reversed payment says declined and reversed: the payer is not
// debited, and will not be.
func settle(op tongma.Operation, a *tongma.Answer) {
	undone := a.Status == tongma.ReversedBack
	switch {
	case op == tongma.OpReverse && a.Outcome == tongma.Approved:
		a.Status = tongma.ReversedBack
	case op == tongma.OpInquire && undone && a.Outcome == tongma.Approved:
		a.Outcome = tongma.Declined
	case undone && a.Outcome == tongma.Declined:
	case a.Outcome == tongma.Approved:
		a.Status = tongma.Paid
	case a.Outcome == tongma.Declined:
		a.Status = tongma.Refused
	default:
		a.Status = tongma.Pending
	}
	if a.Outcome == tongma.Declined && a.Reason == tongma.NoReason {
		a.Reason = defaultDecline(op, undone)
	}
}

func defaultDecline(op tongma.Operation, undone bool) tongma.Reason {
	switch {
	case undone:
		return tongma.ReversedBySwitch
	case op == tongma.OpAccept:
		return tongma.AcceptRefused
	}
	return tongma.DoNotHonour
}
