package adaptertest

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tongma/tongma"
)

// Asker is an adapter, as the switch sees it.
type Asker interface {
	Authorise(context.Context, tongma.Request) (tongma.Answer, error)
	Accept(context.Context, tongma.Request) (tongma.Answer, error)
	Inquire(context.Context, tongma.Request) (tongma.Answer, error)
	Reverse(context.Context, tongma.Request) (tongma.Answer, error)
	Refund(context.Context, tongma.Request) (tongma.Answer, error)
	Consult(context.Context, tongma.Request) (tongma.Answer, error)
}

// Fault is something wrong between the switch and the scheme.
type Fault string

const (
	Down           Fault = "adapter is down"            // surely not executed
	Overloaded     Fault = "adapter takes no more work" // surely not executed
	Unreadable     Fault = "answer cannot be read"      // all others: unknown
	Empty          Fault = "answer is empty"
	Truncated      Fault = "answer is cut off"
	NoOutcome      Fault = "answer has no outcome"
	WrongPayment   Fault = "answer is of another payment"
	WrongAmount    Fault = "another amount was approved"
	WrongCurrency  Fault = "another currency was approved"
	OpenDecline    Fault = "declined for an open reason"
	ConnectionLost Fault = "connection is lost after sending"
)

// Faults are all faults, in the order in which they are tried.
var Faults = []Fault{Down, Overloaded, Unreadable, Empty, Truncated, NoOutcome, WrongPayment, WrongAmount, WrongCurrency, OpenDecline, ConnectionLost}

func (f Fault) notExecuted() bool { return f == Down || f == Overloaded }

// Fixture is one adapter with its far side. A case whose function is nil does not
// concern the adapter and is not run; Adapter and Code are required.
type Fixture struct {
	// Adapter talks to a wallet that does what its codes tell.
	Adapter Asker

	// Code returns a fresh payer's code with an outcome: "approve", "decline-51",
	// "timeout", "vanish", "late-approve", "answer-twice", "pending-approve",
	// "pending-decline", "pending-forever", "late-reverse". An empty string says that
	// the far side cannot be told so.
	Code func(outcome string) string

	// Merchant returns the number of a merchant whose credits have an outcome.
	Merchant func(outcome string) string

	// Declines are the outcomes that decline, with the reasons they must arrive as.
	Declines map[string]tongma.Reason

	// Debited tells how much of a payment the far side's books hold against the payer
	// now: zero after a reversal.
	Debited func(tongma.PaymentID) int64

	// Faulty returns an adapter with a fault, or nil if it cannot have it.
	Faulty func(*testing.T, Fault) Asker

	// Budgets returns an adapter whose far side approves, and a function that returns
	// the budgets that the far side was given so far.
	Budgets func(*testing.T) (Asker, func() []time.Duration)

	// Patience is the budget of questions that are not answered. Zero: 150 ms.
	Patience time.Duration
	// Slack is how much later than its budget a question may return. Zero: 1 s.
	Slack time.Duration
	// Settling is how long a late or a pending outcome may take to be there. Zero: 5 s.
	Settling time.Duration
}

// suite is a fixture in use.
type suite struct {
	Fixture
	currency tongma.Currency
}

// Run tests the adapter that setup makes, and that all its goroutines are gone
// when its clean-up is done.
func Run(t *testing.T, setup func(*testing.T) Fixture) {
	before := goleak.IgnoreCurrent()
	t.Run("contract", func(t *testing.T) {
		s := newSuite(setup(t))
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) { c.run(t, s) })
		}
	})
	t.Run("no goroutine is left", func(t *testing.T) { goleak.VerifyNone(t, before) })
}

func newSuite(f Fixture) *suite {
	s := &suite{Fixture: f}
	s.currency, _ = tongma.CurrencyByCode("CNY")
	if s.Patience <= 0 {
		s.Patience = 150 * time.Millisecond
	}
	if s.Slack <= 0 {
		s.Slack = time.Second
	}
	if s.Settling <= 0 {
		s.Settling = 5 * time.Second
	}
	return s
}

// id returns a payment id that was never used.
func id() (p tongma.PaymentID) {
	_, _ = rand.Read(p[:]) // never fails
	p[0], p[6] = 0x01, 0x70|p[6]&0x0f
	return p
}

// pay returns a request for an outcome, or false if the far side cannot be told.
func (s *suite) pay(outcome string) (tongma.Request, bool) {
	code := s.Code(outcome)
	return tongma.Request{
		Payment: id(), Acquirer: "acq", Issuer: "iss", Code: code, Amount: tongma.Money{Minor: 1250, Currency: s.currency},
		Merchant: tongma.Merchant{ID: "M1", Name: "Noodles", City: "Chengdu", Country: "CN", MCC: "5812"}, Order: "o-1", Attempt: 1,
	}, code != ""
}

// about returns the question about a payment.
func (s *suite) about(r tongma.Request) tongma.Request {
	return tongma.Request{
		Payment: r.Payment, Original: r.Payment, Acquirer: r.Acquirer, Issuer: r.Issuer, Amount: r.Amount, Attempt: 1,
	}
}

// ask calls one method with a budget, and holds it to that.
func (s *suite) ask(t *testing.T, budget time.Duration, method func(context.Context, tongma.Request) (tongma.Answer, error), r tongma.Request) (tongma.Answer, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), budget)
	defer cancel()
	begin := time.Now()
	a, err := method(ctx, r)
	if took := time.Since(begin); took > budget+s.Slack {
		t.Errorf("returned after %v, with a budget of %v", took, budget)
	}
	if err == nil && a.Payment != r.Payment {
		t.Errorf("answer of payment %s, asked of %s", a.Payment, r.Payment)
	}
	return a, err
}

// answered asks with ample time, and wants an answer.
func (s *suite) answered(t *testing.T, method func(context.Context, tongma.Request) (tongma.Answer, error), r tongma.Request) tongma.Answer {
	t.Helper()
	a, err := s.ask(t, 10*time.Second, method, r)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	return a
}

// eventually inquires until the outcome is as wanted.
func (s *suite) eventually(t *testing.T, r tongma.Request, want tongma.Outcome) tongma.Answer {
	t.Helper()
	for end := time.Now().Add(s.Settling); ; time.Sleep(20 * time.Millisecond) {
		a := s.answered(t, s.Adapter.Inquire, s.about(r))
		if a.Outcome == want || time.Now().After(end) {
			wantOutcome(t, a, want)
			return a
		}
	}
}

// debited checks the far side's books.
func (s *suite) debited(t *testing.T, r tongma.Request, want int64) {
	t.Helper()
	if s.Debited == nil {
		return
	}
	if got := s.Debited(r.Payment); got != want {
		t.Errorf("the far side has debited %d minor units, want %d", got, want)
	}
}

func wantOutcome(t *testing.T, a tongma.Answer, want tongma.Outcome) {
	t.Helper()
	status := map[tongma.Outcome]tongma.Status{tongma.Approved: tongma.Paid, tongma.Declined: tongma.Refused, tongma.Unknown: tongma.Pending}[want]
	if a.Outcome != want {
		t.Fatalf("outcome %v (%v), want %v", a.Outcome, a.Reason, want)
	}
	if a.Status != status && !(want == tongma.Declined && a.Status == tongma.ReversedBack) {
		t.Errorf("status %v with outcome %v", a.Status, a.Outcome)
	}
	if want == tongma.Declined && a.Reason == tongma.NoReason {
		t.Error("declined for no reason")
	}
}

// wantUnknown wants that nothing is claimed about the money.
func wantUnknown(t *testing.T, a tongma.Answer, err error) {
	t.Helper()
	if a.Outcome != tongma.Unknown || a.Status != tongma.Pending {
		t.Fatalf("%v and %v, want unknown and pending", a.Outcome, a.Status)
	}
	if err != nil && tongma.ReasonOf(err).Info().Money != tongma.MayHaveMoved {
		t.Fatalf("the error says %v, want unknown: %v", tongma.ReasonOf(err).Info().Money, err)
	}
}

// wantNotExecuted wants an error that says that surely nothing was done.
func wantNotExecuted(t *testing.T, a tongma.Answer, err error) {
	t.Helper()
	if err == nil || a.Outcome != tongma.Unknown {
		t.Fatalf("%v and error %v, want an error and no outcome", a.Outcome, err)
	}
	if tongma.ReasonOf(err).Info().Money != tongma.NotMoved {
		t.Fatalf("the error says %v, want not executed: %v", tongma.ReasonOf(err).Info().Money, err)
	}
}

func wantUndone(t *testing.T, a tongma.Answer) {
	t.Helper()
	if a.Outcome != tongma.Approved || a.Status != tongma.ReversedBack {
		t.Fatalf("reversal answered %v and %v (%v), want approved and reversed", a.Outcome, a.Status, a.Reason)
	}
}
