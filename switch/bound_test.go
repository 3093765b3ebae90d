package switching

import (
	"context"
	"fmt"
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
