package api

import (
	"fmt"
	"testing"

	"github.com/tongma/tongma"
	"github.com/tongma/tongma/clearing"
	"github.com/tongma/tongma/switch/office"
)

func TestADisputeGoesFromHandToHand(t *testing.T) {
	b := withOffice(t)
	b.write(clearing.Entry{Kind: clearing.KindOpen, Model: "disputes"})
	id := b.answer(b.pay("k1", 1, 1250), 200).Payment
	raise := func(who, key string, minor int64, query string) reply {
		return b.ask(who, "POST", "/v1/disputes"+query, fmt.Sprintf(`{"payment":%q,"amount":{"minor":%d,"currency":"CNY"},"reason":"not-received"}`, id, minor), "Idempotency-Key", key)
	}
	b.refused(raise("operator", "q1", 500, ""), 403, tongma.NotPermittedHere)
	b.refused(raise("other", "q1", 500, ""), 404, tongma.PaymentUnknown)
	b.refused(raise("acq", "q1", 500, ""), 409, tongma.DisputeTurn)
	b.refused(raise("wallet", "q1", 1251, ""), 422, tongma.DisputeExceeds)
	b.refused(raise("wallet", "", 500, ""), 400, tongma.KeyMissing)
	if dry := decode[office.DisputeDone](t, raise("wallet", "q1", 500, "?dry_run=true")); !dry.DryRun || dry.Dispute.Amount.Minor != 500 {
		t.Fatalf("%+v", dry)
	}
	if list := decode[DisputeList](t, b.ask("wallet", "GET", "/v1/disputes", "")); len(list.Disputes) != 0 {
		t.Fatalf("a dry run left %+v", list)
	}
	d := decode[office.DisputeDone](t, raise("wallet", "q1", 500, "")).Dispute
	if d.Turn != "respondent" || d.Deadline.IsZero() || d.Title == "" || d.Raiser != "wallet" || d.Respondent != "acq" {
		t.Fatalf("%+v", d)
	}
	if again := decode[office.DisputeDone](t, raise("wallet", "q1", 500, "")); !again.Exists || again.Dispute.ID != d.ID {
		t.Fatalf("%+v", again)
	}
	b.refused(raise("wallet", "q1", 501, ""), 422, tongma.ExistsOtherAmount)
	path := "/v1/disputes/" + d.ID.String()
	for who, status := range map[string]int{"wallet": 200, "acq": 200, "operator": 200, "other": 404} {
		if got := b.ask(who, "GET", path, ""); got.status != status {
			t.Errorf("%s: %d %s", who, got.status, got.body)
		}
	}
	b.refused(b.ask("wallet", "GET", "/v1/disputes/x", ""), 404, tongma.DisputeUnknown)
	b.refused(b.ask("other", "POST", path+"/accept", ""), 404, tongma.DisputeUnknown)
	b.refused(b.ask("wallet", "POST", path+"/accept", ""), 409, tongma.DisputeTurn)
	b.refused(b.ask("wallet", "POST", path+"/forget", ""), 404, tongma.OperationUnknown)
	b.refused(b.ask("wallet", "POST", path+"/withdraw", `{"why":"x"}`), 400, tongma.FieldUnknown)
	step := func(who, action string) office.DisputeView {
		t.Helper()
		return decode[office.DisputeDone](t, b.ask(who, "POST", path+"/"+action, `{"note":"case 7"}`)).Dispute
	}
	step("acq", "represent")
	step("wallet", "pre-arbitrate")
	step("acq", "arbitrate")
	if list := decode[DisputeList](t, b.ask("operator", "GET", "/v1/disputes?turn=operator&open=true&payment="+id.String(), "")); len(list.Disputes) != 1 {
		t.Fatalf("%+v", list)
	}
	if v := step("ann", "propose-uphold"); v.Maker != "ann" {
		t.Fatalf("%+v", v)
	}
	if v := decode[office.DisputeView](t, b.ask("acq", "GET", path, "")); v.Maker != "" {
		t.Fatalf("the parties learn who works for the operator: %+v", v)
	}
	b.refused(b.ask("ann", "POST", path+"/approve", ""), 403, tongma.MakerIsChecker)
	if v := step("bob", "approve"); v.Stage.String() != "upheld" || v.Window == 0 || v.Checker != "bob" {
		t.Fatalf("%+v", v)
	}
	items := decode[WindowItems](t, b.ask("acq", "GET", fmt.Sprintf("/v1/windows/%d/payments", decode[office.DisputeView](t, b.ask("acq", "GET", path, "")).Window), "")).Items
	if len(items) != 1 || items[0].Kind != "chargeback" || items[0].Dispute != d.ID.String() || items[0].Payment != "" || items[0].Debtor != "acq" || items[0].Amount != "5.00" {
		t.Fatalf("%+v", items)
	}
	if p := decode[PaymentList](t, b.ask("acq", "GET", "/v1/payments", "")).Payments[0]; p.Back != "5.00" || p.Disputed != "" {
		t.Fatalf("%+v", p)
	}
	if a := b.answer(b.ask("acq", "POST", "/v1/payments/"+id.String()+"/refunds", `{"amount":{"minor":751,"currency":"CNY"}}`, "Idempotency-Key", "r1"), 200); a.Reason != tongma.RefundExceeds {
		t.Fatalf("a return and a chargeback both pay: %+v", a)
	}
	for _, query := range []string{"stage=x", "turn=x", "open=x", "payment=x", "limit=0"} {
		b.refused(b.ask("wallet", "GET", "/v1/disputes?"+query, ""), 400, tongma.FieldInvalid)
	}
}

// TestARulingTakesTwoPeople: where the operator is one person, no ruling can be begun.
func TestARulingTakesTwoPeople(t *testing.T) {
	b := withOffice(t)
	b.api.cfg.Auth = people{1}
	b.refused(b.ask("operator", "POST", "/v1/disputes/"+tongma.PaymentID{9}.String()+"/propose-uphold", ""), 403, tongma.NotPermittedHere)
}
