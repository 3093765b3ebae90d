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
