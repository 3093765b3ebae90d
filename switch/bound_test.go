package switching

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tongma/tongma"
)

// TestASchemeThatIsSilentLeavesRoomForTheOthers: each of its payments stays under way
// until it answers, and new ones go on coming. They are refused before anything is held,
// while there is as much room for others as they take.
func TestASchemeThatIsSilentLeavesRoomForTheOthers(t *testing.T) {
	s := newBourse(t)
	s.engine.opts.MostOpen = 8
	s.scheme.mu.Lock()
	for range 1000 {
		s.scheme.say(tongma.OpAuthorise, silent)
		s.scheme.say(tongma.OpInquire, silent)
		s.scheme.say(tongma.OpReverse, silent)
	}
	s.scheme.mu.Unlock()
	pay := func(n int) (tongma.Answer, error) {
		return s.engine.Do(context.Background(), tongma.Request{Op: tongma.OpPay, From: "shop", Key: fmt.Sprintf("P%d", n), Code: fmt.Sprintf("13%016d", n),
			Amount: s.money("1.00", "HKD"), Budget: 150 * time.Millisecond})
	}
	pending, n := 0, 0
	for ; n < 8; n++ {
		switch a, err := pay(n); {
		case tongma.ReasonOf(err) == tongma.Overloaded:
		case err != nil || a.Status != tongma.Pending:
			t.Fatal(a, err)
		default:
			pending++
		}
	}
	if got := s.position("wallet", "HKD"); pending != 4 || got != "0.00 held 4.00" {
		t.Errorf("%d under way, %s", pending, got)
	}
	if got := s.run([]string{"transfer", "T1", "1.00", "HKD"}); got != "approved 1.00 HKD" {
		t.Errorf("by the other scheme: %s", got)
	}
	s.scheme.mu.Lock()
	clear(s.scheme.said)
	s.scheme.mu.Unlock()
	until(t, "the end of all", func() bool { return s.engine.under() == 0 })
	if a, err := pay(n); err != nil || a.Status != tongma.Paid || len(s.engine.open) != 0 {
		t.Errorf("%+v, %v; counted %v", a, err, s.engine.open)
	}
}

// TestAskersOfASilentSchemeDoNotTakeUpTheDoors: so many wait for it, and no more. Who
// comes then is refused before anything is held, or hears how its payment stands.
func TestAskersOfASilentSchemeDoNotTakeUpTheDoors(t *testing.T) {
	s := newBourse(t)
	s.engine.opts.MostWaiting = 4
	s.scheme.mu.Lock()
	for range 1000 {
		s.scheme.say(tongma.OpAuthorise, reply{act: true, wait: 10 * time.Second})
		s.scheme.say(tongma.OpInquire, silent)
		s.scheme.say(tongma.OpReverse, silent)
	}
	s.scheme.mu.Unlock()
	r := tongma.Request{Op: tongma.OpPay, From: "shop", Amount: s.money("1.00", "HKD"), Budget: 2 * time.Second}
	pay := func(n int) (tongma.Answer, error) {
		r := r
		r.Key, r.Code = fmt.Sprintf("P%d", n), fmt.Sprintf("13%016d", n)
		return s.engine.Do(context.Background(), r)
	}
	var all sync.WaitGroup
	for n := range 2 {
		all.Go(func() {
			if a, err := pay(n); err != nil || a.Status != tongma.Pending {
				t.Errorf("%+v, %v", a, err)
			}
		})
	}
	until(t, "two who wait", func() bool { return s.scheme.count(tongma.OpAuthorise) == 2 })
	if _, err := pay(2); tongma.ReasonOf(err) != tongma.Overloaded {
		t.Error(err)
	}
	begun := time.Now()
	a, err := pay(0)
	if err != nil || a.Status != tongma.Pending {
		t.Errorf("a repeat: %+v, %v", a, err)
	}
	if a, err = s.engine.Do(context.Background(), tongma.Request{Op: tongma.OpReverse, From: "shop", OfKey: "P0", Budget: 2 * time.Second}); err != nil || a.Reason != tongma.ReversalPending {
		t.Errorf("a reversal: %+v, %v", a, err)
	}
	if got := s.run([]string{"transfer", "T1", "1.00", "HKD"}); got != "approved 1.00 HKD" || time.Since(begun) > time.Second {
		t.Errorf("by the other scheme: %s, after %v", got, time.Since(begun))
	}
	all.Wait()
	if s.engine.waiters != 0 || len(s.engine.waiting) != 0 {
		t.Errorf("%d wait still, %v", s.engine.waiters, s.engine.waiting)
	}
	if got := s.position("wallet", "HKD"); got != "1.00 held 2.00" {
		t.Error(got)
	}
}
