package crash_test

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tongma/tongma/conformance/crash"
)

// TestKilledServeLosesAndDoublesNothing kills the switch again and again while it
// is paid over all of its doors, and then holds everything that tills and wallets
// saw against the journal.
func TestKilledServeLosesAndDoublesNothing(t *testing.T) {
	kills := int(crash.Environment("TONGMA_KILLS", 50))
	if testing.Short() {
		kills = min(kills, 5)
	}
	seed := crash.Environment("TONGMA_SEED", uint64(time.Now().UnixNano()))
	t.Logf("seed %d", seed)
	begun := time.Now()
	stage := func(what string) { t.Logf("%6.1f s: %s", time.Since(begun).Seconds(), what) }
	rng := rand.New(rand.NewPCG(seed, 0))
	s := newSite(t, keptDir(t))
	p := s.serve(t, "--window-every", "1s")
	s.ready(t, p)
	wallets, m := startWallets(t, s), newMarket(t, s, seed)
	shut := m.open(48)
	operate(t, s)

	early := 0
	for range kills {
		if rng.IntN(8) == 0 { // while it starts, perhaps in the middle of its own recovery
			early++
			p.Kill()
			p = s.serve(t, "--window-every", "1s")
			time.Sleep(time.Duration(rng.IntN(500)) * time.Millisecond)
		} else {
			s.ready(t, p)
			time.Sleep(300*time.Millisecond + time.Duration(rng.IntN(1500))*time.Millisecond)
		}
		select {
		case <-p.Ended:
			t.Fatalf("the switch ended by itself, exit %d:\n%s", p.Cmd.ProcessState.ExitCode(), p.Stderr.String())
		default:
		}
		p.Kill()
		p = s.serve(t, "--window-every", "1s")
	}
	stage("the last kill is done")
	s.ready(t, p)
	shut(60 * time.Second)
	stage("every caller knows what became of its payment")
	settleDown(t, s, 30*time.Second)
	stage("nothing is open")
	m.repeatAll(2 * time.Minute)
	stage("everything was asked for again")
	settleDown(t, s, 10*time.Second)
	v, a, b, told := wind(t, s, p, m)
	compared := wallets.compare(t, b)
	t.Logf("seed %d: %d kills (%d at the start), %d payments, %d seen approved, %d answers in doubt of %d questions, %d movements compared with wallets, %d events; %d entries in %d batches; lost %d, doubled %d, changed %d",
		seed, kills+early, early, v.payments, v.approved, m.doubts.Load(), m.asked.Load(), compared, told, a.Entries, a.Batches, v.lost, v.doubled, v.changed)
	if v.approved < kills || compared < v.approved {
		t.Errorf("the load proves little: %d approved, %d compared", v.approved, compared)
	}
}

// wind closes and settles every window, stops the switch as an operator would,
// and returns what the tills' memory, the audit and the journal's dump say, and
// how many events were found in the askers' streams.
func wind(t *testing.T, s *site, p *crash.Process, m *market) (v verdict, a crash.Audit, b *crash.Books, told int) {
	t.Helper()
	settleEverything(t, s)
	events := m.events()
	if code := p.Terminate(t, 30*time.Second); code != 0 {
		t.Errorf("SIGTERM of an idle switch: exit %d:\n%s", code, p.Stderr.String())
	}
	a = crash.Audited(t, "--data", s.data)
	b = crash.Dumped(t, a, "--data", s.data)
	if n := b.Unfinished(); n != 0 || a.Open != 0 {
		t.Errorf("%d payments are open, audit says %d", n, a.Open)
	}
	for _, x := range a.Positions {
		if x.Position != 0 || x.Reserved != 0 {
			t.Errorf("everything was settled, and %s stands at %d with %d held in %s", x.Participant, x.Position, x.Reserved, x.Currency)
		}
	}
	return judge(t, m, b), a, b, b.CompareEvents(t, events)
}

// window is what the tests read of a window.
type window struct{ Window, State string }

// settleEverything closes the open window and settles all that are due.
func settleEverything(t *testing.T, s *site) {
	t.Helper()
	ctx, token := t.Context(), s.token(t, "operator")
	if _, err := s.ask(ctx, "POST", "/v1/windows/close", token, "", nil); err != nil {
		t.Fatalf("close: %v", err)
	}
	for deadline := time.Now().Add(time.Minute); ; {
		due, err := unsettled(ctx, s, token)
		if err != nil {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v cannot be settled", due)
		}
		if len(due) == 0 {
			return
		}
		for _, id := range due {
			if _, err := s.ask(ctx, "POST", "/v1/windows/"+id+"/settle", token, "", nil); err != nil {
				t.Fatalf("settle %s: %v", id, err)
			}
		}
	}
}

func unsettled(ctx context.Context, s *site, token string) (due []string, err error) {
	body, err := s.ask(ctx, "GET", "/v1/windows?limit=200", token, "", nil)
	if err != nil {
		return nil, err
	}
	var list struct{ Windows []window }
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, err
	}
	for i := len(list.Windows) - 1; i >= 0; i-- { // oldest first
		if w := list.Windows[i]; w.State != "open" && w.State != "settled" {
			due = append(due, w.Window)
		}
	}
	return due, nil
}

// operate settles windows while the switch is being killed: a settlement that is
// cut off is done again, and pays nobody twice.
func operate(t *testing.T, s *site) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	t.Cleanup(func() { cancel(); <-done })
	token := s.token(t, "operator")
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			due, _ := unsettled(ctx, s, token) // a switch that is down is asked again
			for _, id := range due {
				_, _ = s.ask(ctx, "POST", "/v1/windows/"+id+"/settle", token, "", nil)
			}
			rest(ctx, 300*time.Millisecond)
		}
	}()
}
