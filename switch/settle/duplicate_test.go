package settle

import (
	"context"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/agentsim"
	"github.com/tongma/tongma/schemes"
)

// deafBooks are books that a process loses before it has written down what the agent moved.
type deafBooks struct{ *books }

func (d deafBooks) Submit(ctx context.Context, e clearing.Entry) (clearing.Result, error) {
	if e.Kind == clearing.KindSettle || e.Kind == clearing.KindCover {
		return clearing.Result{}, errStopped
	}
	return d.books.Submit(ctx, e)
}

// strict is a wire whose agent goes by rules, and by a clock.
type strict struct {
	*wire
	now time.Time
}

func newStrict(t *testing.T, m *market, rules agentsim.Rules) *strict {
	s := &strict{wire: &wire{rig: newRig(t, m)}, now: time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)}
	var err error
	if s.agent, err = agentsim.New(agentsim.Options{Token: agentToken, Admin: agentAdmin, Accounts: m.accounts(), Rules: rules, Now: func() time.Time { return s.now }}); err != nil {
		t.Fatal(err)
	}
	addr, err := s.agent.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.base = "http://" + addr.String()
	t.Cleanup(func() { _ = s.agent.Close(context.Background()) })
	return s
}

// process is one that settles, over the given books.
func (s *strict) process(l Ledger) *Settler {
	client := NewClient(ClientOptions{Agent: drillAgent, Directory: func() *schemes.Directory { return s.dir }, URL: s.base, Token: agentToken, Now: func() time.Time { return s.now },
		Timeout: 400 * time.Millisecond, Pause: 5 * time.Millisecond})
	return New(Options{Ledger: l, Directory: func() *schemes.Directory { return s.dir }, Agent: func(*clearing.Sheet, tongma.Currency) Agent { return client }, Patience: 100 * time.Millisecond, Every: 10 * time.Millisecond})
}

// TestWhatMayHaveBeenSentIsAskedAfterFirst: a process ends between the agent's yes and the
// entry, debit by debit, credit and cover too, and the next one comes a day later. An agent
// that says "duplicate" has the first one, whose status counts; and one that looks for
// duplicates within its business day only would carry it out a second time.
func TestWhatMayHaveBeenSentIsAskedAfterFirst(t *testing.T) {
	for _, rule := range agentsim.DuplicateRules() {
		t.Run(string(rule), func(t *testing.T) {
			w := newStrict(t, &market{banks: banks("abc"), balance: rich("a"), fund: 300}, agentsim.Rules{Duplicates: rule})
			w.pay("a>c", 500)
			w.pay("b>c", 300)
			id := w.closeWindow()
			for range 6 {
				if _, err := w.process(deafBooks{w.books}).Settle(t.Context(), id, How{}); err == nil {
					t.Fatal("the process did not end")
				}
				w.now = w.now.Add(24 * time.Hour)
				s := w.process(&once{books: w.books, kinds: []clearing.Kind{clearing.KindSettle, clearing.KindCover}})
				if rep, err := s.Settle(t.Context(), id, How{}); err == nil && rep.Done() {
					break
				}
				w.now = w.now.Add(24 * time.Hour)
			}
			if rep, err := w.process(w.books).Settle(t.Context(), id, How{}); err != nil || !rep.Done() {
				t.Fatal(err, rep.Open)
			}
			if got := w.money(); got != "999500 0 800 0" || w.agent.Balance(accountNumber(drillFund), tongma.CNY) != 0 || len(w.agent.Movements(0, 100)) != 2+3 {
				t.Errorf("%s, %d movements", got, len(w.agent.Movements(0, 100)))
			}
		})
	}
}

// once writes one entry of some kinds, and then loses the books at the next.
type once struct {
	*books
	kinds []clearing.Kind
	done  bool
}

func (o *once) Submit(ctx context.Context, e clearing.Entry) (clearing.Result, error) {
	for _, k := range o.kinds {
		if e.Kind == k && o.done {
			return clearing.Result{}, errStopped
		}
		o.done = o.done || e.Kind == k
	}
	return o.books.Submit(ctx, e)
}

// TestADateThatHasPassedIsNotSent: the agent refuses the past, and what is tried again days
// later settles on the day it is.
func TestADateThatHasPassedIsNotSent(t *testing.T) {
	w := newStrict(t, &market{banks: banks("ac"), fund: 0}, agentsim.Rules{Duplicates: agentsim.RefuseDuplicates})
	w.pay("a>c", 500)
	id := w.must(clearing.Entry{Kind: clearing.KindClose, ValueDate: 20261123}).Window
	if rep, err := w.process(w.books).Settle(t.Context(), id, How{}); err != nil || rep.Done() {
		t.Fatal(err, rep)
	}
	w.now = w.now.Add(72 * time.Hour)
	if err := w.agent.Fund("k", "BANK-A", "CNY", 500); err != nil {
		t.Fatal(err)
	}
	if rep, err := w.process(w.books).Settle(t.Context(), id, How{Retry: true}); err != nil || !rep.Done() {
		t.Error(err, rep.Open)
	}
}

// TestARefusalOfADateIsNoFailureToPay: an agent that says that the day is over (DT01), as
// where its clock is ahead, refuses the message; the fund is left alone, and once the day
// is right the debtor pays.
func TestARefusalOfADateIsNoFailureToPay(t *testing.T) {
	w := newStrict(t, &market{banks: banks("ac"), balance: rich("a"), fund: 1000}, agentsim.Rules{})
	w.pay("a>c", 500)
	id := w.closeWindow()
	late := NewClient(ClientOptions{Agent: drillAgent, Directory: func() *schemes.Directory { return w.dir }, URL: w.base, Token: agentToken, Now: func() time.Time { return w.now.Add(-24 * time.Hour) }})
	s := New(Options{Ledger: w.books, Directory: func() *schemes.Directory { return w.dir }, Agent: func(*clearing.Sheet, tongma.Currency) Agent { return late }, Patience: 100 * time.Millisecond, Every: 10 * time.Millisecond})
	for range 2 {
		if rep, err := s.Settle(t.Context(), id, How{}); err != nil || rep.Done() || w.agent.Balance(accountNumber(drillFund), tongma.CNY) != 1000 {
			t.Fatal(err, rep)
		}
	}
	if rep, err := w.process(w.books).Settle(t.Context(), id, How{Retry: true}); err != nil || !rep.Done() || w.money() != "999500 500 0" {
		t.Error(err, rep.Open, w.money())
	}
}
