package settle

import (
	"context"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/schemes"
)

// beside is books in which something else happens just before a cover is asked for.
type beside struct {
	*books
	before func()
}

func (b *beside) Submit(ctx context.Context, e clearing.Entry) (clearing.Result, error) {
	if do := b.before; do != nil && e.Kind == clearing.KindCoverAsked {
		b.before = nil
		do()
	}
	return b.books.Submit(ctx, e)
}

// TestTheCapsOfTheRulesHoldForWindowsThatAreSettledBesideEachOther: what one of them asks
// somebody for counts for the other, however close they come.
func TestTheCapsOfTheRulesHoldForWindowsThatAreSettledBesideEachOther(t *testing.T) {
	r := newRig(t, &market{banks: banks("abc"), fund: 600})
	r.bank.balance[accountNumber(drillFund)] = 10_000 // it could pay more than the rules allow
	r.pay("a>c", 500)
	first := r.closeWindow()
	r.pay("b>c", 500)
	second := r.closeWindow()
	ledger := &beside{books: r.books}
	s := New(Options{Ledger: ledger, Directory: func() *schemes.Directory { return r.dir }, Agent: func(*clearing.Sheet, tongma.Currency) Agent { return r.bank }, Patience: time.Millisecond, Every: time.Millisecond})
	done := make(chan error)
	ledger.before = func() {
		go func() {
			_, err := s.Settle(t.Context(), second, How{})
			done <- err
		}()
		time.Sleep(50 * time.Millisecond)
	}
	if _, err := s.Settle(t.Context(), first, How{}); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if paid := 10_000 - r.bank.balance[accountNumber(drillFund)]; paid != 600 {
		t.Errorf("the fund paid %d of at most 600", paid)
	}
}

// TestPrefundingThatWasAskedForIsNotAskedForTwice: while the agent has not said whether it
// took it for one window, it is not there for another. Else it could move what the books
// do not have.
func TestPrefundingThatWasAskedForIsNotAskedForTwice(t *testing.T) {
	r := newRig(t, &market{banks: banks("ac"), prefunding: map[tongma.ParticipantID]int64{"bank-a": 500}})
	r.bank.balance[prefundingNumber("bank-a")] = 5_000 // more than the books know of
	r.bank.faults[prefundingNumber("bank-a")] = []Word{{Outcome: Pending}}
	r.pay("a>c", 400)
	first := r.closeWindow()
	r.pay("a>c", 400)
	second := r.closeWindow()
	r.settle(first, How{})
	if rep := r.settle(second, How{}); rep.Sheet.Legs[0].Settled != 100 {
		t.Errorf("%v", rep.Events)
	}
	r.bank.decide(prefundingNumber("bank-a"), true)
	r.settle(first, How{})
	if left := r.bank.balance[prefundingNumber("bank-a")]; left != 4_500 {
		t.Errorf("%d left", left)
	}
}

// silentTo is an agent that does not answer about some debtors.
type silentTo struct {
	*bank
	to    map[tongma.ParticipantID]bool
	tried []tongma.ParticipantID
}

func (s *silentTo) Move(ctx context.Context, t Transfer) Word {
	s.tried = append(s.tried, t.Debtor)
	if s.to[t.Debtor] {
		return Word{}
	}
	return s.bank.Move(ctx, t)
}

func (s *silentTo) Ask(ctx context.Context, t Transfer) Word {
	if s.to[t.Debtor] {
		return Word{}
	}
	return s.bank.Ask(ctx, t)
}

// TestAnAgentThatIsSilentIsNotWaitedForOnceForEachDebtor: the call ends, and says who was
// not asked; and whom the agent is silent about holds up nobody else.
func TestAnAgentThatIsSilentIsNotWaitedForOnceForEachDebtor(t *testing.T) {
	r := newRig(t, &market{banks: banks("abcdefghijklmnopqrstuvwxyz"), balance: rich("abcdefghijklmnopqrstuvwxy")})
	for _, l := range "abcdefghijklmnopqrstuvwxy" {
		r.pay(string(l)+">z", 100)
	}
	id := r.closeWindow()
	at := &silentTo{bank: r.bank, to: map[tongma.ParticipantID]bool{}}
	for _, b := range r.market.banks {
		at.to[b] = true
	}
	s := New(Options{Ledger: r.books, Directory: func() *schemes.Directory { return r.dir }, Agent: func(*clearing.Sheet, tongma.Currency) Agent { return at }, Patience: 2 * time.Millisecond, Every: time.Millisecond})
	rep, err := s.Settle(t.Context(), id, How{})
	if err != nil || len(at.tried) > silences || len(rep.Open) < 25 {
		t.Fatalf("%d tried, %d open, %v", len(at.tried), len(rep.Open), err)
	}
	// It answers about all but the first ten, who are many enough to use up its patience.
	clear(at.to)
	for _, b := range r.market.banks[:10] {
		at.to[b] = true
	}
	for range 4 {
		if rep, err = s.Settle(t.Context(), id, How{}); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.bank.balance[drillAccount]; got != 1500 {
		t.Errorf("%d collected of 1500", got)
	}
	clear(at.to)
	if rep, err = s.Settle(t.Context(), id, How{}); err != nil || !rep.Done() {
		t.Errorf("%v %v", rep.Open, err)
	}
}
