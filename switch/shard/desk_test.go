package shard

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/clearing/dispute"
	"github.com/tongma/tongma/switch/office"
)

const court = `
calendar:
  calendars:
    - {id: days, version: 1, zone: Asia/Shanghai, valid: {from: 2026-01-01, to: 2036-12-31}, weekend: [saturday, sunday]}
  currencies: {CNY: days}
  agents: {}
disputes:
  calendar: days
  answer_days: 5
  pre_arbitration_days: 3
  arbitration_days: 4
  ruling_days: 10
  max_age_days: 120
  reasons:
    - {code: not-received, title: Goods or services were not received}
`

// desks gives every shard an office, and returns them by number less one.
func (m *market) desks() (out []*Desk) {
	m.t.Helper()
	for i, e := range m.engines {
		o, err := office.New(office.Options{Ledger: e.Ledger(), Journal: m.stores[i], Shard: uint16(i), Directory: e.Directory, Now: time.Now, NewID: m.nodes[i].NewID})
		if err != nil {
			m.t.Fatal(err)
		}
		out = append(out, NewDesk(m.nodes[i], o))
	}
	return out
}

// TestADisputeIsKeptWhereItsPaymentIs: whichever shard the payer's network asks, and
// wherever the other one answers; a repeat is the same dispute at every door. What goes
// back is in the head's window of disputes, and settles, and all is at home again.
func TestADisputeIsKeptWhereItsPaymentIs(t *testing.T) {
	m := newMarketOf(t, 3, source+court)
	desks, ctx := m.desks(), t.Context()
	banks := []string{"weibank", "alibank", "unibank"}
	var raised []tongma.PaymentID
	for i, bank := range banks {
		paid := m.mustPay(1, bank, "p-"+bank, i, 2_000)
		ask := office.DisputeRequest{Key: "d-" + bank, By: tongma.ParticipantID(bank), Payment: paid.Payment, Reason: "not-received", DryRun: true}
		var id tongma.PaymentID
		for door, d := range desks {
			dry, err := d.Raise(ctx, ask)
			if err != nil || !dry.DryRun || (dry.Exists != (door > 0)) {
				t.Fatalf("%s at %d, dry: %+v, %v", bank, door+1, dry, err)
			}
			real := ask
			real.DryRun = false
			got, err := d.Raise(ctx, real)
			if err != nil || got.Exists != (door > 0) || (door > 0 && got.Dispute.ID != id) || got.Dispute.Respondent != "acq" || got.Dispute.Title == "" {
				t.Fatalf("%s at %d: %+v, %v", bank, door+1, got, err)
			}
			id = got.Dispute.ID
			real.Key += "-more"
			if _, err := d.Raise(ctx, real); tongma.ReasonOf(err) != tongma.DisputeExceeds {
				t.Errorf("%s at %d, twice: %v", bank, door+1, err)
			}
			real.Key, real.By = "x", "acq"
			if _, err := d.Raise(ctx, real); tongma.ReasonOf(err) != tongma.DisputeTurn {
				t.Errorf("%s at %d, by who was paid: %v", bank, door+1, err)
			}
		}
		raised = append(raised, id)
		door := desks[(i+1)%3]
		if v, err := door.ShowDispute(ctx, id, "acq"); err != nil || v.Stage != dispute.Raised {
			t.Errorf("%+v, %v", v, err)
		}
		if _, err := door.ShowDispute(ctx, id, "another"); tongma.ReasonOf(err) != tongma.DisputeUnknown {
			t.Errorf("shown to a stranger: %v", err)
		}
		for n, d := range desks {
			got, err := d.Step(ctx, office.DisputeStep{Dispute: id, By: "acq", Action: dispute.Accept})
			if err != nil || got.Exists != (n > 0) || got.Dispute.Stage != dispute.Accepted {
				t.Errorf("%s accepted at %d: %+v, %v", bank, n+1, got, err)
			}
		}
	}
	for _, d := range desks {
		list, err := d.Disputes(ctx, office.DisputeFilter{Who: "acq"})
		if err != nil || len(list) != 3 || list[0].ID != raised[2] {
			t.Errorf("%+v, %v", list, err)
		}
		if list, err = d.Disputes(ctx, office.DisputeFilter{Who: "alibank", Limit: 2}); err != nil || len(list) != 1 {
			t.Errorf("%+v, %v", list, err)
		}
	}
	m.settleAll()
	for _, p := range m.audit().Positions {
		if p.Position != 0 || p.Reserved != 0 {
			t.Errorf("%+v is left", p)
		}
	}
	m.stop(3)
	for _, bank := range banks { // nobody takes a list for whole, or a payment for unknown
		if _, err := desks[0].Raise(ctx, office.DisputeRequest{Key: "late", By: tongma.ParticipantID(bank), Payment: tongma.PaymentID{1}, Reason: "not-received"}); tongma.ReasonOf(err) != tongma.Overloaded || !strings.Contains(err.Error(), "shard 3") {
			t.Errorf("%v", err)
		}
	}
	if _, err := desks[0].Disputes(ctx, office.DisputeFilter{}); tongma.ReasonOf(err) != tongma.Overloaded || !strings.Contains(err.Error(), "shard 3") {
		t.Errorf("%v", err)
	}
}

// settleAll closes, gathers and settles every model of the head, until all is at home.
func (m *market) settleAll() {
	m.t.Helper()
	var models []clearing.Model
	read := func(s uint16, see func(*clearing.Book)) {
		_ = m.engines[s-1].Ledger().Read(context.Background(), see)
	}
	read(1, func(b *clearing.Book) { models = b.Models() })
	for _, model := range models {
		w := m.submit(1, clearing.Entry{Kind: clearing.KindClose, Model: model.Name}).Entry.Window
		m.eventually(fmt.Sprint(w, " is whole"), func() bool { return len(m.sheet(1, w).Awaited) == 0 })
		m.submit(1, clearing.Entry{Kind: clearing.KindInstruct, Window: w})
		for range 2 {
			for _, in := range clearing.Instruct(m.sheet(1, w)) {
				m.submit(1, in.Confirm())
			}
		}
		if res := m.submit(1, clearing.Entry{Kind: clearing.KindSettled, Window: w}); res.Reason != tongma.NoReason {
			m.t.Fatalf("%s: %s", w, res.Reason)
		}
	}
	m.eventually("all is settled and at home", func() bool {
		lies := 0
		for s := range m.engines {
			read(uint16(s+1), func(b *clearing.Book) { lies += len(b.Astray()) + len(b.Following()) + m.underWay(b) })
		}
		return lies == 0
	})
}

// TestADisputesKeyIsUsedOnce: not for a payment besides, in whatever shard, nor for a
// dispute of another payment.
func TestADisputesKeyIsUsedOnce(t *testing.T) {
	m := newMarketOf(t, 3, source+court)
	desks, ctx := m.desks(), t.Context()
	var all []tongma.Answer // both banks have been paid by, as acquirers, and pay
	for i, bank := range []string{"weibank", "alibank", "unibank"} {
		all = append(all, m.mustPay(1, bank, "p-"+bank, i, 2_000))
	}
	for i := range 6 {
		// alibank, as an acquirer, has a payer of weibank or of itself pay under the key, and disputes a payment of its own under it.
		key, payer := fmt.Sprint("k", i), []string{"weibank", "unibank"}[i%2]
		a, err := m.engines[i%3].Do(ctx, tongma.Request{Op: tongma.OpPay, From: "alibank", Key: key, Code: m.code(payer, 50+i), Amount: tongma.Money{Minor: 100, Currency: tongma.CNY}, Merchant: tongma.Merchant{ID: "m"}, Budget: 5 * time.Second})
		if err != nil || a.Outcome != tongma.Approved {
			t.Fatalf("%+v, %v", a, err)
		}
		for _, d := range desks {
			if got, err := d.Raise(ctx, office.DisputeRequest{Key: key, By: "alibank", Payment: all[1].Payment, Amount: tongma.Money{Minor: 1, Currency: tongma.CNY}, Reason: "not-received"}); tongma.ReasonOf(err) != tongma.ExistsOtherOperation {
				t.Errorf("%s, kept by %d: %+v, %v", key, clearing.OwnerOf("alibank", key, 3), got, err)
			}
		}
		key = fmt.Sprint("d", i)
		if _, err := desks[i%3].Raise(ctx, office.DisputeRequest{Key: key, By: "alibank", Payment: all[1].Payment, Amount: tongma.Money{Minor: 1, Currency: tongma.CNY}, Reason: "not-received"}); err != nil {
			t.Fatal(err)
		}
		for door := range m.engines {
			a, err := m.engines[door].Do(ctx, tongma.Request{Op: tongma.OpPay, From: "alibank", Key: key, Code: m.code(payer, 70+i), Amount: tongma.Money{Minor: 100, Currency: tongma.CNY}, Merchant: tongma.Merchant{ID: "m"}, Budget: 5 * time.Second})
			if err == nil && a.Outcome == tongma.Approved {
				t.Errorf("%s, kept by %d, at %d: it pays besides", key, clearing.OwnerOf("alibank", key, 3), door+1)
			}
		}
	}
	m.audit()
}

// TestASuspensionGoesAlong: whoever is suspended by a person at any door is so in all
// shards, and stays so where it moves. One that a shard made while the first was away
// keeps who it is about from moving.
func TestASuspensionGoesAlong(t *testing.T) {
	m := newMarketOf(t, 3, source+court)
	desks, ctx := m.desks(), t.Context()
	who := tongma.ParticipantID("") // at home in another shard than the first
	for _, bank := range []tongma.ParticipantID{"weibank", "alibank", "unibank"} {
		if clearing.HomeOf(bank, 3) != clearing.Head {
			who = bank
		}
	}
	home := clearing.HomeOf(who, 3)
	to := 5 - home
	serial := 0
	takes := func(door uint16, want tongma.Reason) bool {
		serial++
		a, err := m.pay(door, string(who), fmt.Sprint("k", serial), serial, 10)
		return err == nil && a.Reason == want
	}
	if done, err := desks[home-1].Suspend(ctx, office.Standing{Participant: who, By: "ann", Why: "fraud"}); err != nil || done.Entry == 0 {
		t.Fatalf("%+v, %v", done, err)
	}
	m.eventually("all refuse it", func() bool {
		return takes(1, tongma.ParticipantSuspended) && takes(2, tongma.ParticipantSuspended) && takes(3, tongma.ParticipantSuspended)
	})
	moving, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if r, err := m.nodes[0].Move(moving, who, to, false); err != nil || !r.Done {
		t.Fatalf("%+v, %v", r, err)
	}
	for door := uint16(1); door <= 3; door++ {
		if !takes(door, tongma.ParticipantSuspended) {
			t.Errorf("at %d it pays behind its move", door)
		}
	}
	if _, err := desks[home-1].Resume(ctx, office.Standing{Participant: who, By: "ben", Why: "cleared"}); err != nil {
		t.Fatal(err)
	}
	m.eventually("it may pay again", func() bool { return takes(2, tongma.NoReason) })
	m.stop(1)
	done, err := desks[to-1].Suspend(ctx, office.Standing{Participant: who, By: "ann", Why: "fraud"})
	if err != nil || !strings.Contains(done.Money, "only") {
		t.Fatalf("%+v, %v", done, err)
	}
	m.start(1)
	for _, dry := range []bool{true, false} {
		if r, err := m.nodes[to-1].Move(moving, who, home, dry); err != nil || r.Done || !strings.Contains(r.Refused, "alone") {
			t.Errorf("%+v, %v", r, err)
		}
	}
	m.desks()
	if _, err := desks[to-1].Resume(ctx, office.Standing{Participant: who, By: "ben", Why: "cleared"}); err != nil {
		t.Fatal(err)
	}
	m.eventually("it may pay again", func() bool { return takes(2, tongma.NoReason) })
	if r, err := m.nodes[to-1].Move(moving, who, home, false); err != nil || !r.Done {
		t.Errorf("%+v, %v", r, err)
	}
	m.audit()
}
