package crash_test

import (
	"testing"
	"time"

	"github.com/tongma/tongma/conformance/crash"
)

// TestTerminatedUnderLoadAnswersOrRecovers: SIGTERM lets what is under way be
// answered, leaves the rest to the next start, and ends with exit code 0.
func TestTerminatedUnderLoadAnswersOrRecovers(t *testing.T) {
	rounds := 5
	if testing.Short() {
		rounds = 2
	}
	seed := crash.Environment("TONGMA_SEED", uint64(time.Now().UnixNano()))
	t.Logf("seed %d", seed)
	s := newSite(t, t.TempDir())
	p := s.serve(t)
	s.ready(t, p)
	wallets, m := startWallets(t, s), newMarket(t, s, seed)
	shut := m.open(32)
	var longest time.Duration
	for range rounds {
		s.ready(t, p)
		time.Sleep(700 * time.Millisecond)
		begun := time.Now()
		if code := p.Terminate(t, 30*time.Second); code != 0 {
			t.Errorf("SIGTERM under load: exit %d:\n%s", code, p.Stderr.String())
		}
		longest = max(longest, time.Since(begun))
		crash.Audited(t, "--data", s.data)
		p = s.serve(t)
	}
	s.ready(t, p)
	shut(30 * time.Second)
	settleDown(t, s, 30*time.Second)
	m.repeatAll(time.Minute)
	v, a, b, _ := wind(t, s, p, m)
	compared := wallets.compare(t, b)
	t.Logf("seed %d: %d times SIGTERM, the longest stop took %v; %d payments, %d seen approved, %d answers in doubt of %d questions, %d movements compared; %d entries; lost %d, doubled %d, changed %d",
		seed, rounds, longest, v.payments, v.approved, m.doubts.Load(), m.asked.Load(), compared, a.Entries, v.lost, v.doubled, v.changed)
}
