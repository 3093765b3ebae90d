package office

import (
	"context"
	"strings"
	"testing"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
)

func TestACapNeedsTwoPeople(t *testing.T) {
	m, ctx := newMarket(t, ""), t.Context()
	ask := CapRequest{Key: "cap-1", Participant: "lotus", Cap: thb(900_000), By: "ann"}
	done, err := m.ProposeCap(ctx, ask)
	if err != nil || done.Entry == 0 || done.Exists || !strings.Contains(done.Money, "no money moves") {
		t.Fatal(done, err)
	}
	if again, err := m.ProposeCap(ctx, ask); err != nil || !again.Exists || again.Entry != 0 {
		t.Fatal("a repeat is the same proposal", again, err)
	}
	ask.Cap = thb(1)
	_, err = m.ProposeCap(ctx, ask)
	wants(t, err, tongma.ExistsOtherAmount)
	if m.position("lotus", tongma.THB).Cap != 500_000 {
		t.Fatal("a proposal changed the cap")
	}
	_, err = m.ApproveCap(ctx, CapCheck{Key: "cap-1", By: " Ann"})
	wants(t, err, tongma.MakerIsChecker)
	views, err := m.Caps(ctx, "lotus", true)
	if err != nil || len(views) != 1 || views[0].State != "waiting" || views[0].Standing != thb(500_000) || views[0].Cap != thb(900_000) || !views[0].ProposedAt.Equal(m.now) {
		t.Fatalf("%+v, %v", views, err)
	}
	if done, err = m.ApproveCap(ctx, CapCheck{Key: "cap-1", By: "bob"}); err != nil || done.Entry == 0 {
		t.Fatal(done, err)
	}
	if m.position("lotus", tongma.THB).Cap != 900_000 {
		t.Fatal("an approval did not change the cap")
	}
	if views, err = m.Caps(ctx, "", false); err != nil || len(views) != 1 || views[0].State != "approved" || views[0].Checker != "bob" {
		t.Fatalf("%+v, %v", views, err)
	}
	if views, err = m.Caps(ctx, "", true); err != nil || len(views) != 0 {
		t.Fatalf("%+v, %v", views, err)
	}
	_, err = m.RejectCap(ctx, CapCheck{Key: "cap-1", By: "bob"})
	wants(t, err, tongma.StateConflict)
	_, err = m.ApproveCap(ctx, CapCheck{Key: "cap-9", By: "bob"})
	wants(t, err, tongma.ProposalUnknown)
	_, err = m.ProposeCap(ctx, CapRequest{Key: "cap-2", Participant: "nobody", Cap: thb(5), By: "ann"})
	wants(t, err, tongma.ParticipantUnknown)
	_, err = m.ProposeCap(ctx, CapRequest{Key: "cap-2", Participant: "lotus", Cap: thb(5), By: "a\nb"})
	wants(t, err, tongma.FieldInvalid)
}

func TestARejectedCapStays(t *testing.T) {
	m, ctx := newMarket(t, ""), t.Context()
	if _, err := m.ProposeCap(ctx, CapRequest{Key: "cap-1", Participant: "lotus", Cap: thb(1), By: "ann"}); err != nil {
		t.Fatal(err)
	}
	if _, err := m.RejectCap(ctx, CapCheck{Key: "cap-1", By: "bob"}); err != nil {
		t.Fatal(err)
	}
	if m.position("lotus", tongma.THB).Cap != 500_000 {
		t.Fatal("a rejection changed the cap")
	}
}

func TestSuspensionBlocksDebitsAndSaysWhoAndWhy(t *testing.T) {
	m, ctx := newMarket(t, ""), t.Context()
	_, err := m.Suspend(ctx, Standing{Participant: "lotus", By: "ann"})
	wants(t, err, tongma.FieldInvalid)
	if _, err := m.Suspend(ctx, Standing{Participant: "lotus", By: "ann", Why: "missed its margin call"}); err != nil {
		t.Fatal(err)
	}
	if done, err := m.Suspend(ctx, Standing{Participant: "lotus", By: "bob", Why: "again"}); err != nil || !done.Exists {
		t.Fatal(done, err)
	}
	res, err := m.ledger.Submit(ctx, clearing.Entry{Kind: clearing.KindHold, Payment: m.id(), Op: tongma.OpPay, Asker: "harbour", Key: "k", Debtor: "lotus", Creditor: "harbour", Amount: thb(1)})
	if err != nil || res.Reason != tongma.ParticipantSuspended {
		t.Fatal(res.Reason, err)
	}
	views, err := m.Participants(ctx)
	if err != nil || len(views) != 3 {
		t.Fatal(views, err)
	}
	if v := views[1]; v.Participant != "lotus" || !v.Suspended || v.By != "ann" || v.Why != "missed its margin call" || !v.Since.Equal(m.now) || len(v.Accounts) != 2 {
		t.Fatalf("%+v", v)
	}
	if v := views[0]; v.Suspended || v.By != "" {
		t.Fatalf("%+v", v)
	}
	if _, err := m.Resume(ctx, Standing{Participant: "lotus", By: "bob", Why: "paid"}); err != nil {
		t.Fatal(err)
	}
	if m.position("lotus", tongma.THB).Suspended {
		t.Fatal("it is suspended still")
	}
	_, err = m.Resume(ctx, Standing{Participant: "orchid", By: "bob", Why: "paid"})
	wants(t, err, tongma.StateConflict) // the directory suspends it
}

func TestPrefundingAddsToTheLimit(t *testing.T) {
	m, ctx := newMarket(t, ""), t.Context()
	if _, err := m.Deposit(ctx, Funds{Key: "d-1", Participant: "lotus", Amount: thb(10_000), Ref: "river 77"}); err != nil {
		t.Fatal(err)
	}
	m.pay(505_000, "L1")
	_, err := m.Withdraw(ctx, Funds{Key: "w-1", Participant: "lotus", Amount: thb(10_000)})
	wants(t, err, tongma.OverCap)
	if !strings.Contains(err.Error(), nothingDone) {
		t.Fatal(err)
	}
	if _, err := m.Withdraw(ctx, Funds{Key: "w-2", Participant: "lotus", Amount: thb(5_000)}); err != nil {
		t.Fatal(err)
	}
	if done, err := m.Withdraw(ctx, Funds{Key: "w-2", Participant: "lotus", Amount: thb(5_000)}); err != nil || !done.Exists {
		t.Fatal(done, err)
	}
	if p := m.position("lotus", tongma.THB); p.Prefunded != 5_000 {
		t.Fatalf("%+v", p)
	}
}

// TestADryRunSaysTheSameAndWritesNothing asks everything dry, then for real.
func TestADryRunSaysTheSameAndWritesNothing(t *testing.T) {
	m, ctx := newMarket(t, ""), t.Context()
	type step struct {
		name string
		do   func(dry bool) (Done, error)
	}
	steps := []step{
		{"propose", func(dry bool) (Done, error) {
			return m.ProposeCap(ctx, CapRequest{Key: "c", Participant: "lotus", Cap: thb(5), By: "ann", DryRun: dry})
		}},
		{"approve by the maker", func(dry bool) (Done, error) { return m.ApproveCap(ctx, CapCheck{Key: "c", By: "ann", DryRun: dry}) }},
		{"approve", func(dry bool) (Done, error) { return m.ApproveCap(ctx, CapCheck{Key: "c", By: "bob", DryRun: dry}) }},
		{"deposit", func(dry bool) (Done, error) {
			return m.Deposit(ctx, Funds{Key: "d", Participant: "lotus", Amount: thb(5), DryRun: dry})
		}},
		{"withdraw too much", func(dry bool) (Done, error) {
			return m.Withdraw(ctx, Funds{Key: "w", Participant: "lotus", Amount: thb(6), DryRun: dry})
		}},
		{"suspend", func(dry bool) (Done, error) {
			return m.Suspend(ctx, Standing{Participant: "lotus", By: "ann", Why: "drill", DryRun: dry})
		}},
		{"resume", func(dry bool) (Done, error) {
			return m.Resume(ctx, Standing{Participant: "lotus", By: "ann", Why: "drill", DryRun: dry})
		}},
	}
	for _, s := range steps {
		before := m.next()
		dry, dryErr := s.do(true)
		if m.next() != before || dry.Entry != 0 || (dryErr == nil && !dry.DryRun) {
			t.Fatalf("%s: a dry run wrote %+v", s.name, dry)
		}
		real, err := s.do(false)
		if tongma.ReasonOf(dryErr) != tongma.ReasonOf(err) || dry.Exists != real.Exists {
			t.Fatalf("%s: dry %+v, %v; done %+v, %v", s.name, dry, dryErr, real, err)
		}
		if err == nil && (m.next() != before+1 || real.Entry != before) {
			t.Fatalf("%s: %+v", s.name, real)
		}
	}
}

func TestErrorsSayWhatHappenedToTheMoney(t *testing.T) {
	m := newMarket(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := m.Deposit(ctx, Funds{Key: "d-1", Participant: "lotus", Amount: thb(10_000)})
	if err != nil { // the writer may have been quicker
		wants(t, err, tongma.JournalInDoubt)
		if !strings.Contains(err.Error(), notKnownYet) {
			t.Fatal(err)
		}
	}
	if _, err := m.Deposit(t.Context(), Funds{Key: "d-1", Participant: "lotus", Amount: thb(10_000)}); err != nil {
		t.Fatal("the repeat:", err)
	}
	if p := m.position("lotus", tongma.THB); p.Prefunded != 10_000 {
		t.Fatalf("%+v", p)
	}
	if err := m.ledger.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = m.Deposit(t.Context(), Funds{Key: "d-2", Participant: "lotus", Amount: thb(10_000)})
	wants(t, err, tongma.ShuttingDown)
	if !strings.Contains(err.Error(), nothingDone) {
		t.Fatal(err)
	}
}

func TestAnOfficeNeedsItsEdges(t *testing.T) {
	_, err := New(Options{})
	wants(t, err, tongma.SetupInvalid)
}

func TestWhoIsShortIsSuspendedAndThePastSaysWhy(t *testing.T) {
	m, ctx := newMarket(t, ""), t.Context()
	if views, err := m.Participants(ctx); err != nil || views[1].Suspended {
		t.Fatal(views, err)
	}
	m.pay(1250, "L1")
	in := clearing.Instruct(m.close())[0]
	m.write(clearing.Entry{Kind: clearing.KindShort, Window: 1, Debtor: "lotus", Amount: thb(1000), Reason: tongma.AgentRejected, SchemeRef: in.ID, Hash: in.Sheet})
	views, err := m.Participants(ctx) // only what is new is read
	if err != nil || !views[1].Suspended || views[1].Why != "short of 10.00 THB in win_000001" || views[1].By != "" {
		t.Fatalf("%+v, %v", views, err)
	}
}
