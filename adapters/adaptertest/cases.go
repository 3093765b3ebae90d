package adaptertest

import (
	"bytes"
	"context"
	"sync"
	"testing"
	"time"

	"github.com/tongma/tongma"
)

// cases are the contract. Each states its rule as its name.
var cases = []struct {
	name string
	run  func(*testing.T, *suite)
}{
	{"approve", approve},
	{"each decline keeps its reason", declines},
	{"a timeout is unknown and never declined", timeout},
	{"debited and vanished is unknown, then found, then undone", vanish},
	{"a late approval is unknown, then found, then undone", lateApprove},
	{"a confirming payer is unknown, then approves", pendingApprove},
	{"a confirming payer is unknown, then cancels", pendingDecline},
	{"a payer who never confirms is undone", pendingForever},
	{"a reversal is acknowledged only when it is done", lateReverse},
	{"a second answer is ignored", answerTwice},
	{"a repeat gets the same answer", repeat},
	{"a reversal before its payment bars it", reverseFirst},
	{"a reversal twice undoes once", reverseTwice},
	{"partial refunds add up to the amount and no further", refunds},
	{"a credit is accepted or refused", accept},
	{"consulting moves no money", consult},
	{"64 at once do not mix", concurrent},
	{"the budget is passed on and shrinks", budgets},
	{"a cancelled question returns promptly", cancelled},
	{"a question whose time is over is not sent", overBefore},
	{"faults are unknown unless surely nothing was done", faults},
}

func approve(t *testing.T, s *suite) {
	r, _ := s.pay("approve")
	a := s.answered(t, s.Adapter.Authorise, r)
	wantOutcome(t, a, tongma.Approved)
	if a.Amount != r.Amount {
		t.Errorf("approved %v, asked for %v", a.Amount, r.Amount)
	}
	s.debited(t, r, r.Amount.Minor)
	found := s.answered(t, s.Adapter.Inquire, s.about(r))
	wantOutcome(t, found, tongma.Approved)
	if found.Amount != r.Amount {
		t.Errorf("an inquiry finds %v, asked for %v", found.Amount, r.Amount)
	}
}

func declines(t *testing.T, s *suite) {
	for outcome, reason := range s.Declines {
		t.Run(outcome, func(t *testing.T) {
			r, _ := s.pay(outcome)
			a := s.answered(t, s.Adapter.Authorise, r)
			wantOutcome(t, a, tongma.Declined)
			if a.Reason != reason {
				t.Errorf("reason %v, want %v", a.Reason, reason)
			}
			s.debited(t, r, 0)
			wantOutcome(t, s.answered(t, s.Adapter.Inquire, s.about(r)), tongma.Declined)
		})
	}
}

func timeout(t *testing.T, s *suite) {
	r, ok := s.pay("timeout")
	if !ok {
		return
	}
	a, err := s.ask(t, s.Patience, s.Adapter.Authorise, r)
	wantUnknown(t, a, err)
	if err == nil && a.Reason != tongma.SchemeSilent {
		t.Errorf("reason %v, want %v", a.Reason, tongma.SchemeSilent)
	}
	s.debited(t, r, 0)
	if found := s.answered(t, s.Adapter.Inquire, s.about(r)); found.Outcome == tongma.Approved {
		t.Error("an inquiry finds approved what was never done")
	}
	wantUndone(t, s.answered(t, s.Adapter.Reverse, s.about(r)))
}

func vanish(t *testing.T, s *suite) {
	r, ok := s.pay("vanish")
	if !ok {
		return
	}
	a, err := s.ask(t, s.Patience, s.Adapter.Authorise, r)
	wantUnknown(t, a, err)
	s.debited(t, r, r.Amount.Minor)
	found := s.eventually(t, r, tongma.Approved)
	if found.Amount != r.Amount {
		t.Errorf("an inquiry finds %v, asked for %v", found.Amount, r.Amount)
	}
	wantUndone(t, s.answered(t, s.Adapter.Reverse, s.about(r)))
	s.debited(t, r, 0)
	wantOutcome(t, s.answered(t, s.Adapter.Inquire, s.about(r)), tongma.Declined)
}

func lateApprove(t *testing.T, s *suite) {
	r, ok := s.pay("late-approve")
	if !ok {
		return
	}
	a, err := s.ask(t, s.Patience, s.Adapter.Authorise, r)
	wantUnknown(t, a, err)
	wantOutcome(t, s.answered(t, s.Adapter.Inquire, s.about(r)), tongma.Unknown)
	s.debited(t, r, 0)
	s.eventually(t, r, tongma.Approved)
	s.debited(t, r, r.Amount.Minor)
	wantUndone(t, s.answered(t, s.Adapter.Reverse, s.about(r)))
	s.debited(t, r, 0)
}

func pendingApprove(t *testing.T, s *suite) {
	r, ok := s.pay("pending-approve")
	if !ok {
		return
	}
	confirming(t, s, r)
	s.eventually(t, r, tongma.Approved)
	s.debited(t, r, r.Amount.Minor)
}

func pendingDecline(t *testing.T, s *suite) {
	r, ok := s.pay("pending-decline")
	if !ok {
		return
	}
	confirming(t, s, r)
	if a := s.eventually(t, r, tongma.Declined); a.Reason != tongma.PayerCancelled {
		t.Errorf("reason %v, want %v", a.Reason, tongma.PayerCancelled)
	}
	s.debited(t, r, 0)
}

func pendingForever(t *testing.T, s *suite) {
	r, ok := s.pay("pending-forever")
	if !ok {
		return
	}
	confirming(t, s, r)
	wantUndone(t, s.answered(t, s.Adapter.Reverse, s.about(r)))
	wantOutcome(t, s.answered(t, s.Adapter.Inquire, s.about(r)), tongma.Declined)
	s.debited(t, r, 0)
}

// confirming asks for a payment whose payer takes time.
func confirming(t *testing.T, s *suite, r tongma.Request) {
	t.Helper()
	a := s.answered(t, s.Adapter.Authorise, r)
	wantOutcome(t, a, tongma.Unknown)
	if a.Reason != tongma.PayerConfirming {
		t.Errorf("reason %v, want %v", a.Reason, tongma.PayerConfirming)
	}
}

func lateReverse(t *testing.T, s *suite) {
	r, ok := s.pay("late-reverse")
	if !ok {
		return
	}
	wantOutcome(t, s.answered(t, s.Adapter.Authorise, r), tongma.Approved)
	for range 2 {
		wantOutcome(t, s.answered(t, s.Adapter.Reverse, s.about(r)), tongma.Unknown)
		s.debited(t, r, r.Amount.Minor)
	}
	wantUndone(t, s.answered(t, s.Adapter.Reverse, s.about(r)))
	s.debited(t, r, 0)
}

func answerTwice(t *testing.T, s *suite) {
	for range 8 {
		r, ok := s.pay("answer-twice")
		if !ok {
			return
		}
		wantOutcome(t, s.answered(t, s.Adapter.Authorise, r), tongma.Approved)
		s.debited(t, r, r.Amount.Minor)
		next, _ := s.pay("decline-51")
		wantOutcome(t, s.answered(t, s.Adapter.Authorise, next), tongma.Declined)
	}
}

func repeat(t *testing.T, s *suite) {
	for _, outcome := range []string{"approve", "decline-51"} {
		r, _ := s.pay(outcome)
		first := s.answered(t, s.Adapter.Authorise, r)
		r.Attempt++
		again := s.answered(t, s.Adapter.Authorise, r)
		if a, b := first.AppendJSON(nil), again.AppendJSON(nil); !bytes.Equal(a, b) {
			t.Errorf("%s: first %s\nthen %s", outcome, a, b)
		}
		if outcome == "approve" {
			s.debited(t, r, r.Amount.Minor)
		}
	}
}

func reverseFirst(t *testing.T, s *suite) {
	r, _ := s.pay("approve")
	wantUndone(t, s.answered(t, s.Adapter.Reverse, s.about(r)))
	wantOutcome(t, s.answered(t, s.Adapter.Authorise, r), tongma.Declined)
	s.debited(t, r, 0)
	wantOutcome(t, s.answered(t, s.Adapter.Inquire, s.about(r)), tongma.Declined)
}

func reverseTwice(t *testing.T, s *suite) {
	r, _ := s.pay("approve")
	wantOutcome(t, s.answered(t, s.Adapter.Authorise, r), tongma.Approved)
	for range 2 {
		wantUndone(t, s.answered(t, s.Adapter.Reverse, s.about(r)))
		s.debited(t, r, 0)
	}
	if a := s.answered(t, s.Adapter.Inquire, s.about(r)); a.Outcome != tongma.Declined || a.Status != tongma.ReversedBack {
		t.Errorf("an inquiry finds %v and %v, want declined and reversed", a.Outcome, a.Status)
	}
}

func refunds(t *testing.T, s *suite) {
	r, _ := s.pay("approve")
	wantOutcome(t, s.answered(t, s.Adapter.Authorise, r), tongma.Approved)
	refund := func(minor int64) (tongma.Request, tongma.Answer) {
		q := s.about(r)
		q.Payment, q.Amount.Minor = id(), minor
		return q, s.answered(t, s.Adapter.Refund, q)
	}
	first, a := refund(1000)
	wantOutcome(t, a, tongma.Approved)
	wantOutcome(t, s.answered(t, s.Adapter.Refund, first), tongma.Approved) // a repeat: not given back twice
	_, a = refund(250)
	wantOutcome(t, a, tongma.Approved)
	_, a = refund(1)
	wantOutcome(t, a, tongma.Declined)
	if a.Reason != tongma.RefundExceeds {
		t.Errorf("reason %v, want %v", a.Reason, tongma.RefundExceeds)
	}
	wantOutcome(t, s.answered(t, s.Adapter.Inquire, s.about(first)), tongma.Approved)
	wantOutcome(t, s.answered(t, s.Adapter.Inquire, s.about(r)), tongma.Approved)
	if a := s.answered(t, s.Adapter.Reverse, s.about(r)); a.Outcome == tongma.Approved {
		t.Error("a refunded payment was reversed: the payer has the money twice")
	}
}

func accept(t *testing.T, s *suite) {
	if s.Merchant == nil {
		return
	}
	for outcome, want := range map[string]tongma.Outcome{"approve": tongma.Approved, "decline-05": tongma.Declined} {
		r, _ := s.pay("approve")
		r.Code, r.Merchant.ID = "", s.Merchant(outcome)
		wantOutcome(t, s.answered(t, s.Adapter.Accept, r), want)
		wantOutcome(t, s.answered(t, s.Adapter.Inquire, s.about(r)), want)
		wantUndone(t, s.answered(t, s.Adapter.Reverse, s.about(r)))
	}
}

func consult(t *testing.T, s *suite) {
	r, _ := s.pay("approve")
	wantOutcome(t, s.answered(t, s.Adapter.Consult, r), tongma.Approved)
	s.debited(t, r, 0)
}

func concurrent(t *testing.T, s *suite) {
	var all sync.WaitGroup
	for n := range 64 {
		all.Go(func() {
			for i := range 8 {
				r, _ := s.pay("approve")
				r.Amount.Minor = int64(1000*n + i + 1)
				if silent, ok := s.pay("timeout"); ok && n%8 == 0 && i == 0 {
					a, err := s.ask(t, s.Patience, s.Adapter.Authorise, silent)
					if a.Outcome != tongma.Unknown {
						t.Errorf("a silent payment: %v, %v", a.Outcome, err)
					}
				}
				a, err := s.ask(t, 10*time.Second, s.Adapter.Authorise, r)
				if err != nil || a.Outcome != tongma.Approved || a.Amount != r.Amount {
					t.Errorf("asked for %v: %v of %v, %v", r.Amount, a.Outcome, a.Amount, err)
				}
				s.debited(t, r, r.Amount.Minor)
			}
		})
	}
	all.Wait()
}

func budgets(t *testing.T, s *suite) {
	if s.Budgets == nil {
		return
	}
	adapter, seen := s.Budgets(t)
	r, _ := s.pay("approve")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	const pause = 100 * time.Millisecond
	for range 3 {
		if _, err := adapter.Authorise(ctx, r); err != nil {
			t.Fatal(err)
		}
		time.Sleep(pause)
	}
	got := seen()
	if len(got) != 3 {
		t.Fatalf("the far side was given %d budgets, want 3", len(got))
	}
	for i, b := range got {
		most := 2*time.Second - time.Duration(i)*pause
		if b <= 0 || b > most {
			t.Errorf("question %d came with a budget of %v, and %v was left", i+1, b, most)
		}
	}
}

func cancelled(t *testing.T, s *suite) {
	r, ok := s.pay("timeout")
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	time.AfterFunc(50*time.Millisecond, cancel)
	begin := time.Now()
	a, err := s.Adapter.Authorise(ctx, r)
	if took := time.Since(begin); took > 50*time.Millisecond+s.Slack {
		t.Errorf("returned %v after it was cancelled", took)
	}
	wantUnknown(t, a, err)
	if err == nil {
		t.Error("a cancelled question has no error")
	}
	// The far side may still work on it: make an end of it.
	wantUndone(t, s.answered(t, s.Adapter.Reverse, s.about(r)))
}

func overBefore(t *testing.T, s *suite) {
	if s.Faulty == nil {
		return // asked in the same process, nothing is sent
	}
	r, _ := s.pay("approve")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	a, err := s.Adapter.Authorise(ctx, r)
	wantNotExecuted(t, a, err)
	s.debited(t, r, 0)
}

func faults(t *testing.T, s *suite) {
	if s.Faulty == nil {
		return
	}
	for _, fault := range Faults {
		t.Run(string(fault), func(t *testing.T) {
			adapter := s.Faulty(t, fault)
			if adapter == nil {
				return
			}
			r, _ := s.pay("approve")
			a, err := s.ask(t, 5*time.Second, adapter.Authorise, r)
			if fault.notExecuted() {
				wantNotExecuted(t, a, err)
				return
			}
			wantUnknown(t, a, err)
			if err == nil {
				t.Error("the fault is not told")
			}
		})
	}
}
