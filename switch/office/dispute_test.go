package office

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing/dispute"
)

// raise opens a dispute of lotus about a payment.
func (m *market) raise(key string, payment tongma.PaymentID, minor int64) DisputeView {
	m.t.Helper()
	d, err := m.Raise(context.Background(), DisputeRequest{Key: key, By: "lotus", Payment: payment, Amount: thb(minor), Reason: "not-received"})
	if err != nil {
		m.t.Fatal(err)
	}
	return d.Dispute
}

func (m *market) take(id tongma.PaymentID, by tongma.ParticipantID, person string, a dispute.Action) (DisputeDone, error) {
	return m.Step(context.Background(), DisputeStep{Dispute: id, By: by, Person: person, Action: a})
}

func TestADisputeGoesBackToThePayersNetwork(t *testing.T) {
	m, ctx := newCourt(t), t.Context()
	p := m.pay(10_000, "L1")
	ask := DisputeRequest{Key: "k1", By: "lotus", Payment: p, Reason: "not-received"}
	ask.DryRun = true
	dry, err := m.Raise(ctx, ask)
	if err != nil || dry.Entry != 0 || !dry.DryRun || dry.Dispute.Stage != dispute.Raised || dry.Dispute.Amount != thb(10_000) {
		t.Fatalf("%+v, %v", dry, err)
	}
	ask.DryRun = false
	d, err := m.Raise(ctx, ask)
	if err != nil || d.Entry == 0 || d.Dispute.Respondent != "harbour" || d.Dispute.Turn != "respondent" || d.Dispute.Title == "" {
		t.Fatalf("%+v, %v", d, err)
	}
	if want := time.Date(2026, 11, 30, 16, 59, 59, 999e6, time.UTC); !d.Dispute.Deadline.Equal(want) { // five business days in Bangkok
		t.Fatal(d.Dispute.Deadline)
	}
	again, err := m.Raise(ctx, ask)
	if err != nil || !again.Exists || again.Dispute.ID != d.Dispute.ID {
		t.Fatalf("a repeat is another dispute: %+v, %v", again, err)
	}
	id := d.Dispute.ID
	ask.Amount = thb(9_000)
	_, err = m.Raise(ctx, ask)
	wants(t, err, tongma.ExistsOtherAmount)
	m.now = m.now.Add(time.Hour)
	_, err = m.ShowDispute(ctx, id, "orchid")
	wants(t, err, tongma.DisputeUnknown)
	_, err = m.take(id, "orchid", "", dispute.Accept)
	wants(t, err, tongma.DisputeUnknown)
	_, err = m.take(id, "lotus", "", dispute.Accept)
	wants(t, err, tongma.DisputeTurn)
	before := m.position("lotus", tongma.THB).Position
	done, err := m.take(id, "harbour", "", dispute.Accept)
	if err != nil || done.Dispute.Stage != dispute.Accepted || !strings.Contains(done.Money, "goes back from harbour to lotus") || done.Dispute.Window == 0 {
		t.Fatalf("%+v, %v", done, err)
	}
	if now := m.position("lotus", tongma.THB).Position; now != before-10_000 {
		t.Fatal(before, now)
	}
	if done, err = m.take(id, "harbour", "", dispute.Accept); err != nil || !done.Exists {
		t.Fatalf("%+v, %v", done, err)
	}
	_, err = m.take(id, "lotus", "", dispute.Withdraw)
	wants(t, err, tongma.DisputeTurn)
	m.now = m.now.Add(300 * 24 * time.Hour) // a repeat is answered however old the payment is
	ask.Amount = thb(10_000)
	if again, err = m.Raise(ctx, ask); err != nil || !again.Exists || again.Dispute.Stage != dispute.Accepted {
		t.Fatalf("%+v, %v", again, err)
	}
	m.now = m.now.Add(-300 * 24 * time.Hour)
	_, err = m.Raise(ctx, DisputeRequest{Key: "k2", By: "lotus", Payment: p, Reason: "not-received"})
	wants(t, err, tongma.DisputeExceeds)
}

func TestWhatMayNotBeDisputed(t *testing.T) {
	m, ctx := newCourt(t), t.Context()
	p := m.pay(10_000, "L1")
	for name, c := range map[string]struct {
		change func(*DisputeRequest)
		want   tongma.Reason
	}{
		"no such reason":      {func(r *DisputeRequest) { r.Reason = "because" }, tongma.FieldInvalid},
		"no such payment":     {func(r *DisputeRequest) { r.Payment = m.id() }, tongma.PaymentUnknown},
		"another's payment":   {func(r *DisputeRequest) { r.By = "orchid" }, tongma.PaymentUnknown},
		"by who was paid":     {func(r *DisputeRequest) { r.By = "harbour" }, tongma.DisputeTurn},
		"more than there was": {func(r *DisputeRequest) { r.Amount = thb(10_001) }, tongma.DisputeExceeds},
	} {
		r := DisputeRequest{Key: name, By: "lotus", Payment: p, Amount: thb(100), Reason: "not-received"}
		c.change(&r)
		_, err := m.Raise(ctx, r)
		if tongma.ReasonOf(err) != c.want || !strings.Contains(err.Error(), nothingDone) {
			t.Errorf("%s: %v", name, err)
		}
	}
	m.now = m.now.Add(121 * 24 * time.Hour)
	_, err := m.Raise(ctx, DisputeRequest{Key: "late", By: "lotus", Payment: p, Amount: thb(1), Reason: "not-received"})
	wants(t, err, tongma.DisputeLate)
	m.Office = m.open("", directory(t, marketYAML[:strings.Index(marketYAML, "disputes:")]))
	_, err = m.Raise(ctx, DisputeRequest{Key: "none", By: "lotus", Payment: p, Amount: thb(1), Reason: "not-received"})
	wants(t, err, tongma.NotPermittedHere)
}

// TestWithoutACalendarNothingIsCutOff: the calendar ends with 2027.
func TestWithoutACalendarNothingIsCutOff(t *testing.T) {
	m := newCourt(t)
	m.now = time.Date(2027, 12, 30, 0, 0, 0, 0, time.UTC)
	p := m.pay(100, "L1")
	_, err := m.Raise(t.Context(), DisputeRequest{Key: "k", By: "lotus", Payment: p, Amount: thb(1), Reason: "not-received"})
	wants(t, err, tongma.CalendarUnknown)
}

func TestDisputesAreListedForWhoTheyConcern(t *testing.T) {
	m, ctx := newCourt(t), t.Context()
	p := m.pay(10_000, "L1")
	one, two := m.raise("k1", p, 100), m.raise("k2", p, 200)
	if _, err := m.take(one.ID, "harbour", "", dispute.Represent); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		f    DisputeFilter
		want []tongma.PaymentID
	}{
		{DisputeFilter{}, []tongma.PaymentID{two.ID, one.ID}},
		{DisputeFilter{Limit: 1}, []tongma.PaymentID{two.ID}},
		{DisputeFilter{Turn: dispute.Raiser, Who: "lotus"}, []tongma.PaymentID{one.ID}},
		{DisputeFilter{Stage: dispute.Raised}, []tongma.PaymentID{two.ID}},
		{DisputeFilter{Who: "orchid"}, nil},
		{DisputeFilter{Payment: m.id()}, nil},
	} {
		views, err := m.Disputes(ctx, c.f)
		if err != nil || len(views) != len(c.want) {
			t.Fatalf("%+v: %+v, %v", c.f, views, err)
		}
		for i := range views {
			if views[i].ID != c.want[i] {
				t.Errorf("%+v: %v", c.f, views[i])
			}
		}
	}
	views, _ := m.Disputes(ctx, DisputeFilter{Open: true})
	if table := DisputeTable(views); len(table) != 3 || table[1][6] != "raised" || table[2][7] != "raiser" {
		t.Fatal(table)
	}
}

// TestTheClockGivesInForWhoIsLate runs the clock over weeks, in no time.
func TestTheClockGivesInForWhoIsLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newCourt(t)
		m.clock = func() time.Time { return time.Now() }
		time.Sleep(time.Until(time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)))
		p := m.pay(10_000, "L1")
		answered, silent := m.raise("k1", p, 100), m.raise("k2", p, 200)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- m.RunDisputeClock(ctx, time.Minute, func(err error) { t.Error(err) }) }()
		time.Sleep(time.Hour)
		if _, err := m.take(answered.ID, "harbour", "", dispute.Represent); err != nil {
			t.Fatal(err)
		}
		stage := func(id tongma.PaymentID) dispute.Stage {
			v, err := m.ShowDispute(t.Context(), id, "")
			if err != nil {
				t.Fatal(err)
			}
			return v.Stage
		}
		time.Sleep(time.Until(silent.Deadline)) // the last moment is in time
		synctest.Wait()
		if s := stage(silent.ID); s != dispute.Raised {
			t.Fatal(s)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if s := stage(silent.ID); s != dispute.DeemedAccepted {
			t.Fatal(s)
		}
		if s := stage(answered.ID); s != dispute.DeemedWithdrawn { // three days, and they were over before
			t.Fatal(s)
		}
		v, err := m.ShowDispute(t.Context(), silent.ID, "")
		if err != nil || len(v.Steps) != 2 || v.Steps[0].By != "lotus" || v.Steps[0].Stage != dispute.Raised || v.Steps[1].By != "deadline" || v.Steps[1].Stage != dispute.DeemedAccepted {
			t.Fatalf("%+v, %v", v.Steps, err)
		}
		if got := m.position("lotus", tongma.THB).Position; got != 10_000-200 {
			t.Fatal(got)
		}
		stop()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		_ = m.ledger.Close()
	})
}

// TestTwoClocksAndAPartyEndADisputeOnce: whoever is first, the money moves once.
func TestTwoClocksAndAPartyEndADisputeOnce(t *testing.T) {
	m := newCourt(t)
	p := m.pay(10_000, "L1")
	d := m.raise("k1", p, 300)
	m.now = m.now.Add(30 * 24 * time.Hour)
	counts := make(chan int, 4)
	for range cap(counts) {
		go func() {
			n, err := m.ExpireDisputes(context.Background())
			if err != nil {
				t.Error(err)
			}
			counts <- n
		}()
	}
	total := 0
	for range cap(counts) {
		total += <-counts
	}
	_, err := m.take(d.ID, "harbour", "", dispute.Represent)
	wants(t, err, tongma.DisputeTurn)
	if got := m.position("lotus", tongma.THB).Position; got != 10_000-300 || total != 1 {
		t.Fatal(got, total)
	}
}

func TestARulingNeedsTwoPeople(t *testing.T) {
	m := newCourt(t)
	d := m.raise("k1", m.pay(10_000, "L1"), 300)
	for _, s := range []struct {
		by tongma.ParticipantID
		a  dispute.Action
	}{{"harbour", dispute.Represent}, {"lotus", dispute.PreArbitrate}, {"harbour", dispute.Arbitrate}} {
		if _, err := m.take(d.ID, s.by, "", s.a); err != nil {
			t.Fatal(err)
		}
	}
	_, err := m.take(d.ID, "", "", dispute.ProposeUphold)
	wants(t, err, tongma.FieldInvalid)
	_, err = m.take(d.ID, "", "ann", dispute.Approve)
	wants(t, err, tongma.DisputeTurn)
	v, err := m.take(d.ID, "", "ann", dispute.ProposeUphold)
	if err != nil || v.Dispute.Maker != "ann" {
		t.Fatalf("%+v, %v", v, err)
	}
	_, err = m.take(d.ID, "", "Ann ", dispute.Approve)
	wants(t, err, tongma.MakerIsChecker)
	if v, err = m.take(d.ID, "", "bob", dispute.Refuse); err != nil || v.Dispute.Stage != dispute.Arbitration {
		t.Fatalf("%+v, %v", v, err)
	}
	if _, err = m.take(d.ID, "", "bob", dispute.ProposeReject); err != nil {
		t.Fatal(err)
	}
	if v, err = m.take(d.ID, "", "ann", dispute.Approve); err != nil || v.Dispute.Stage != dispute.Rejected {
		t.Fatalf("%+v, %v", v, err)
	}
	if got := m.position("lotus", tongma.THB).Position; got != 10_000 {
		t.Fatal(got)
	}
}

// TestWhoAnswersInTimeIsNotCutOffForACalendarThatEnds: the deadline of the next stage is
// not known, since next year's days are not. The answer counts all the same; the next
// stage has no deadline, and nobody loses by it.
func TestWhoAnswersInTimeIsNotCutOffForACalendarThatEnds(t *testing.T) {
	m, ctx := newCourt(t), t.Context()
	m.now = time.Date(2027, 12, 20, 3, 0, 0, 0, time.UTC)
	d := m.raise("k", m.pay(10_000, "L1"), 100)
	m.now = d.Deadline.Add(-time.Hour)
	m.Office = m.open("", directory(t, strings.Replace(marketYAML, "to: 2027-12-31", "to: "+m.now.Format(time.DateOnly), 1)))
	done, err := m.take(d.ID, "harbour", "", dispute.Represent)
	if err != nil || done.Dispute.Stage != dispute.Represented || !done.Dispute.Deadline.IsZero() || !strings.Contains(done.Money, "no deadline") {
		t.Fatalf("%+v %v", done, err)
	}
	m.now = m.now.AddDate(1, 0, 0)
	if n, err := m.ExpireDisputes(ctx); n != 0 || err != nil {
		t.Errorf("%d ended, %v", n, err)
	}
}
